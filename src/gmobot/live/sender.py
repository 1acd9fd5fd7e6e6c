"""One write to the exchange: the intent on disk first, then the request, then what the reply proves.

Whatever leaves here has left a commit before it. A reply is confirmed, refused, never sent, or unknown; only
the last keeps an intent open, and nothing here ever sends one twice. What a refusal means for what comes next
is one table, :data:`_AFTER`.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from gmobot.clock import NS_PER_SECOND, Clock
from gmobot.core.instrument import Product
from gmobot.errors import Category, NotSent, OutcomeUnknown, Refused, VenueError, Withheld
from gmobot.live.books import Books
from gmobot.live.database import UnwritableError
from gmobot.live.gate import OrderGate
from gmobot.live.intents import Intent, IntentState, Purpose
from gmobot.live.plan import Place
from gmobot.live.tracker import OrderTracker
from gmobot.ops.telemetry import Telemetry
from gmobot.venue.gmo.rest import GmoRest
from gmobot.venue.models import CloseRequest, OrderRequest, OrderType, Settle, TimeInForce


class After(StrEnum):
    """What follows from a write."""

    GO_ON = "go_on"
    """It was accepted: look for the next thing at once."""
    FIND_OUT = "find_out"
    """The reply was lost, or an order stands otherwise than we thought: ask the exchange."""
    WAIT = "wait"
    """Refused or never sent: try again a little later."""
    EXIT_NOW = "exit_now"
    """A STOP would fire at once: the price is beyond it, so what it would have done is done now."""
    RESERVED = "reserved"
    """Another order holds the coins or the position: find ours, wait for the others."""
    GONE = "gone"
    """There is nothing to close: the position went another way. Compare with the exchange."""
    CLOSED = "closed"
    """The exchange takes no orders now."""
    KEPT_OUT = "kept_out"
    """The account or its key is kept out: asking as often as before may prolong it."""
    OTHER_RULES = "other_rules"
    """A price or size the exchange's rules do not allow: they may have changed."""
    NO_AMEND = "no_amend"
    """This order's price will not be changed any more: cancel and replace."""


_AFTER = {
    "ERR-5129": After.EXIT_NOW,
    "ERR-200": After.RESERVED,
    "ERR-208": After.RESERVED,
    "ERR-189": After.GONE,
    "ERR-254": After.GONE,
    "ERR-422": After.GONE,
    "ERR-423": After.GONE,
    "ERR-5122": After.FIND_OUT,
    "ERR-5123": After.FIND_OUT,
    "ERR-151": After.FIND_OUT,
    "ERR-5206": After.NO_AMEND,
    "ERR-5125": After.KEPT_OUT,
    "ERR-5114": After.OTHER_RULES,
    "ERR-5126": After.OTHER_RULES,
}
"""By message code. Every other refusal waits; a closed exchange and a key that is refused are told by their categories."""


