"""The image: what is in it, what it says of itself, and what it does not carry."""

from __future__ import annotations

import io
import json
import os
import re
import sys
import tarfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.stack import IMAGE, ROOT, Stack, docker, in_image, needs_docker

import gmobot

pytestmark = needs_docker
MOST_BYTES_ABOVE_BASE = 350 * 10**6
BILL = "/opt/gmobot/sbom.cdx.json"
INSTALLED = "from importlib.metadata import distributions as d; print(*(f'{x.metadata[\"Name\"]}=={x.version}' for x in d()))"
LICENCES = re.compile(r"MIT|Apache|BSD|0BSD|ISC|Python Software Foundation|PSF-2\.0|Zlib|CC0-1\.0|Mozilla Public License 2\.0|MPL-2\.0")
"""What may be in the image: nothing whose conditions reach beyond its own, unchanged files."""


def bill() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(in_image("cat", BILL))
    return found


def pinned(lock: str) -> set[str]:
    text = (ROOT / "requirements" / lock).read_text(encoding="utf-8")
    return {f"{name.lower().replace('_', '-')}=={version}" for name, version in re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE)}


def test_it_is_small_and_not_root() -> None:
    assert docker("inspect", "-f", "{{.Config.User}}", IMAGE) == "gmobot"
    assert in_image("id", "-u") == "1000"
    if base := os.environ.get("PYTHON_IMAGE"):
        above = int(docker("inspect", "-f", "{{.Size}}", IMAGE)) - int(docker("inspect", "-f", "{{.Size}}", base))
        sys.stdout.write(f"image {above / 1e6:.0f} MB above its base\n")
        assert above < MOST_BYTES_ABOVE_BASE


