"""What every test shares: coroutine tests, and the real market data where it is at hand."""

from __future__ import annotations

import asyncio
import inspect
import os
from pathlib import Path

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run ``async def`` tests on a fresh loop in debug mode, so that forgotten awaits and slow callbacks show."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = pyfuncitem._fixtureinfo.argnames
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in wanted}), debug=True)
    return True


@pytest.fixture(scope="session")
def market_data() -> Path:
    """The folder of real recorded market data; tests that need it skip without it."""
    folder = os.environ.get("GMOBOT_DATA")
    if not folder:
        pytest.skip("GMOBOT_DATA is not set: real market data is not at hand")
    return Path(folder)
