"""What GMO Coin does not document, decided here, in one place, each with a default one may change.

Every field answers an open point of reference/gmo-coin-api.md §12. A client must survive every value.
"""

from __future__ import annotations

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
        visibility_seconds: Time from acceptance until queries show an order and its fills.
        auth_status: Body ``status`` of authentication failures.
        bad_token_http: HTTP status of a handshake with a bad token.
        token_end_cuts_socket: Whether an open private socket is cut when its token expires or is revoked.
        maintenance_http: HTTP status of ERR-5201 and ERR-5202.
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
    visibility_seconds: float = 0.0
    auth_status: int = 1
    bad_token_http: int = 401
    token_end_cuts_socket: bool = False
    maintenance_http: int = 200
