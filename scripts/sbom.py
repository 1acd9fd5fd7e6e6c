"""The image's bill of materials, CycloneDX 1.5: what pip and dpkg say is installed, and no list of wishes.

Run by the Dockerfile with the Python that will run the bot: ``python sbom.py > sbom.cdx.json``. The same image
gives the same text: neither a clock nor chance is in it. Libraries inside wheels (OpenBLAS in NumPy, LLVM in
llvmlite) are their wheel's.
"""

from __future__ import annotations

import json
import platform
import re
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

DPKG = Path("/var/lib/dpkg/status")
OS_RELEASE = Path("/etc/os-release")
OURS = "gmobot"

Component = dict[str, Any]


def main() -> int:
    """Print the bill; return the exit code."""
    installed = sorted(python_packages(), key=lambda component: component["purl"])
    ours = next((component for component in installed if component["name"] == OURS), None)
    if ours is None:
        sys.stderr.write(f"{OURS} is not installed for {sys.executable}\n")
        return 1
    rest = [interpreter(), *(component for component in installed if component is not ours), *debian_packages()]
    bill = {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "metadata": {"component": ours}, "components": rest}
    json.dump(bill, sys.stdout, indent=1, sort_keys=True)
    sys.stdout.write("\n")
    return 0


def python_packages() -> Iterator[Component]:
    """Yield what pip installed where this Python and the one below it look for packages."""
    base = [str(path) for path in (Path(sys.base_prefix) / "lib").glob("python3*/site-packages")]
    for found in distributions(path=list(dict.fromkeys([*sys.path[1:], *base]))):
        name = re.sub(r"[-_.]+", "-", found.metadata["Name"]).lower()
        purl = f"pkg:pypi/{name}@{found.version}"
        kind = "application" if name == OURS else "library"
        yield {"type": kind, "name": name, "version": found.version, "purl": purl, "bom-ref": purl, "licenses": licences(found)}


def licences(found: Distribution) -> list[dict[str, Any]]:
    """Return a package's licence as its own metadata has it: an SPDX expression, else what its classifiers or its text say."""
    facts = found.metadata.json
    if "license_expression" in facts:
        return [{"expression": facts["license_expression"]}]
    approved = "License :: OSI Approved :: "
    named = [line.removeprefix(approved) for line in facts.get("classifier", []) if line.startswith(approved)]
    text = str(facts.get("license", "")).strip()
    if not named and text and "\n" not in text:
        named = [text]
    return [{"license": {"name": name}} for name in named]


def interpreter() -> Component:
    """Return the Python that runs the bot."""
    purl = f"pkg:generic/python@{platform.python_version()}"
    return {"type": "platform", "name": "python", "version": platform.python_version(), "purl": purl, "bom-ref": purl}


def debian_packages() -> Iterator[Component]:
    """Yield what dpkg has installed; nothing where the base image is no Debian."""
    if not DPKG.exists():
        return
    system = dict(line.split("=", 1) for line in OS_RELEASE.read_text(encoding="utf-8").splitlines() if "=" in line)
    distro = f"{system['ID']}-{system.get('VERSION_ID', 'unstable')}".replace('"', "")
    for paragraph in sorted(DPKG.read_text(encoding="utf-8").split("\n\n")):
        facts = dict(re.findall(r"^([A-Z][\w-]*): (.*)$", paragraph, re.MULTILINE))
        if facts.get("Status") == "install ok installed":
            name, version = facts["Package"], facts["Version"]
            purl = f"pkg:deb/debian/{name}@{version.replace('+', '%2B').replace(':', '%3A')}?arch={facts['Architecture']}&distro={distro}"
            yield {"type": "library", "name": name, "version": version, "purl": purl, "bom-ref": purl}


if __name__ == "__main__":
    sys.exit(main())
