"""Private endpoints about the account: collateral, balances, limits, and what flowed in and out.

Source: reference/gmo-coin-api.md §5.1–§5.5.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

from gmobot.clock import NS_PER_MS, NS_PER_SECOND, iso_utc
from gmobot.errors import Category, Unavailable
from gmobot.venue.gmo import wire
from gmobot.venue.gmo.requester import PAGE, Requester, one, rows
from gmobot.venue.models import Balance, CashFlow, FeeEntry, Margin, TradingVolume

_WINDOW_NS: Final = 1_800 * NS_PER_SECOND
"""Longest span one question about deposits may cover; longer is refused with ERR-846."""
_FEE_DAYS: Final = 7
_MOST_FEE_PAGES: Final = 100


class AccountEndpoints(Requester):
    """What the account holds and what became of its money outside of trading."""

    async def margin(self) -> Margin:
        """Return equity, buying power and margin in use."""
        return await self._private("/v1/account/margin", one(wire.MarginData, lambda data: data.model()))

    async def assets(self) -> list[Balance]:
        """Return all balances."""
        return await self._private("/v1/account/assets", rows(wire.AssetData))

    async def trading_volume(self) -> TradingVolume:
        """Return the week's volume, daily limits and fees; from here on the limiter keeps to the tier it tells."""
        volume = await self._private("/v1/account/tradingVolume", one(wire.VolumeData, lambda data: data.model()))
        self._limiter.set_tier(volume.tier)
        return volume

    async def fiat_deposits(self, from_ns: int, to_ns: int) -> list[CashFlow]:
        """Return deposits of yen in ``[from_ns, to_ns)``; a day is 48 questions."""
        return await self._flows("/v1/account/fiatDeposit/history", from_ns, to_ns)

    async def fiat_withdrawals(self, from_ns: int, to_ns: int) -> list[CashFlow]:
        """Return withdrawals of yen in ``[from_ns, to_ns)``; a day is 48 questions."""
        return await self._flows("/v1/account/fiatWithdrawal/history", from_ns, to_ns)

    async def deposits(self, asset: str, from_ns: int, to_ns: int) -> list[CashFlow]:
        """Return deposits of a coin in ``[from_ns, to_ns)``; a day is 48 questions."""
        return await self._flows("/v1/account/deposit/history", from_ns, to_ns, symbol=asset)

    async def withdrawals(self, asset: str, from_ns: int, to_ns: int) -> list[CashFlow]:
        """Return withdrawals of a coin in ``[from_ns, to_ns)``; a day is 48 questions."""
        return await self._flows("/v1/account/withdrawal/history", from_ns, to_ns, symbol=asset)

    async def exchange_fees(self, first_day: date, last_day: date) -> list[FeeEntry]:
        """Return the fees booked on some trading days (06:00 JST on), both included.

        Raises:
            Unavailable: Also when the pages do not come to an end.
        """
        entries: list[FeeEntry] = []
        while first_day <= last_day:
            until = min(last_day, first_day + timedelta(days=_FEE_DAYS - 1))
            entries += await self._fees(f"{first_day:%Y%m%d}", f"{until:%Y%m%d}")
            first_day = until + timedelta(days=1)
        return entries

    async def _fees(self, from_date: str, to_date: str) -> list[FeeEntry]:
        entries: list[FeeEntry] = []
        seen: set[str] = set()
        query: dict[str, str | int] = {"fromDate": from_date, "toDate": to_date, "count": PAGE}
        for _ in range(_MOST_FEE_PAGES):
            page = await self._private("/v1/account/exchangeFee/history", lambda envelope: wire.fee_page(envelope.data), **query)
            entries += page.entries
            # A cursor after the last row is no promise of more: an empty page ends the list too.
            if page.cursor is None or not page.entries:
                return entries
            if page.cursor in seen:
                break
            seen.add(page.cursor)
            query["cursor"] = page.cursor
        raise Unavailable("GET /v1/account/exchangeFee/history: pages without end", category=Category.EXCHANGE)

    async def _flows(self, path: str, from_ns: int, to_ns: int, **query: str) -> list[CashFlow]:
        """Ask window by window. Windows end a millisecond before the next begins: no row twice, none lost."""
        found: list[CashFlow] = []
        start_ns, end_ns = from_ns // NS_PER_MS * NS_PER_MS, -(-to_ns // NS_PER_MS) * NS_PER_MS
        while start_ns < end_ns:
            next_ns = min(start_ns + _WINDOW_NS, end_ns)
            window = {"fromTimestamp": iso_utc(start_ns), "toTimestamp": iso_utc(next_ns - NS_PER_MS)}
            found += await self._private(path, rows(wire.CashFlowData), **query, **window)
            start_ns = next_ns
        return found