def test_it_says_what_it_is(stack: Stack) -> None:
    labels = json.loads(docker("inspect", "-f", "{{json .Config.Labels}}", IMAGE))
    said = {name.removeprefix("org.opencontainers.image."): value for name, value in labels.items()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (said["title"], said["version"], said["licenses"]) == ("gmobot", project["version"], project["license"])
    assert project["version"] == gmobot.__version__
    assert {"source", "revision"} <= said.keys()
    stack.env |= {"REVISION": "0123abc", "SOURCE": "https://git.invalid/gmobot", "GMOBOT_IMAGE": f"{IMAGE}-labelled"}
    try:
        stack.compose("build", "bot")
        told = docker("inspect", "-f", "{{json .Config.Labels}}", f"{IMAGE}-labelled")
        assert "0123abc" in told
        assert "https://git.invalid/gmobot" in told
    finally:
        docker("rmi", f"{IMAGE}-labelled")


def test_its_bill_of_materials_is_what_is_installed() -> None:
    found = bill()
    assert (found["bomFormat"], found["specVersion"]) == ("CycloneDX", "1.5")
    components = [found["metadata"]["component"], *found["components"]]
    assert len({component["bom-ref"] for component in components}) == len(components)
    listed = {f"{c['name']}=={c['version']}" for c in components if c["purl"].startswith("pkg:pypi/")}
    installed = {re.sub(r"[-_.]+", "-", name).lower() for name in in_image("python", "-c", INSTALLED).split()}
    assert {re.sub(r"[-_.]+", "-", name) for name in listed} == installed
    assert f"gmobot=={gmobot.__version__}" in listed
    debian = {(c["name"], c["version"]) for c in components if c["purl"].startswith("pkg:deb/")}
    packages = in_image("dpkg-query", "-W", "-f", "${db:Status-Status} ${Package} ${Version}\n").splitlines()
    assert debian == {(name, version) for status, name, version in (line.split() for line in packages) if status == "installed"}


def test_nothing_is_installed_that_the_lock_does_not_name() -> None:
    ours = f"gmobot=={gmobot.__version__}"
    listed = {f"{c['name']}=={c['version']}" for c in bill()["components"] if c["purl"].startswith("pkg:pypi/")}
    # Beside ours: markers may leave packages of another system out; none may be added or of another version.
    assert listed <= pinned("run.lock")
    assert ours not in listed
    assert {"numpy", "numba", "aiohttp"} <= {name.partition("==")[0] for name in listed}


def test_every_licence_is_known_and_reaches_no_further_than_its_own_files() -> None:
    for component in bill()["components"]:
        if component["purl"].startswith("pkg:pypi/"):
            names = [entry.get("expression") or entry["license"]["name"] for entry in component["licenses"]]
            parts = [part for name in names for part in re.split(r" (?:AND|OR) ", name)]
            assert parts, f"{component['purl']} does not tell its licence"
            assert [part for part in parts if not LICENCES.match(part)] == [], component["purl"]


def test_it_carries_nothing_of_the_machine_that_built_it() -> None:
    code = "import glob; print(glob.glob('/etc/ssl/build-ca*') + glob.glob('/opt/**/pip', recursive=True))"
    assert in_image("python", "-c", code) == "[]"
    told = docker("inspect", "-f", "{{json .Config.Env}}", IMAGE) + docker("history", "--no-trunc", IMAGE)
    assert not re.search(r"PIP_(CERT|FIND_LINKS|INDEX|EXTRA)|/opt/(wheels|pypi)", told)


def test_no_layer_carries_a_secret_of_the_clone(stack: Stack, tmp_path: Path) -> None:
    """Whoever pulls the image can unpack every layer of it, also what a later one deleted."""
    marks = {"secrets/gmo_api_key": "KEY-9f3c1e7a", "var/state/gmobot.db": "STATE-51d0aa", ".env": "GMO_API_SECRET=ENV-77c2b1"}
    for name, mark in marks.items():
        (stack.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (stack.folder / name).write_text(mark, encoding="utf-8")
    stack.env |= {"GMO_API_KEY": "VARIABLE-6a1b", "GMOBOT_IMAGE": f"{IMAGE}-layers"}
    try:
        stack.compose("build", "bot")
        docker("save", "-o", str(tmp_path / "image.tar"), f"{IMAGE}-layers")
        told = docker("inspect", f"{IMAGE}-layers") + docker("history", "--no-trunc", f"{IMAGE}-layers")
    finally:
        docker("rmi", f"{IMAGE}-layers")
    wanted = [mark.rpartition("=")[2].encode() for mark in (*marks.values(), "VARIABLE-6a1b")]
    assert found_in(tmp_path / "image.tar", [b"Run the daemon.", *wanted]) == {b"Run the daemon."}
    assert not [mark for mark in wanted if mark.decode() in told]


def found_in(image: Path, marks: list[bytes]) -> set[bytes]:
    """Return which of some marks occur in a saved image: in its description, or in any file of any layer."""
    found: set[bytes] = set()
    with tarfile.open(image) as saved:
        for member in saved:
            content = reader.read() if (reader := saved.extractfile(member)) is not None else b""
            for text in layer_files(content) if content[257:262] == b"ustar" else [content]:
                found |= {mark for mark in marks if mark in text}
    return found


def layer_files(content: bytes) -> Iterator[bytes]:
    with tarfile.open(fileobj=io.BytesIO(content)) as layer:
        for file in layer:
            if file.isfile() and (reader := layer.extractfile(file)) is not None:
                yield reader.read()


def test_machine_code_of_the_image_is_used_as_it_is() -> None:
    code = (
        "import glob, os, subprocess\n"
        "subprocess.run(['gmobot', 'config', 'check', '-c', 'configs/default.yaml'], check=True, stdout=subprocess.DEVNULL)\n"
        "def made(root):\n"
        "    files = glob.glob(root + '/**/*.nb?', recursive=True)\n"
        "    return sorted((os.path.basename(file), os.stat(file).st_mtime_ns) for file in files)\n"
        "shipped, used = made('/opt/gmobot/cache'), made('/tmp/cache')\n"
        "print(bool(shipped), shipped == used)"
    )
    assert in_image("python", "-c", code) == "True True"


@pytest.mark.parametrize("file", ["Dockerfile", "docker-compose.yml", "pyproject.toml", ".ci/base_image.sh"])
def test_nothing_is_bound_to_one_kind_of_processor(file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    assert not re.search(r"--platform|x86[-_]64(?!_v)|/amd64/|:amd64", text)
