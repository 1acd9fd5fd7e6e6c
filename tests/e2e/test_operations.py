"""The operations document, typed in from top to bottom by somebody with a fresh clone and the real Docker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.e2e.operations import ASIDE, TABLE, Row
from tests.e2e.operator import Operator
from tests.e2e.stack import docker_answers

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.docker,
    pytest.mark.skipif(not docker_answers(), reason="no Docker daemon answers; see .ci/with_docker.sh"),
]
ROWS = (*TABLE, *ASIDE)


@pytest.fixture(scope="module")
def operator() -> Iterator[Operator]:
    """One operator for the whole document: what one command leaves is what the next one finds."""
    person = Operator()
    try:
        yield person
    finally:
        person.close()


@pytest.fixture(scope="module")
def stopped_at() -> list[str]:
    """The command that did not do what it should; after it nothing proves anything."""
    return []


@pytest.mark.parametrize("row", ROWS, ids=[f"{number:02d} {row.command}" for number, row in enumerate(ROWS, start=1)])
def test_the_command_does_what_the_document_says(operator: Operator, stopped_at: list[str], row: Row) -> None:
    if stopped_at:
        pytest.skip(f"{stopped_at[0]} failed before")
    stopped_at.append(row.command)
    operator.carry_out(row)
    stopped_at.clear()
