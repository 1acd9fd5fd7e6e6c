"""What one case of a lost reply is: which order, how its reply is lost, what else goes wrong, and what must come of it."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Final

from gmobot.live.entry import EntryStyle

VISIBILITY_SECONDS: Final = 3.0
"""The assumed visibility delay of every case."""
FILL_VISIBILITY_SECONDS: Final = 1.0
REPLY_SECONDS: Final = 2.5
"""How long a reply is waited for."""
FAR_BEYOND_SECONDS: Final = VISIBILITY_SECONDS + 8.0
"""Whatever is hidden for so long is found after its absence was concluded."""

NOT_ACCEPTED: Final = ("cut_before", "gateway_before", "garbage_before", "code_before")
ACCEPTED: Final = ("cut_after", "gateway_after", "garbage_after", "code_after", "slow", "late")
"""Ways to lose a reply. ``slow`` is silence past the time-out; ``late`` is a request that itself arrives only after it."""


@dataclass(frozen=True, slots=True)
class Act:
    """Something the order manager does with one write.

    Attributes:
        path: Where that write goes.
        products: Where it exists.
        places: Whether it is a new order, so that its reply carries an id nobody else knows.
        holds: Whether a position is held before.
        style: How entries are worded.
        stop: Where a STOP stands before and after, in ticks off the price, 0 for none.
    """

    path: str
    products: tuple[str, ...]
    places: bool = True
    holds: bool = False
    style: EntryStyle = field(default_factory=EntryStyle)
    stop: tuple[int, int] = (0, 0)


BOTH: Final = ("BTC", "BTC_JPY")
TAKING: Final = EntryStyle(limit=True, offset_ticks=2_000)
WAITING: Final = EntryStyle(limit=True, passive=True, offset_ticks=2_000)
STOP: Final = 50_000
ACTS: Final = {
    "entry_market": Act("/v1/order", BOTH),
    "entry_limit": Act("/v1/order", BOTH, style=TAKING),
    "entry_passive": Act("/v1/order", BOTH, style=WAITING),
    "exit_market": Act("/v1/order", ("BTC",), holds=True),
    "exit_limit": Act("/v1/order", ("BTC",), holds=True),
    "stop": Act("/v1/order", ("BTC",), holds=True, stop=(0, STOP)),
    "close_market": Act("/v1/closeOrder", ("BTC_JPY",), holds=True),
    "close_limit": Act("/v1/closeOrder", ("BTC_JPY",), holds=True),
    "close_stop": Act("/v1/closeOrder", ("BTC_JPY",), holds=True, stop=(0, STOP)),
    "bulk_market": Act("/v1/closeBulkOrder", ("BTC_JPY",), holds=True),
    "bulk_limit": Act("/v1/closeBulkOrder", ("BTC_JPY",), holds=True),
    "bulk_stop": Act("/v1/closeBulkOrder", ("BTC_JPY",), holds=True, stop=(0, STOP)),
    "cancel_entry": Act("/v1/cancelOrder", BOTH, places=False, style=WAITING),
    "cancel_stop": Act("/v1/cancelOrder", BOTH, places=False, holds=True, stop=(STOP, 0)),
    "change_stop": Act("/v1/changeOrder", BOTH, places=False, holds=True, stop=(STOP, 2 * STOP)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One case.

    Attributes:
        long: Side of the position; always long on spot.
        loss: How the reply is lost.
        arrives: Seconds after the time-out until the request arrives, of ``late``.
        hidden: Seconds from acceptance until questions show the order and its fills.
        events: ``normal``, ``late`` or ``lost``.
        event_seconds: How late.
        hand: ``""``, ``same`` (an order by hand that looks just like it, at about the same time) or ``earlier`` (long before).
        hand_at: Seconds from the loss at which the hand acts; negative is before.
        again: Whether the reply of the next such write is lost, too.
        follows: What a later decision wants: ``same``, ``turn`` (the other side), or nothing new.
        settle_seconds: What a cancel or a change takes at the exchange.
    """

    number: int
    act: str
    symbol: str
    long: bool
    loss: str
    arrives: float
    hidden: float
    events: str
    event_seconds: float
    hand: str
    hand_at: float
    again: bool
    follows: str
    settle_seconds: float

    @property
    def does(self) -> Act:
        """What is done."""
        return ACTS[self.act]

    @property
    def accepted(self) -> bool:
        """Whether the exchange carries it out."""
        return self.loss in ACCEPTED

    @property
    def assumed_seconds(self) -> float:
        """The delay assumed of it: what may rest may also fill just before it is missed, and fills have a delay of their own."""
        resting = self.does.places and not self.act.endswith("_market")
        return VISIBILITY_SECONDS + (FILL_VISIBILITY_SECONDS if resting else 0.0)

    @property
    def unseen(self) -> float:
        """Seconds from when the reply was given up until a question can show the order."""
        return self.arrives + self.hidden if self.accepted and self.does.places else 0.0

    @property
    def in_time(self) -> bool:
        """Whether the exchange keeps to the assumed delay."""
        return self.unseen <= VISIBILITY_SECONDS

    @property
    def must_halt(self) -> bool:
        """Whether it can only end with an alarm, if the exchange took it at all."""
        if self.collides:
            return self.both_seen_at_once
        # An event that told of a fill in time keeps the question open, however long it takes.
        return self.unseen >= FAR_BEYOND_SECONDS and self.events == "lost"

    @property
    def collides(self) -> bool:
        """Whether a look-alike of another hand may be taken for it."""
        return self.hand == "same"

    @property
    def both_seen_at_once(self) -> bool:
        """Whether the first question already shows both, the order and its look-alike."""
        return self.accepted and self.unseen == 0.0 and self.hand_at < 0.0


