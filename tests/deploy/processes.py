"""Prometheus, Alertmanager and a webhook as real processes and sockets on loopback, on the files of deploy/."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.deploy.monitoring import ALERTMANAGER, PROMETHEUS
from tests.ports import free_port


def get(url: str) -> Any:
    """Return the JSON that a GET answers with."""
    with urllib.request.urlopen(url, timeout=10) as reply:
        return json.loads(reply.read())


def until(holds: Callable[[], bool], what: str | Callable[[], str], *, seconds: float) -> None:
    """Wait until something in another process holds; ``what`` may be found out only when it does not.

    Raises:
        AssertionError: It does not, in time.
    """
    give_up = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < give_up, f"{what if isinstance(what, str) else what()}: not within {seconds} s"
        time.sleep(0.1)


@contextmanager
def running(command: list[str], log: Path, ready: str) -> Iterator[None]:
    """Keep a process running whose ``ready`` URL answers."""
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out, cwd=log.parent) as process:

        def answers() -> bool:
            assert process.poll() is None, log.read_text(encoding="utf-8")
            try:
                return bool(urllib.request.urlopen(ready, timeout=2).status == 200)
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                return False

        try:
            until(answers, f"{command[0]} answers", seconds=30)
            yield
        finally:
            process.terminate()
            process.wait(20)


@contextmanager
def discord(*, refusals: int = 0) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Stand for Discord, which refuses the first messages: the webhook's URL, and the messages that came through."""
    messages: list[dict[str, Any]] = []
    refused: list[object] = []

    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            fine = len(refused) >= refusals
            (messages if fine else refused).append(message)
            self.send_response(204 if fine else 400)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Webhook)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/api/webhooks/1/x", messages
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def alertmanager(folder: Path, webhook: str, *, quick: bool = True) -> Iterator[str]:
    """Run Alertmanager on the deployed configuration; yields its address.

    Debian's version is older than ``webhook_url_file``, so the URL is put in its place.
    """
    port = free_port()
    config = folder / "alertmanager.yml"
    config.write_text(with_url(webhook, quick=quick), encoding="utf-8")
    command = ["prometheus-alertmanager", f"--config.file={config}", f"--storage.path={folder / 'alertmanager'}"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="]
    with running(command, folder / "alertmanager.log", f"http://127.0.0.1:{port}/-/ready"):
        yield f"127.0.0.1:{port}"


def with_url(webhook: str, *, quick: bool = False) -> str:
    """Return the deployed configuration with the webhook in the file's place, and waiting for a second at most if quick."""
    content = ALERTMANAGER.read_text(encoding="utf-8")
    file = "webhook_url_file: /run/alertmanager/discord_webhook_url"
    assert file in content
    content = content.replace(file, f"webhook_url: {webhook}")
    waits = (("group_wait: 5s", "group_wait: 1s"), ("group_wait: 30s", "group_wait: 2s"), ("group_interval: 1m", "group_interval: 2s"))
    for deployed, here in waits if quick else ():
        assert deployed in content
        content = content.replace(deployed, here)
    return content


@contextmanager
def prometheus(folder: Path, *, bot: str, alerts_to: str) -> Iterator[str]:
    """Run Prometheus on the deployed configuration, looking every second; yields its URL."""
    port = free_port()
    for path in PROMETHEUS.glob("*.yml"):
        shutil.copy(path, folder)
    config = folder / "prometheus.yml"
    content = config.read_text(encoding="utf-8")
    for deployed, here in (
        ("bot:9754", bot),
        ("alertmanager:9093", alerts_to),
        ("127.0.0.1:9090", f"127.0.0.1:{port}"),
        ("_interval: 15s", "_interval: 1s"),
        ("scrape_timeout: 10s", "scrape_timeout: 1s"),
    ):
        assert deployed in content
        content = content.replace(deployed, here)
    config.write_text(content, encoding="utf-8")
    command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}", f"--web.listen-address=127.0.0.1:{port}"]
    with running(command, folder / "prometheus.log", f"http://127.0.0.1:{port}/-/ready"):
        yield f"http://127.0.0.1:{port}"


def ask(url: str, expression: str) -> list[dict[str, Any]]:
    """Return the samples of a query as of now, those that are no number left out.

    Raises:
        AssertionError: Prometheus does not take the query.
        OSError: It does not answer, or still starts.
    """
    try:
        answer = get(f"{url}/api/v1/query?{urllib.parse.urlencode({'query': expression})}")
    except urllib.error.HTTPError as error:
        if error.code == 503:  # it still starts
            raise
        raise AssertionError(f"{expression}: {error.read().decode()}") from None
    assert answer["data"]["resultType"] == "vector", expression
    return [sample for sample in answer["data"]["result"] if sample["value"][1] != "NaN"]
