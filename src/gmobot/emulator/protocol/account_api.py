"""The private endpoints about the account: margin, assets, volumes, histories, transfer.

Source: reference/gmo-coin-api.md §5.1 to §5.6.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from gmobot.clock import NS_PER_SECOND, iso_utc, parse_iso_utc, trading_day
from gmobot.core.instrument import UYEN_PER_YEN, to_yen
from gmobot.emulator.engine.checks import Refusal
from gmobot.emulator.engine.days import day_of, trading_week
from gmobot.emulator.engine.exchange import Exchange
from gmobot.emulator.engine.records import Account, Flow
from gmobot.emulator.engine.tiers import tier
from gmobot.emulator.protocol import wire
from gmobot.emulator.protocol.parameters import Values, positive, whole_number, word_of
from gmobot.emulator.protocol.positions import margin_figures

_WINDOW_NS = 1_800 * NS_PER_SECOND
_MOST_DAYS = 7
_MOST_ROWS = 100


class Fee(NamedTuple):
    """A row of the fee history; above zero was paid."""

    at_ns: int
    kind: str
    symbol: str
    uyen: int
    position_id: int = 0


class AccountApi:
    """Answers with JSON-ready data."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.routes = {
            ("GET", "/v1/account/margin"): lambda account, _: margin_figures(exchange, account),
            ("GET", "/v1/account/assets"): self._assets,
            ("GET", "/v1/account/tradingVolume"): self._trading_volume,
            ("GET", "/v1/account/fiatDeposit/history"): lambda account, values: self._fiat(account, values, "deposit"),
            ("GET", "/v1/account/fiatWithdrawal/history"): lambda account, values: self._fiat(account, values, "withdrawal"),
            ("GET", "/v1/account/deposit/history"): lambda account, values: self._crypto(account, values, "deposit"),
            ("GET", "/v1/account/withdrawal/history"): lambda account, values: self._crypto(account, values, "withdrawal"),
            ("GET", "/v1/account/exchangeFee/history"): self._exchange_fees,
            ("POST", "/v1/account/transfer"): self._transfer,
        }

    def _assets(self, account: Account, _: Values) -> list[dict[str, str]]:
        """Every currency, zero balances included; a coin that only leverage trades has no balance."""
        exchange, reserves = self._exchange, self._exchange.assumptions.available_reserves
        free = max(0, exchange.ledger.margins.spendable_uyen(account)) if reserves else account.jpy_uyen
        jpy = {"amount": wire.number(to_yen(account.jpy_uyen)), "available": wire.number(to_yen(free))}
        rows = {"JPY": jpy | {"conversionRate": "1", "symbol": "JPY"}}
        for symbol, market in sorted(exchange.symbols.items(), key=lambda item: item[1].leverage):
            instrument, lots = market.instrument, account.coins.get(symbol, 0)
            if instrument.base not in rows:
                rows[instrument.base] = {
                    "amount": wire.number(instrument.size(lots)),
                    "available": wire.number(instrument.size(account.free_lots(symbol) if reserves else lots)),
                    "conversionRate": wire.number(instrument.price(market.book.last)),
                    "symbol": instrument.base,
                }
        return list(rows.values())

    def _trading_volume(self, account: Account, _: Values) -> dict[str, Any]:
        """The running week's volume, and per symbol what may still be traded today."""
        exchange, now = self._exchange, self._exchange.clock.now_ns()
        limits: list[dict[str, str]] = []
        for symbol, market in exchange.symbols.items():
            name = f"{market.instrument.base}/JPY" if market.leverage and exchange.assumptions.limit_slash else symbol
            sides = {"todayLimitOpenSize": "BUY"} if market.leverage else {"todayLimitBuySize": "BUY", "todayLimitSellSize": "SELL"}
            sizes = {
                key: wire.number(market.instrument.size(exchange.checks.left_today(account, symbol, side, now)))
                for key, side in sides.items()
            }
            fees = {"takerFee": wire.number(market.instrument.taker_fee), "makerFee": wire.number(market.instrument.maker_fee)}
            limits.append({"symbol": name} | sizes | fees)
        volume = account.volumes.get(trading_week(now), 0) // UYEN_PER_YEN
        return {"jpyVolume": str(volume), "tierLevel": tier(account, now, exchange.assumptions), "limit": limits}

    def _fiat(self, account: Account, values: Values, kind: str) -> list[dict[str, str]]:
        return [
            {
                "amount": wire.number(to_yen(abs(flow.amount))),
                "fee": "0",
                "status": "EXECUTED",
                "symbol": "JPY",
                "timestamp": iso_utc(flow.at_ns),
            }
            for flow in self._flows(account, values, kind, "JPY")
        ]

    def _crypto(self, account: Account, values: Values, kind: str) -> list[dict[str, str]]:
        spot = {symbol: market.instrument for symbol, market in self._exchange.symbols.items() if not market.leverage}
        asset = word_of(values.get("symbol"), spot, "symbol")
        return [
            {
                "address": f"emulator-{asset}",
                "amount": wire.number(spot[asset].size(abs(flow.amount))),
                "fee": "0",
                "status": "EXECUTED",
                "symbol": asset,
                "timestamp": iso_utc(flow.at_ns),
                "txHash": flow.reference,
            }
            for flow in self._flows(account, values, kind, asset)
        ]

    def _flows(self, account: Account, values: Values, kind: str, asset: str) -> list[Flow]:
        """Return the flows of a window of up to thirty minutes."""
        start = _moment(values.get("fromTimestamp"), "fromTimestamp")
        end = _moment(values["toTimestamp"], "toTimestamp") if "toTimestamp" in values else start + _WINDOW_NS
        if end < start:
            raise Refusal("ERR-5106", "Invalid request parameter. toTimestamp")
        if end - start > _WINDOW_NS:
            raise Refusal("ERR-846", "Time period has exceeded 30 minutes.")
        return [flow for flow in account.flows if (flow.kind, flow.asset) == (kind, asset) and start <= flow.at_ns <= end]

    def _exchange_fees(self, account: Account, values: Values) -> dict[str, Any]:
        """Fees by trading day, oldest first; the cursor counts the rows that were given."""
        guesses = self._exchange.assumptions
        first, count, skip = _day(values.get("fromDate"), "fromDate"), *_page(values)
        last = _day(values["toDate"], "toDate") if "toDate" in values else first
        if last < first or last - first >= _MOST_DAYS or last > trading_day(self._exchange.clock.now_ns()):
            raise Refusal("ERR-5106", "Invalid request parameter. fromDate toDate")
        fees = [fee for fee in self._fees(account) if first <= trading_day(fee.at_ns) <= last]
        rows = [
            {
                "feeType": fee.kind,
                "symbol": fee.symbol,
                **({"positionId": fee.position_id} if fee.position_id else {}),
                guesses.fee_amount_key: wire.number(to_yen(fee.uyen)),
                "deliveryDatetime": iso_utc(fee.at_ns),
            }
            for fee in fees[skip : skip + count]
        ]
        if not rows:
            return {}
        more = {guesses.fee_cursor_key: str(skip + count)} if len(fees) > skip + count else {}
        return {"list": rows} | more

    def _fees(self, account: Account) -> list[Fee]:
        fees = [
            Fee(flow.at_ns, "LEVERAGE_FEE", flow.reference, -flow.amount, flow.position_id)
            for flow in account.flows
            if flow.kind == "leverage_fee"
        ]
        if self._exchange.assumptions.fee_history_lists_trades:
            fees += [Fee(fill.at_ns, "TRADE_FEE", fill.order.symbol, fill.fee_uyen) for fill in account.executions if fill.fee_uyen]
        return sorted(fees, key=lambda fee: fee.at_ns)

    def _transfer(self, account: Account, values: Values) -> list[dict[str, str]]:
        amount = positive(values.get("amount"), "amount")
        kind = word_of(values.get("transferType"), ("WITHDRAWAL", "DEPOSIT"), "transferType")
        if amount != amount.to_integral_value():
            raise Refusal("ERR-5106", "Invalid request parameter. amount")
        self._exchange.cash.transfer(account, kind, int(amount) * UYEN_PER_YEN)
        return [{"transferredAmount": wire.number(amount)}]


def _moment(value: object, name: str) -> int:
    try:
        return parse_iso_utc(str(value))
    except (ValueError, OverflowError):
        raise Refusal("ERR-5106", f"Invalid request parameter. {name}") from None


def _day(value: object, name: str) -> int:
    try:
        return day_of(str(value))
    except ValueError:
        raise Refusal("ERR-5106", f"Invalid request parameter. {name}") from None


def _page(values: Values) -> tuple[int, int]:
    count = whole_number(values.get("count", _MOST_ROWS), "count")
    if not 1 <= count <= _MOST_ROWS:
        raise Refusal("ERR-5106", "Invalid request parameter. count")
    return count, whole_number(values.get("cursor", 0), "cursor")