_TURNING: Final = ("entry_market", "entry_limit")


def drawn(number: int) -> Case:
    """Return the case of a number: acts in turn, everything else by lot."""
    draw = random.Random(f"lost:{number}")
    act = list(ACTS)[number % len(ACTS)]
    does = ACTS[act]
    symbol = draw.choice(does.products)
    loss = draw.choice((*NOT_ACCEPTED, *ACCEPTED, *ACCEPTED))
    hand = draw.choice(("", "", "", "same", "same", "earlier")) if _a_hand_may_do_it(act) else ""
    events = draw.choice(("normal", "late", "lost"))
    return Case(
        number=number,
        act=act,
        symbol=symbol,
        long=symbol == "BTC" or draw.random() < 0.5,
        loss=loss,
        arrives=draw.choice((0.1, 1.0, 2.0)) if loss == "late" else 0.0,
        hidden=_hidden(draw) if does.places else 0.0,
        events=events,
        event_seconds=draw.choice((0.3, 2.0, 6.0)) if events == "late" else 0.0,
        hand=hand,
        hand_at=-30.0 if hand == "earlier" else draw.choice((-1.5, -0.5, 0.2, 1.0)) if hand else 0.0,
        again=not hand and draw.random() < 0.1,
        follows="" if hand else draw.choice(("", "same", "turn" if symbol == "BTC_JPY" and act in _TURNING else "same")),
        settle_seconds=draw.choice((0.0, 0.0, 0.3, 1.0)),
    )


def _hidden(draw: random.Random) -> float:
    """Mostly within the assumed delay, to its very end; one in six beyond it, a little or far."""
    if draw.random() < 5 / 6:
        return draw.choice((0.0, 0.0, 0.4, 1.0, 2.0, 2.9, VISIBILITY_SECONDS))
    return draw.choice((3.5, 4.5, 6.0, FAR_BEYOND_SECONDS, 20.0))


def _a_hand_may_do_it(act: str) -> bool:
    """On leverage a close by hand takes our own position away: that is no look-alike but interference."""
    return act.startswith("entry") or act in ("exit_market", "stop")
