"""An account's positions as customers see them: single ones, sums, and the account's margin figures.

Source: reference/gmo-coin-api.md §5.1, §5.11, §5.12, §8.6, §8.7.
"""

from __future__ import annotations

from typing import Any

from gmobot.clock import iso_utc
from gmobot.core.instrument import to_yen
from gmobot.emulator.engine.exchange import Exchange
from gmobot.emulator.engine.records import Account, Position, Total
from gmobot.emulator.protocol import wire


def position_row(exchange: Exchange, position: Position) -> dict[str, Any]:
    """Return a row of openPositions."""
    return _row(exchange, position, position.lots)


def position_frame(exchange: Exchange, position: Position, news: str) -> dict[str, Any]:
    """Return a ``positionEvents`` frame; ``news`` is the wire's ``msgType``."""
    gone_as_last = news == "CPR" and exchange.assumptions.closed_size == "last"
    row = _row(exchange, position, position.last_closed if gone_as_last else position.lots)
    return {"channel": "positionEvents"} | row | {"msgType": news}


def summary_rows(exchange: Exchange, account: Account, symbol: str | None = None) -> list[dict[str, Any]]:
    """Return the rows of positionSummary, one for each symbol and side that has positions."""
    return [_summary(exchange, account, key) for key in account.totals if symbol in (None, key[0])]


def summary_frame(exchange: Exchange, account: Account, symbol: str, side: str, news: str) -> dict[str, Any]:
    """Return a ``positionSummaryEvents`` frame; all zeros when nothing is left."""
    row = _summary(exchange, account, (symbol, side))
    return {"channel": "positionSummaryEvents"} | row | {"timestamp": iso_utc(exchange.clock.now_ns()), "msgType": news}


def margin_figures(exchange: Exchange, account: Account) -> dict[str, str]:
    """Return the data of account/margin; ``marginRatio`` is there only with a position."""
    margins = exchange.ledger.margins
    ratio = margins.ratio_percent(account)
    return {
        "actualProfitLoss": wire.number(to_yen(margins.equity_uyen(account))),
        "availableAmount": wire.number(to_yen(max(0, margins.available_uyen(account)))),
        "margin": wire.number(to_yen(margins.used_uyen(account))),
        "marginCallStatus": margins.status(account),
        **({} if ratio is None else {"marginRatio": f"{ratio:f}"}),
        "profitLoss": wire.number(to_yen(margins.unrealised_uyen(account))),
        "transferableAmount": wire.number(to_yen(max(0, margins.spendable_uyen(account)))),
    }


def _row(exchange: Exchange, position: Position, lots: int) -> dict[str, Any]:
    margins = exchange.ledger.margins
    total = Total(position.lots, position.lots * position.ticks)
    gain = margins.unrealised_of(position.symbol, position.side, total)
    return wire.position_row(position, lots, gain, exchange.assumptions.leverage, exchange.instruments[position.symbol])


def _summary(exchange: Exchange, account: Account, key: tuple[str, str]) -> dict[str, Any]:
    total = account.totals.get(key, Total())
    reserved = sum(position.reserved for position in account.positions_of(*key))
    gain = exchange.ledger.margins.unrealised_of(*key, total)
    return wire.summary_row(key, total, reserved, gain, exchange.instruments[key[0]])