class Sender:
    """Sends the orders of one symbol. Only its trader calls it, so one write is under way at a time."""

    def __init__(
        self, symbol: str, *, books: Books, tracker: OrderTracker, gate: OrderGate, rest: GmoRest, clock: Clock, telemetry: Telemetry
    ) -> None:
        self._symbol = symbol
        self._books = books
        self._tracker = tracker
        self._gate = gate
        self._rest = rest
        self._clock = clock
        self._telemetry = telemetry

    def draft(self, place: Place, decision_id: int, *, state: IntentState = IntentState.INTENT) -> Intent:
        """Return an order as it would be written down."""
        now = self._clock.now_ns()
        resting = TimeInForce.POST_ONLY if place.post_only else TimeInForce.GTC
        closes = self._on_leverage and place.purpose is not Purpose.ENTRY
        return Intent(
            intent_id=0,
            symbol=self._symbol,
            purpose=place.purpose,
            side=place.side,
            type=place.type,
            time_in_force=resting if place.type is OrderType.LIMIT else TimeInForce.IOC,
            lots=place.lots,
            price=place.price,
            decision_id=decision_id,
            created_ns=now,
            updated_ns=now,
            state=state,
            settle=Settle.CLOSE if closes else Settle.OPEN,
            position_id=place.position_id,
            losscut=place.losscut,
            server_ns=self._rest.server_floor_ns,
        )

    async def place(
        self, place: Place, decision_id: int, *, due_ns: int | None = None, last_word: Callable[[], str | None] = lambda: None
    ) -> After:
        """Send an order.

        Args:
            place: The order, worded as it is to be sent.
            decision_id: Whose decision it serves.
            due_ns: When that decision could first be made, of an entry.
            last_word: Asked when it is about to leave: why it must not any more, or ``None``.

        Raises:
            StoreError: The intent could not be written; nothing left.
        """
        self._gate.sent()
        try:
            draft = self.draft(place, decision_id)
            request = self._request(draft)
            intent = await self._books.add(draft, request)
        except UnwritableError:
            # Only an entry is refused for that: exposure is not raised without a record on disk.
            return After.WAIT
        if due_ns is not None:
            self._telemetry.tick_to_order((self._clock.now_ns() - due_ns) / NS_PER_SECOND)
        started = self._clock.monotonic()
        outcome, after = await self._send(intent, request, last_word)
        self._telemetry.order(place.side.value, place.type.value, outcome)
        self._telemetry.order_roundtrip(self._clock.monotonic() - started)
        return after

    async def cancel(self, intent: Intent) -> After:
        """Ask for an order to be taken back. Asking twice is harmless."""
        if intent.order_id is None:
            return After.WAIT
        self._books.note(intent, "request", {"cancel": intent.order_id})
        try:
            await self._rest.cancel_order(intent.order_id)
        except (Refused, NotSent, OutcomeUnknown) as error:
            # Refused is mostly ERR-5122: it has just ended by itself. What became of it decides what comes next.
            self._replied(intent, error)
            self._tracker.suspect(intent)
            return After.FIND_OUT
        self._books.note(intent, "reply", "accepted")
        return After.GO_ON

    async def amend(self, intent: Intent, price: int) -> After:
        """Ask for another price. That it stands there is known only once the exchange tells.

        Raises:
            StoreError: What was meant could not be written; nothing left.
        """
        if intent.order_id is None:
            return After.WAIT
        wanted = self._books.instrument(self._symbol).price(price)
        self._books.note(intent, "request", {"amend": intent.order_id, "price": wanted})
        changing = await self._books.amend(intent, price)
        try:
            await self._rest.change_order(intent.order_id, wanted)
        except Refused as error:
            self._replied(changing, error)
            await self._books.not_amended(changing, _said(error))
            self._tracker.suspect(changing)
            return self._after(error)
        except NotSent as error:
            self._replied(changing, error)
            await self._books.not_amended(changing, f"never sent: {error}")
            return After.WAIT
        except OutcomeUnknown as error:
            self._replied(changing, error)
            self._tracker.suspect(changing)
            return After.FIND_OUT
        self._books.note(changing, "reply", "accepted")
        self._tracker.suspect(changing)
        return After.GO_ON

    @property
    def _on_leverage(self) -> bool:
        return self._books.instrument(self._symbol).product is Product.LEVERAGE

    def _replied(self, intent: Intent, error: VenueError) -> None:
        if isinstance(error, Refused):
            self._books.note(intent, "reply", {"refused": _said(error)})
        else:
            self._books.note(intent, "reply", {"never sent" if isinstance(error, NotSent) else "lost": str(error)})

    async def _send(self, intent: Intent, request: OrderRequest | CloseRequest, last_word: Callable[[], str | None]) -> tuple[str, After]:
        try:
            order_id = await self._post(request, last_word)
        except Refused as error:
            self._replied(intent, error)
            await self._books.reject(intent, _said(error))
            after = self._after(error)
            if after is not After.CLOSED:
                self._gate.refused()
            return "refused", after
        except NotSent as error:
            self._replied(intent, error)
            drop = self._books.withdraw if isinstance(error, Withheld) else self._books.reject
            await drop(intent, f"never sent: {error}")
            return "denied", After.WAIT
        except OutcomeUnknown as error:
            self._replied(intent, error)
            await self._books.unknown(intent, str(error))
            return "unresolved", After.FIND_OUT
        self._gate.accepted()
        self._books.note(intent, "reply", {"order_id": order_id})
        await self._books.acknowledge(intent, order_id)
        await self._tracker.claim(order_id)
        return "confirmed", After.GO_ON

    async def _post(self, request: OrderRequest | CloseRequest, last_word: Callable[[], str | None]) -> int:
        if isinstance(request, CloseRequest):
            return await self._rest.close_position(request)
        return await self._rest.place_order(request, last_word)

    def _request(self, intent: Intent) -> OrderRequest | CloseRequest:
        instrument = self._books.instrument(self._symbol)
        size, price = instrument.size(intent.lots), instrument.price(intent.price) if intent.price else None
        if intent.settle is Settle.CLOSE:
            return CloseRequest(
                symbol=self._symbol,
                side=intent.side,
                type=intent.type,
                size=size,
                price=price,
                time_in_force=intent.time_in_force,
                position_id=intent.position_id,
            )
        return OrderRequest(
            symbol=self._symbol,
            side=intent.side,
            type=intent.type,
            size=size,
            price=price,
            time_in_force=intent.time_in_force,
            losscut_price=instrument.price(intent.losscut) if intent.losscut else None,
            urgent=intent.purpose is not Purpose.ENTRY,
        )

    @staticmethod
    def _after(error: Refused) -> After:
        if error.category is Category.MAINTENANCE:
            return After.CLOSED
        if error.category is Category.AUTH and not error.retryable:
            return After.KEPT_OUT
        return _AFTER.get(error.code or "", After.WAIT)


def _said(error: Refused) -> str:
    return f"{error.code or error.category.value}: {error}"
