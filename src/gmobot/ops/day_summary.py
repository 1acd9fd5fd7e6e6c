"""What a trading day brought, in a few lines. The figures come from the ledgers; nothing is worked out twice."""

from __future__ import annotations

from datetime import datetime

import msgspec

from gmobot.clock import JST, NS_PER_SECOND, trading_day_start_ns
from gmobot.ops.notices import Notice, Severity, yen
from gmobot.ops.words import Said


class DayFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One closed trading day; money in yen.

    Attributes:
        day: Its number (:func:`gmobot.clock.trading_day`).
        profit_jpy: Change of equity that trading brought, open positions at the market.
        realized_jpy: Of closed trades, before fees.
        positions: Coins by symbol at its end.
    """

    day: int
    equity_jpy: str
    profit_jpy: str
    realized_jpy: str
    fees_jpy: str
    drawdown: float
    fills: int
    trades: int
    positions: dict[str, str]


def summary(figures: DayFigures) -> Notice:
    """Return the day in words."""
    began = datetime.fromtimestamp(trading_day_start_ns(figures.day) // NS_PER_SECOND, JST).strftime("%Y-%m-%d")
    held = ", ".join(f"{symbol} {size}" for symbol, size in figures.positions.items()) or None
    profit, realized = yen(figures.profit_jpy, signed=True), yen(figures.realized_jpy, signed=True)
    equity, fees, drawdown = yen(figures.equity_jpy), yen(figures.fees_jpy), f"{figures.drawdown * 100:.2f} %"
    ja = (
        f"日次まとめ {began} 06:00 からの1日\n"
        f"　損益 {profit} 円（実現 {realized} 円、手数料 {fees} 円）\n"
        f"　資産 {equity} 円、ドローダウン {drawdown}\n"
        f"　約定 {figures.fills} 件、決済した取引 {figures.trades} 件、保有 {held or 'なし'}"
    )
    en = (
        f"Daily summary, the day from {began} 06:00 JST\n"
        f"  result {profit} JPY (realized {realized}, fees {fees})\n"
        f"  equity {equity} JPY, drawdown {drawdown}\n"
        f"  fills {figures.fills}, closed trades {figures.trades}, held {held or 'nothing'}"
    )
    return Notice(Severity.INFO, f"day:{figures.day}", Said(ja, en))
