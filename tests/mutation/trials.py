"""Trials: one forked process per mutant, which runs the tests of the mutated line until one fails.

Two kinds of parent. The warm one is a pytest session that has collected everything; its children replace the code of
functions and run items at once. The cold one has imported heavy libraries and nothing of ours; its children
import a mutated module and start pytest. A child that hangs has been killed as well as one that fails.
"""

from __future__ import annotations

import gc
import importlib
import itertools
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.mutation.mutants import Mutant, Source
from tests.mutation.planting import LiveFunctions, MutatedImport
from tests.mutation.tracing import Trace

SURVIVED, KILLED, UNREACHED = 0, 1, 3
_MEMORY_MORE = 3 << 30
_CPU_SECONDS, _REAL_SECONDS = 2.0, 20.0
"""What every test may take, and ``_SLACK`` times what it took before: hanging is noticed also where others use the machine."""
_SLACK = 10.0
_MOST_SECONDS = 12.0
"""Processor time of the tests that are run against one mutant at most, the quick ones first."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a trial ended. ``by`` is the test that failed, or what else ended it; empty for a survivor."""

    mutant: Mutant
    by: str
    seconds: float


@dataclass(slots=True)
class _Child:
    mutant: Mutant
    tests: Sequence[str]
    began: float
    pipe: int
    folder: Path


class Order:
    """Which tests to run against a mutant, in which order: those that killed its neighbours first, then the quick."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._killers: dict[tuple[Path, str], dict[str, int]] = {}

    def tests(self, mutant: Mutant) -> list[str]:
        """Return the tests of a mutant's line in its room; of its file, if the line runs at import only."""
        lines = mutant.lines if mutant.within else None
        killers = self._killers.get((mutant.path, mutant.within), {})
        seconds = self._trace.seconds
        room = f"tests/{mutant.path.parent.name}/"
        found = [test for test in self._trace.tests_of(mutant.path, lines) if test in seconds and test.startswith(room)]
        found.sort(key=lambda test: (-killers.get(test, 0), seconds[test], test))
        total = itertools.accumulate(seconds[test] for test in found)
        return [test for test, so_far in zip(found, total, strict=True) if so_far <= _MOST_SECONDS]

    def learn(self, verdict: Verdict) -> None:
        """Remember who killed."""
        if verdict.by in self._trace.seconds:
            of = self._killers.setdefault((verdict.mutant.path, verdict.mutant.within), {})
            of[verdict.by] = of.get(verdict.by, 0) + 1

    def seconds(self, test: str) -> float:
        """Return how long a test took before."""
        return self._trace.seconds.get(test, 1.0)


class Trials:
    """Runs children, ``jobs`` at a time.

    Args:
        child: What a child does with a mutant, its tests and a way to name the test that failed; returns the exit status.
    """

    def __init__(self, order: Order, jobs: int, child: Callable[[Mutant, Sequence[str], Callable[[str], None]], int]):
        self._order, self._jobs, self._child = order, jobs, child
        self._running: dict[int, _Child] = {}

    def run(self, mutants: Iterable[Mutant], tell: Callable[[Verdict], None]) -> None:
        """Try every mutant."""
        gc.collect()
        gc.freeze()
        for mutant in mutants:
            tests = self._order.tests(mutant)
            if not tests:
                tell(Verdict(mutant, "", 0.0))
                continue
            while len(self._running) >= self._jobs:
                self._reap(tell)
            self._start(mutant, tests)
        while self._running:
            self._reap(tell)

    def _start(self, mutant: Mutant, tests: Sequence[str]) -> None:
        reading, writing = os.pipe()
        folder = Path(tempfile.mkdtemp(prefix="gmobot-mutant-", dir=fast_folder()))
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            if mutant.path.parent.name == "core":  # compiled mutants must not stay in anybody's cache
                os.environ["GMOBOT_CACHE_DIR"] = os.environ["NUMBA_CACHE_DIR"] = str(folder)
            _become_a_child()
            status = KILLED

            def say(test: str) -> None:
                os.write(writing, f"{test}\n".encode())

            try:
                status = self._child(mutant, tests, say)
            except BaseException as error:
                os.write(writing, f"{type(error).__name__}: {error}\n".encode()[:300])
            finally:
                os._exit(status)
        os.close(writing)
        self._running[pid] = _Child(mutant, tests, time.monotonic(), reading, folder)

    def _reap(self, tell: Callable[[Verdict], None]) -> None:
        pid, status = os.waitpid(-1, os.WNOHANG)
        now = time.monotonic()
        if pid == 0:
            time.sleep(0.002)
            return
        child = self._running.pop(pid)
        said = os.read(child.pipe, 4096).decode(errors="replace").partition("\n")[0]
        os.close(child.pipe)
        shutil.rmtree(child.folder, ignore_errors=True)
        code = os.waitstatus_to_exitcode(status)
        if code == UNREACHED:
            raise SystemExit(f"{child.mutant.path}:{child.mutant.line}: {child.mutant.name} could not be planted; mend tests/mutation")
        by = "" if code == SURVIVED else said or f"ended by {signal.Signals(-code).name}" if code < 0 else said or f"exit code {code}"
        verdict = Verdict(child.mutant, by, now - child.began)
        self._order.learn(verdict)
        tell(verdict)


