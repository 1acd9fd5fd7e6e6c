"""Bugs planted into the guards of the account: the simulation finds each by what the account really lost."""

from __future__ import annotations

from typing import Any

import pytest
from tests.simulation.__main__ import play
from tests.simulation.plan import Happening
from tests.simulation.test_planted import found, plan

from gmobot.live.account import Account
from gmobot.live.guards import Guards
from gmobot.live.intents import Latch

SECONDS = 200.0
DRAWDOWN: dict[str, str | bool] = {"max_drawdown": "0.00005"}
"""Some five hundred yen of ten million."""
DAY: dict[str, str | bool] = {"daily_loss_limit": "300"}
GENEROUS: dict[str, str | bool] = {"max_drawdown": "0.01", "max_trade_loss": "100000", "daily_loss_limit": "100000"}


@pytest.mark.parametrize("risk", [DRAWDOWN, DAY, GENEROUS])
def test_without_a_bug_nothing_is_found(risk: dict[str, str | bool]) -> None:
    assert play(plan(risk=risk, seconds=SECONDS)).orders >= 5


def blind(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """Let the guards see a number of the account that shows no loss."""
    right = Account.shown

    def shown(self: Account, symbol: str, *, halted: bool) -> Any:  # as the method
        row = right(self, symbol, halted=halted)
        setattr(row, what, row.equity_uyen)
        return row

    monkeypatch.setattr(Account, "shown", shown)


def test_a_drawdown_that_nobody_minds(monkeypatch: pytest.MonkeyPatch) -> None:
    blind(monkeypatch, "peak_equity_uyen")
    assert "a guard halts: " in found(plan(risk=DRAWDOWN, seconds=SECONDS))


def test_a_day_whose_loss_bars_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    blind(monkeypatch, "day_start_equity_uyen")
    assert "a guard bars entries" in found(plan(risk=DAY, seconds=SECONDS))


@pytest.mark.parametrize("reason", ["max_drawdown_exceeded", "max_trade_loss_exceeded"])
def test_a_guard_that_halts_for_nothing(monkeypatch: pytest.MonkeyPatch, reason: str) -> None:
    right = Guards._take

    async def nervous(self: Guards, status: int, bits: int) -> None:
        await right(self, status, bits)
        if not self.halted and any(self._judged.values()):
            await self.set(Latch.HALT, reason, source="guard")

    monkeypatch.setattr(Guards, "_take", nervous)
    assert f"no guard halts for nothing: {reason}" in found(plan(risk=GENEROUS, seconds=SECONDS))


def test_a_withdrawal_that_counts_as_a_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    def unmoved(self: Account, equity_before_uyen: int) -> None:  # as the method
        return

    monkeypatch.setattr(Account, "adjust", unmoved)
    out = Happening(kind="cash", at=40.0, amount=-500_000)
    assert "no guard halts for nothing: max_drawdown_exceeded" in found(plan(out, risk=GENEROUS, seconds=SECONDS))
