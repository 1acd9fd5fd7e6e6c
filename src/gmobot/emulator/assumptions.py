"""What GMO Coin does not document, decided here, in one place, each with a default one may change.

Every field answers an open point of reference/gmo-coin-api.md §12. A client must survive every value.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from gmobot.core.instrument import FeeRounding


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """The emulator's guesses.

    Attributes:
        timestamp_window_seconds: How far API-TIMESTAMP may lie from the server's clock, both ways.
        private_per_second: Private GET, and apart from it POST, in any second.
        public_per_second: Public REST of one address in any second.
        limit_fak_accepted: Whether LIMIT with FAK is legal.
        stop_trigger: ``last`` (trade price) or ``quote`` (best price the stop would take).
        market_emits_new: Whether a MARKET order sends an order event before its fills.
        available_reserves: Whether open orders lower ``available``.
        fee_rounding: How a fee becomes yen.
        price_band: Largest share a limit price may lie from the best price, ERR-5121 beyond.
        most_active_orders: ERR-635 beyond.
        reply_seconds: Time from acceptance to the reply.
        event_seconds: Time from an event to its frame.
        cancel_seconds: Time an order stays CANCELLING, during which it may still fill.
        change_seconds: Time an order stays MODIFYING, during which it may still fill at the old price.
        most_changes: Changes of one order's price, ERR-5206 beyond.
        change_band_in_reply: Whether a change beyond the price band is refused at once (ERR-5121) or only by an event
            (ROR with ``PRICE_LIMIT``).
        visibility_seconds: Time from acceptance until queries show an order and its fills.
        auth_status: Body ``status`` of authentication failures.
        bad_token_http: HTTP status of a handshake with a bad token.
        token_end_cuts_socket: Whether an open private socket is cut when its token expires or is revoked.
        maintenance_http: HTTP status of ERR-5201 and ERR-5202.
        leverage: Notional over margin; 2 for individuals.
        valuation: What positions are valued at and losscuts watch: ``last`` (trade price) or ``quote`` (the best price a
            close would take).
        hedge_margin: Whether long and short of a symbol need the sum of their margins or the larger.
        loss_gain_rounding: How a realised gain or loss becomes yen; NONE books it exactly.
        sok_leverage_symbols: Leverage symbols with post-only orders.
        bulk_close_first: Which positions closeBulkOrder takes first.
        bulk_close_fills: How a fill of closeBulkOrder is told: ``each`` position by one of its own, all by one that names the
            ``first``, or all by one that is ``unnamed``.
        losscut_may_loosen: Whether a losscut price may lie farther from the position than the default.
        losscut_emits_new: Whether a forced close sends an order event before its fills.
        losscut_fee: Of what was opened, for a forced close.
        account_losscut_ratio: All positions go when equity is below this share of the margin in use.
        closed_size: What CPR tells as size of a position that is gone.
        summary_init: Whether positionSummaryEvents begins with the positions there are.
        leverage_fee: Per day, of what a position is worth when the trading day closes.
        leverage_fee_delay_seconds: From 06:00 JST to when the fee is booked and listed.
        margin_call_ratio: A call is made when equity is below this share of the margin in use at 06:30 JST.
        margin_call_processing_seconds: From 06:30 JST, in which accounts with positions get ERR-683.
        margin_call_hours: From the call to the forced close.
        fx_account_open: Whether there is an FX account to transfer to and from (ERR-5135).
        transfer_withdrawal_leaves: Whether ``WITHDRAWAL`` takes yen out of the crypto account, or brings it in.
        transfer_seconds: Between two transfers, ERR-5003 before.
        day_cap_leverage: New positions of a trading day, in largest orders (BTC_JPY: 3,000 BTC are 600 of 5).
        day_cap_spot: Bought, and apart from it sold, in a trading day, in largest orders.
        position_cap: Positions of one side, in largest orders (BTC_JPY: 50 BTC are 10 of 5).
        cap_code: What an order beyond a cap is refused with.
        limit_slash: Whether tradingVolume writes ``BTC/JPY`` for ``BTC_JPY``.
        third_tier: Whether there is a third tier of request allowances.
        fee_amount_key: Name of the amount in rows of exchangeFee/history.
        fee_cursor_key: Name of the cursor beside them.
        stream_levels: Levels a side in frames of the orderbooks channel; 30 have been seen.
        spot_sell_settle: ``settleType`` of a spot SELL and its fills: ``OPEN`` or ``CLOSE``.
        spot_position_id: The ``positionId`` of spot fills: ``none``, one a ``fill``, or always the ``same``.
        finished_orders_kept_seconds: How long an order that ended is shown by orders, and its fills by its number.
        fee_history_lists_trades: Whether exchangeFee/history has a row for the fee of each fill too, above zero when paid.
    """

    timestamp_window_seconds: float = 5.0
    private_per_second: int = 20
    public_per_second: int = 5
    limit_fak_accepted: bool = True
    stop_trigger: Literal["last", "quote"] = "last"
    market_emits_new: bool = False
    available_reserves: bool = True
    fee_rounding: FeeRounding = FeeRounding.HALF_UP
    price_band: Decimal = Decimal("0.3")
    most_active_orders: int = 1_000
    reply_seconds: float = 0.01
    event_seconds: float = 0.02
    cancel_seconds: float = 0.0
    change_seconds: float = 0.0
    most_changes: int = 100
    change_band_in_reply: bool = True
    visibility_seconds: float = 0.0
    auth_status: int = 1
    bad_token_http: int = 401
    token_end_cuts_socket: bool = False
    maintenance_http: int = 200
    leverage: int = 2
    valuation: Literal["last", "quote"] = "last"
    hedge_margin: Literal["sum", "max"] = "sum"
    loss_gain_rounding: FeeRounding = FeeRounding.NONE
    sok_leverage_symbols: frozenset[str] = frozenset({"BTC_JPY", "DOT_JPY", "ATOM_JPY", "ADA_JPY", "LINK_JPY", "DOGE_JPY", "SOL_JPY"})
    bulk_close_first: Literal["oldest", "newest"] = "oldest"
    bulk_close_fills: Literal["each", "first", "unnamed"] = "each"
    losscut_may_loosen: bool = False
    losscut_emits_new: bool = True
    losscut_fee: Decimal = Decimal("0.005")
    account_losscut_ratio: Decimal = Decimal("0.75")
    closed_size: Literal["zero", "last"] = "zero"
    summary_init: bool = True
    leverage_fee: Decimal = Decimal("0.0004")
    leverage_fee_delay_seconds: float = 60.0
    margin_call_ratio: Decimal = Decimal(1)
    margin_call_processing_seconds: float = 1.0
    margin_call_hours: float = 24.0
    fx_account_open: bool = True
    transfer_withdrawal_leaves: bool = True
    transfer_seconds: float = 180.0
    day_cap_leverage: int = 600
    day_cap_spot: int = 20
    position_cap: int = 10
    cap_code: str = "ERR-5126"
    limit_slash: bool = True
    third_tier: bool = True
    fee_amount_key: str = "amount"
    fee_cursor_key: str = "nextCursor"
    stream_levels: int = 30
    spot_sell_settle: Literal["OPEN", "CLOSE"] = "OPEN"
    spot_position_id: Literal["none", "fill", "same"] = "none"
    finished_orders_kept_seconds: float = math.inf
    fee_history_lists_trades: bool = False
