"""Failing checks show their values, wherever in the suite they stand."""

import pytest

pytest.register_assert_rewrite(
    "tests.conformance.cases", "tests.conformance.shapes", "tests.conformance.speech", "tests.conformance.target"
)
