"""A recorded day sixty times faster, a folder whose path fits into a socket's address, and a clone with Compose in it."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.processes import DAY, Bot, Emulator
from tests.e2e.stack import IMAGE, ROOT, Stack, clone, compose_program


@pytest.fixture
def emulator(market_data: Path) -> Iterator[Emulator]:
    """Real trades of one day."""
    exchange = Emulator("--market", str(market_data / DAY), "--speed", "60")
    yield exchange
    exchange.close()


@pytest.fixture
def bot(emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bot]:
    """A bot that is not running yet; whatever a test leaves running is killed."""
    trader = Bot(tmp_path_factory.mktemp("b"), emulator.url)
    yield trader
    trader.kill()


@pytest.fixture(scope="session")
def image() -> str:
    """The image, built once for all tests, as Compose builds it; who tests beside us waits and finds it built."""
    command = [*compose_program(), "build", "bot"]
    with (Path(tempfile.gettempdir()) / "gmobot-e2e.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(command, cwd=ROOT, env=os.environ | {"GMOBOT_IMAGE": IMAGE}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr
    return IMAGE


@pytest.fixture
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """A fresh clone, with nothing beside what is under version control; taken down afterwards."""
    uid = getattr(request, "param", os.geteuid())
    if uid != os.geteuid() and os.geteuid() != 0:
        pytest.skip("only root can be other users")
    made = Stack(uid)
    try:
        yield made
    finally:
        made.remove()


@pytest.fixture
def spoilt() -> Iterator[Path]:
    """A copy of the house that a test may spoil."""
    folder = Path(tempfile.mkdtemp(prefix="gmobot-spoilt."))
    clone(folder)
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
