"""The account: balances, collateral, limits, and the histories of what came and went.

Source: reference/gmo-coin-api.md §5.1–§5.6.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple

import msgspec

from gmobot.clock import iso_utc, parse_iso_utc
from gmobot.venue.gmo.wire.basics import amount, decode, optional, positive, size, yen
from gmobot.venue.models import Balance, CashFlow, FeeEntry, Margin, TradingLimit, TradingVolume

_YEN: Final = "JPY"
_LIST_KEYS: Final = ("list", "fees", "history")
_CURSOR_KEYS: Final = ("cursor", "nextCursor", "next_cursor", "next")
_AMOUNT_KEYS: Final = ("fee", "feeAmount", "amount", "jpyAmount")
_TIME_KEYS: Final = ("deliveryDatetime", "timestamp")


class AssetData(msgspec.Struct, frozen=True):
    """A row of ``account/assets``."""

    symbol: str
    amount: Decimal
    available: Decimal
    conversionRate: Decimal

    def model(self) -> Balance:
        """Return it normalised."""
        held = yen(self.amount, "balance of JPY") if self.symbol == _YEN else amount(self.amount)
        return Balance(asset=self.symbol, amount=held, available=amount(self.available), jpy_rate=size(self.conversionRate))


class MarginData(msgspec.Struct, frozen=True):
    """``account/margin``. Without a position the ratio is left out; recorded replies lack other keys too."""

    actualProfitLoss: Decimal
    availableAmount: Decimal
    margin: Decimal
    profitLoss: Decimal
    marginRatio: Decimal | None = None
    marginCallStatus: str | None = None
    transferableAmount: Decimal | None = None

    def model(self) -> Margin:
        """Return it normalised."""
        return Margin(
            equity_jpy=amount(self.actualProfitLoss),
            available_jpy=amount(self.availableAmount),
            used_jpy=size(self.margin),
            unrealized_pnl_jpy=amount(self.profitLoss),
            ratio_percent=optional(self.marginRatio),
            call_status=self.marginCallStatus,
            transferable_jpy=optional(self.transferableAmount),
        )


class LimitData(msgspec.Struct, frozen=True):
    """One symbol's daily limits and fees."""

    symbol: str
    takerFee: Decimal
    makerFee: Decimal
    todayLimitOpenSize: Decimal | None = None
    todayLimitBuySize: Decimal | None = None
    todayLimitSellSize: Decimal | None = None

    def model(self) -> TradingLimit:
        """Return it normalised; the leverage symbol is spelt ``BTC/JPY`` by some and ``BTC_JPY`` by others."""
        return TradingLimit(
            symbol=self.symbol.replace("/", "_"),
            taker_fee=amount(self.takerFee),
            maker_fee=amount(self.makerFee),
            open_size=optional(self.todayLimitOpenSize),
            buy_size=optional(self.todayLimitBuySize),
            sell_size=optional(self.todayLimitSellSize),
        )


class VolumeData(msgspec.Struct, frozen=True):
    """``account/tradingVolume``."""

    jpyVolume: Decimal
    tierLevel: int
    limit: tuple[LimitData, ...] = ()

    def model(self) -> TradingVolume:
        """Return it normalised."""
        return TradingVolume(volume_jpy=size(self.jpyVolume), tier=self.tierLevel, limits=tuple(row.model() for row in self.limit))


class CashFlowData(msgspec.Struct, frozen=True):
    """A row of the deposit and withdrawal histories."""

    amount: Decimal
    status: str
    symbol: str
    timestamp: str
    fee: Decimal | None = None
    address: str | None = None
    txHash: str | None = None

    def model(self) -> CashFlow:
        """Return it normalised."""
        at_ns = parse_iso_utc(self.timestamp)
        moved, fee = size(self.amount), optional(self.fee)
        if self.symbol == _YEN:
            when = iso_utc(at_ns)
            moved, fee = yen(moved, f"amount of {when}"), None if fee is None else yen(fee, f"fee of {when}")
        return CashFlow(
            asset=self.symbol,
            amount=moved,
            status=self.status,
            at_ns=at_ns,
            fee=fee,
            address=self.address,
            transaction=self.txHash,
        )


class TransferData(msgspec.Struct, frozen=True):
    """A row of the reply of ``account/transfer``."""

    transferredAmount: Decimal

    def model(self) -> Decimal:
        """Return what was moved, in yen."""
        return positive(self.transferredAmount)


class FeePage(NamedTuple):
    """Some rows of the fee history, and where the next ones are."""

    entries: list[FeeEntry]
    cursor: str | None


def fee_page(data: msgspec.Raw) -> FeePage:
    """Return a page of ``exchangeFee/history``, whose row shape and cursor name are not known for certain (§5.5).

    A bare array and ``{}`` pass, and so does a list under a likely key. An object with neither is no empty
    list but a shape nobody foresaw.

    Raises:
        Exception: One of :data:`gmobot.venue.gmo.wire.MALFORMED`.
    """
    found: Any = decode(data, object)
    if isinstance(found, list):
        return FeePage([_fee_entry(row) for row in found], None)
    if not isinstance(found, dict):
        raise msgspec.ValidationError("a fee history that is neither an object nor an array")
    rows = next((found[key] for key in _LIST_KEYS if isinstance(found.get(key), list)), None)
    if rows is None and found:
        raise msgspec.ValidationError("a fee history without a list")
    return FeePage([_fee_entry(row) for row in rows or ()], _cursor(found))


def _cursor(found: Mapping[str, Any]) -> str | None:
    places = [found] + [value for value in found.values() if isinstance(value, dict)]
    values = [place[key] for place in places for key in _CURSOR_KEYS if place.get(key)]
    return str(values[0]) if values and isinstance(values[0], str | int) else None


def _fee_entry(row: object) -> FeeEntry:
    if not isinstance(row, dict):
        raise msgspec.ValidationError("a fee that is not an object")
    fields = {str(key): str(value) for key, value in row.items() if isinstance(value, str | int | float) and not isinstance(value, bool)}
    when = _first(fields, _TIME_KEYS)
    at_ns = None if when is None else parse_iso_utc(when)
    fee = _first(fields, _AMOUNT_KEYS)
    return FeeEntry(
        kind=fields.get("feeType", ""),
        at_ns=at_ns,
        symbol=fields.get("symbol"),
        amount_jpy=None if fee is None else yen(Decimal(fee), "fee" if at_ns is None else f"fee of {iso_utc(at_ns)}"),
        fields=fields,
    )


def _first(fields: Mapping[str, str], keys: tuple[str, ...]) -> str | None:
    return next((fields[key] for key in keys if key in fields), None)