def fast_folder() -> Path:
    """Return a folder in memory if there is one: fsync costs nothing there."""
    memory = Path("/dev/shm")
    return memory if os.access(memory, os.W_OK) else Path(tempfile.gettempdir())


def _become_a_child() -> None:
    """Be quiet and be mortal."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nothing, fd)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + _MEMORY_MORE, used + _MEMORY_MORE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class Watch:
    """A pytest plugin that notes the first test that fails, and ends the process in a test that hangs."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self.name = ""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        before = _SLACK * self._order.seconds(item.nodeid)
        signal.setitimer(signal.ITIMER_PROF, _CPU_SECONDS + before)
        signal.setitimer(signal.ITIMER_REAL, _REAL_SECONDS + before)
        try:
            return (yield)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0.0)
            signal.setitimer(signal.ITIMER_REAL, 0.0)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.name:
            self.name = report.nodeid


class WarmSession:
    """A pytest plugin that tries mutants instead of running the tests it has collected."""

    def __init__(self, sources: dict[Path, Source], mutants: Sequence[Mutant], order: Order, jobs: int, tell: Callable[[Verdict], None]):
        self._sources, self._mutants, self._order, self._jobs, self._tell = sources, mutants, order, jobs, tell

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        functions = LiveFunctions(list(self._sources))
        sound = {path: source.sound() for path, source in self._sources.items()}
        failure = Watch(self._order)
        session.config.pluginmanager.register(failure)

        def child(mutant: Mutant, tests: Sequence[str], say: Callable[[str], None]) -> int:
            if not functions.plant(sound[mutant.path], self._sources[mutant.path].compiled(mutant)):
                return UNREACHED
            chosen = [items[test] for test in tests]
            for item, after in zip(chosen, [*chosen[1:], None], strict=True):
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
                if failure.name:
                    say(failure.name)
                    return KILLED
            return SURVIVED

        Trials(self._order, self._jobs, child).run(self._mutants, self._tell)
        return True


class Chosen:
    """A pytest plugin that keeps and orders the tests that are wanted."""

    def __init__(self, tests: Sequence[str]) -> None:
        self._place = {test: place for place, test in enumerate(tests)}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted((item for item in items if item.nodeid in self._place), key=lambda item: self._place[item.nodeid])


def cold_child(sources: dict[Path, Source], order: Order) -> Callable[[Mutant, Sequence[str], Callable[[str], None]], int]:
    """Return what a child of a cold parent does."""

    def child(mutant: Mutant, tests: Sequence[str], say: Callable[[str], None]) -> int:
        MutatedImport(mutant.path, sources[mutant.path].compiled(mutant)).install()
        failure = Watch(order)
        files = sorted({test.partition("::")[0] for test in tests})
        status = pytest.main([*PYTEST, "-x", *files], plugins=[Chosen(tests), failure])
        if status == pytest.ExitCode.OK:
            return SURVIVED
        say(failure.name or f"pytest: {status.name if isinstance(status, pytest.ExitCode) else status}")
        return KILLED

    return child


PYTEST = (
    *("-q", "-s", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:cov", "-m", "not e2e"),
    *("-o", "tmp_path_retention_policy=none", "-W", "ignore::pytest.PytestAssertRewriteWarning"),
)


def preload() -> None:
    """Import what is heavy and not ours, once for all children."""
    for name in ("aiohttp", "hypothesis", "msgspec", "numba", "numpy", "prometheus_client", "pydantic", "structlog", "yaml"):
        importlib.import_module(name)
    assert not any(name == "gmobot" or name.startswith("gmobot.") for name in sys.modules)
    import hypothesis

    hypothesis.settings.register_profile(
        "mutation", derandomize=True, database=None, deadline=None, phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate)
    )
    hypothesis.settings.load_profile("mutation")
