"""Images of Prometheus, Alertmanager and Grafana where no registry is reached: Debian's programs on the bot's base image.

Grafana's is a page that answers.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DOCKERFILES = {
    "prometheus": "COPY prometheus promtool /bin/\nRUN mkdir /prometheus && chown 65534:65534 /prometheus\nUSER 65534\n",
    "alertmanager": (
        "COPY alertmanager amtool /bin/\nCOPY templates /usr/share/prometheus/alertmanager\n"
        "RUN mkdir /alertmanager && chown 65534:65534 /alertmanager\nUSER 65534\n"
    ),
    "grafana": 'RUN mkdir /var/lib/grafana\nENTRYPOINT ["python3", "-m", "http.server", "-d", "/etc/gmobot/dashboards", "3000"]\n',
}
PROGRAMS = {"prometheus": "prometheus", "promtool": "promtool", "prometheus-alertmanager": "alertmanager", "amtool": "amtool"}


@contextmanager
def stand_ins(base: str, tag: str) -> Iterator[dict[str, str]]:
    """Build the images, give the variables that make Compose use them, and remove them.

    Args:
        base: What they are made on.
        tag: Their names' beginning.
    """
    tags = {name: f"{tag}-{name}" for name in DOCKERFILES}
    with tempfile.TemporaryDirectory() as folder:
        for program, name in PROGRAMS.items():
            shutil.copy(str(shutil.which(program)), Path(folder) / name)
        # What the official image carries inside of its program.
        shutil.copytree("/usr/share/prometheus/alertmanager", Path(folder) / "templates")
        for name, lines in DOCKERFILES.items():
            file = Path(folder) / f"Dockerfile.{name}"
            file.write_text(f"FROM {base}\n{lines}", encoding="utf-8")
            command = ["docker", "build", "-q", "-t", tags[name], "-f", str(file), folder]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
    yield {f"{name.upper()}_IMAGE": tag for name, tag in tags.items()}
    subprocess.run(["docker", "rmi", *tags.values()], capture_output=True, check=False)
