"""Which test runs which line: one run of the suite under coverage, a context per test."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import coverage
import pytest
from tests.mutation.subjects import SUBJECTS


@dataclass
class Trace:
    """What one run of the suite showed.

    Attributes:
        seconds: Processor time of each test that passed, by its node id.
        lines: For each file and line, the tests that ran it; the empty name stands for the import.
        failed: Tests that did not pass; nothing can be measured with them, nor with those that were skipped.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    lines: dict[Path, dict[int, frozenset[str]]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    def tests_of(self, path: Path, lines: tuple[int, int] | None = None) -> frozenset[str]:
        """Return the tests that ran any of the lines of a file; without ``lines``, any line at all."""
        ran = self.lines.get(path, {})
        return frozenset[str]().union(*(tests for line, tests in ran.items() if lines is None or lines[0] <= line <= lines[1])) - {""}


class Tracer:
    """A pytest plugin that fills a :class:`Trace`."""

    def __init__(self, measure: coverage.Coverage) -> None:
        self.trace = Trace()
        self._measure = measure
        self._skipped: list[str] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._measure.switch_context(item.nodeid)
        began = time.process_time()
        done = yield
        self.trace.seconds[item.nodeid] = time.process_time() - began
        return done

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.trace.failed.append(report.nodeid)
        elif report.skipped:
            self._skipped.append(report.nodeid)

    def finished(self) -> Trace:
        """Return the trace, without what did not pass."""
        for name in (*self.trace.failed, *self._skipped):
            self.trace.seconds.pop(name, None)
        return self.trace


def measure() -> coverage.Coverage:
    """Return a measurement of every branch of the subjects, from which nothing is excluded."""
    files = [str(path) for path in SUBJECTS]
    wanted = coverage.Coverage(data_file=None, config_file=False, branch=True, include=files, concurrency=["thread"], messages=False)
    wanted.set_option("report:exclude_lines", [])
    return wanted


def traced(arguments: list[str]) -> Trace:
    """Run pytest once and return what ran; to be called in a process that has not imported the subjects yet."""
    measuring = measure()
    tracer = Tracer(measuring)
    measuring.start()
    try:
        pytest.main(arguments, plugins=[tracer])
    finally:
        measuring.stop()
    data = measuring.get_data()
    for path in SUBJECTS:
        found = data.contexts_by_lineno(str(path))
        tracer.trace.lines[path] = {line: frozenset(tests) for line, tests in found.items()}
    return tracer.finished()
