"""What one seed does to a daemon: which product, which exchange, and everything that happens, as data.

A plan is drawn from its seed, can be written down, shortened, and played again: that is how a failing seed
becomes the few happenings that it takes.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import msgspec

from gmobot.emulator.faults import Fault

SECONDS = 600.0
QUIET_SECONDS = 60.0
DAY_TURNS = 21 * 3_600.0
"""06:00 JST, when trading days turn, in seconds of a day in UTC."""


class Happening(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that happens.

    Attributes:
        kind: ``fault``, ``kill``, ``kill_write``, ``kill_request``, ``clock``, ``hang``, ``manual``, ``cash``, ``command``,
            ``maintenance``, ``disk_full``, ``locked``, ``trail``, ``questions``,
            ``watch``, ``stop``, ``refused``, ``outage``.
        at: Seconds from the start.
        until: When it ends, of what lasts.
        what: Name of the fault, of the command, of what a hand does; stage of a kill; what there must be for a stop.
        where: Path or channel; of a hand the symbol, the plan's first where there is none.
        amount: Probability, seconds, steps, yen: what the kind says.
    """

    kind: str
    at: float
    until: float = 0.0
    what: str = ""
    where: str = "*"
    amount: float = 0.0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A seed's life.

    Attributes:
        assumptions: Fields of the emulator's assumptions that differ from their defaults.
        entry: The instrument's entry section.
        happenings: In order of time.
        seconds: How long they go on.
        risk: What differs in the risk section: guards that are on, and what an abort does.
        start: Seconds after the beginning of simulated time, midnight in UTC.
        environment: ``production``: nothing is sent before an operator has acknowledged the configuration.
        second: What is traded beside the product's own symbol, in the same daemon and on the same account; empty for nothing.
        filters: What differs in every instrument's filters section.
        write_seconds: How long the database takes for a write: meanwhile another symbol goes on.
    """

    seed: int
    product: str
    assumptions: dict[str, float | bool | str]
    entry: dict[str, str | int | float | bool]
    happenings: tuple[Happening, ...]
    seconds: float = SECONDS
    risk: dict[str, str | bool] = {}
    environment: str = "emulator"
    start: float = 0.0
    second: str = ""
    filters: dict[str, int] = {}
    write_seconds: float = 0.0

    @property
    def symbol(self) -> str:
        """What is traded, or the first of what is."""
        return "BTC_JPY" if self.product == "leverage" else "BTC"

    @property
    def symbols(self) -> tuple[str, ...]:
        """All that is traded."""
        return (self.symbol, self.second) if self.second else (self.symbol,)

    def lasting(self, kind: str) -> tuple[Happening, ...]:
        """Return the happenings of a kind."""
        return tuple(happening for happening in self.happenings if happening.kind == kind)


WRITES = ("/v1/order", "/v1/cancelOrder", "/v1/closeOrder", "/v1/closeBulkOrder", "/v1/changeOrder")
ORDER_QUESTIONS = ("/v1/orders", "/v1/activeOrders", "/v1/executions", "/v1/latestExecutions", "/v1/openPositions")
QUERIES = (*ORDER_QUESTIONS[:4], "/v1/account/assets", *ORDER_QUESTIONS[4:])
PRIVATE_CHANNELS = ("*Events", "executionEvents", "orderEvents", "positionEvents")
CHANNELS = (*PRIVATE_CHANNELS, "trades", "orderbooks")
FAULTS: tuple[tuple[Fault, tuple[str, ...], float], ...] = (
    (Fault.REPLY_LOST_BEFORE, (*WRITES, *QUERIES), 0.3),
    (Fault.REPLY_LOST_AFTER, (*WRITES, *QUERIES), 0.3),
    (Fault.REPLY_SLOW, ("/v1/*", "/v1/order", "/v1/cancelOrder"), 0.4),
    (Fault.EVENT_BEFORE_REPLY, WRITES, 0.6),
    (Fault.SERVER_ERROR, WRITES, 0.2),
    (Fault.SERVER_ERROR_BEFORE, ("/v1/*", *QUERIES), 0.2),
    (Fault.SERVER_BUSY, ("/v1/*",), 0.2),
    (Fault.SERVER_OVERLOADED, ("/v1/*",), 0.2),
    (Fault.RATE_LIMITED, ("/v1/*",), 0.2),
    (Fault.CLOCK_SKEW, ("/v1/*",), 0.1),
    (Fault.STALE_PUBLIC, ("/v1/*",), 0.5),
    (Fault.PERMISSION_REFUSED, (*WRITES, *QUERIES, "/v1/ws-auth"), 0.2),
    (Fault.TOKEN_INVALIDATED, ("connect", "/v1/ws-auth"), 0.5),
    (Fault.HIDDEN, ("/v1/order", "/v1/closeOrder", "/v1/closeBulkOrder"), 0.5),
    (Fault.ACCEPTED_THEN_CANCELLED, ("/v1/order", "/v1/closeOrder", "/v1/closeBulkOrder"), 0.1),
    (Fault.EVENT_DUPLICATED, PRIVATE_CHANNELS, 0.5),
    (Fault.EVENT_REORDERED, PRIVATE_CHANNELS, 0.3),
    (Fault.EVENT_DELAYED, CHANNELS, 0.2),
    (Fault.EVENT_LOST, PRIVATE_CHANNELS, 0.2),
    (Fault.SOCKET_SILENT, ("*",), 0.003),
    (Fault.SOCKET_DROPPED, ("*",), 0.003),
    (Fault.HANDSHAKE_REFUSED, ("connect",), 0.5),
)
"""Every fault of the emulator that has a place and a probability, with the largest one."""

NO_ANSWERS = (Fault.SERVER_ERROR_BEFORE, Fault.RATE_LIMITED, Fault.SERVER_BUSY)
"""How questions fail for good."""
BESIDE: dict[str, tuple[str, ...]] = {"leverage": ("ETH_JPY", "ETH_JPY", "BTC"), "spot": ("ETH", "ETH", "BTC_JPY")}
"""What may be traded beside a product's symbol: another coin, or the same coin on the other product."""
HANDS = ("limit", "market", "cancel_ours", "close_ours", "move_ours")
COMMANDS = ("pause", "halt", "flatten")
DISTURBANCES = (
    "kill",
    "kill_write",
    "kill_request",
    "clock",
    "hang",
    "manual",
    "cash",
    "command",
    "maintenance",
    "disk_full",
    "locked",
    "trail",
    "questions",
    "watch",
    "stop",
    "refused",
    "outage",
)


def drawn(seed: int) -> Plan:
    """Return the plan of a seed."""
    draw = random.Random(f"plan:{seed}")
    product = draw.choice(("spot", "leverage"))
    happenings = [_fault(draw, *fault) for fault in FAULTS if draw.random() < 0.25]
    for kind in DISTURBANCES:
        if draw.random() < 0.35:
            happenings += [_DRAWERS[kind](draw) for _ in range(draw.choice((1, 1, 2, 3)))]
    # A STOP that is moved is asked after: that is when the missing answers hurt.
    happenings += [
        msgspec.structs.replace(_stretch(draw, "trail", amount=500.0), at=unanswered.at - 5.0, until=unanswered.until)
        for unanswered in happenings
        if unanswered.kind == "questions" and draw.random() < 0.5
    ]
    # A dead process hangs no more.
    hung = [happening for happening in happenings if happening.kind == "command" and happening.amount]
    happenings += [Happening(kind="kill", at=command.at + 25.0, amount=draw.randrange(5)) for command in hung]
    commanded = [happening for happening in happenings if happening.kind == "command" and draw.random() < 0.3]
    # Right after a command is the worst moment to die.
    happenings += [Happening(kind="kill", at=command.at + draw.choice((0.0, 0.02)), amount=draw.randrange(5)) for command in commanded]
    assumptions, entry, risk = _assumptions(draw), _entry(draw), _risk(draw)
    if risk:
        # Who is halted by a guard for the rest of the seed shows little.
        happenings += [Happening(kind="command", at=at, until=at, what="resume") for at in (_at(draw) for _ in range(4))]
    if any(happening.what == "market" for happening in happenings):
        # Whose the positions of one fill are nobody can tell then.
        assumptions.pop("bulk_close_fills", None)
    watched = any(happening.kind == "watch" for happening in happenings)
    plan = Plan(
        seed=seed,
        product=product,
        assumptions=assumptions,
        entry=entry,
        risk=risk,
        start=DAY_TURNS - draw.uniform(60.0, SECONDS - 120.0) if draw.random() < 0.25 else 0.0,
        environment=draw.choice(("emulator", "production")) if watched else "emulator",
        happenings=tuple(sorted(happenings, key=lambda happening: happening.at)),
    )
    # They take twice the time of others.
    return _of_two_symbols(draw, plan) if draw.random() < 0.05 else plan


def _of_two_symbols(draw: random.Random, plan: Plan) -> Plan:
    """Return a plan with another symbol beside the first, limits of the account that the two can meet, and hands on either.

    A position here is worth one hundredth of the account.
    """
    risk = plan.risk | ({"max_leverage": draw.choice(("0.012", "0.016", "0.02"))} if draw.random() < 0.6 else {})
    both = msgspec.structs.replace(
        plan, second=draw.choice(BESIDE[plan.product]), filters={"max_positions": draw.choice((1, 2, 2))}, risk=risk
    )
    placed = (
        msgspec.structs.replace(happening, where=draw.choice(both.symbols)) if happening.kind == "manual" else happening
        for happening in plan.happenings
    )
    return msgspec.structs.replace(both, happenings=tuple(placed), write_seconds=draw.choice((0.0, 0.005, 0.05)))


def _fault(draw: random.Random, fault: Fault, places: tuple[str, ...], most: float) -> Happening:
    at = draw.uniform(0.0, SECONDS - 60.0)
    until = draw.choice((SECONDS, draw.uniform(at + 5.0, SECONDS)))
    skew = draw.uniform(-4.0, 4.0) if fault is Fault.CLOCK_SKEW else 0.0
    where = draw.choice(places)
    return Happening(kind="fault", at=at, until=until, what=fault.value, where=where, amount=skew or most * draw.choice((0.1, 0.3, 1.0)))


def _at(draw: random.Random, last: float = 30.0) -> float:
    return draw.uniform(5.0, SECONDS - last)


def _kill_write(draw: random.Random) -> Happening:
    return Happening(kind="kill_write", at=_at(draw), what=draw.choice(("before", "after")), amount=draw.randrange(1, 30))


def _kill_request(draw: random.Random) -> Happening:
    stage = draw.choice(("before", "accepted", "after"))
    return Happening(kind="kill_request", at=_at(draw), what=stage, where=draw.choice((*WRITES, *WRITES, *QUERIES)))


def _maintenance(draw: random.Random) -> Happening:
    at = _at(draw, 150.0)
    preopen = draw.choice((0.0, 15.0))
    return Happening(kind="maintenance", at=at, until=at + draw.uniform(10.0, 90.0), what=draw.choice(("data", "error")), amount=preopen)


def _clock(draw: random.Random) -> Happening:
    at, seconds = _at(draw), draw.choice((-1, 1)) * draw.choice((0.4, 1.5, 5.0, 60.0))
    return Happening(kind="clock", at=at, until=draw.choice((SECONDS, draw.uniform(at, SECONDS))), amount=seconds)


def _questions(draw: random.Random) -> Happening:
    """Every question of one kind fails for a while, or of all kinds, as writes go on."""
    at = _at(draw, 120.0)
    where = draw.choice(("*", "*", *QUERIES))
    return Happening(kind="questions", at=at, until=at + draw.uniform(10.0, 60.0), what=draw.choice(NO_ANSWERS).value, where=where)


def _watch(draw: random.Random) -> Happening:
    """The daemon is started anew and may not send: orders are switched off, or the changed configuration is not acknowledged."""
    at = _at(draw, 120.0)
    how, dies = draw.choice(("switched_off", "changed")), draw.choice((0.0, 1.0))
    return Happening(kind="watch", at=at, until=at + draw.uniform(10.0, 60.0), what=how, amount=dies)


def _command(draw: random.Random) -> Happening:
    """A command, and the resume; what is to be closed is closed by nobody else where the strategy hangs."""
    at, what = _at(draw, 120.0), draw.choice(COMMANDS)
    hangs = float(what == "flatten" and draw.random() < 0.7)
    # Who is halted for the rest of the seed shows little.
    return Happening(kind="command", at=at, until=min(at + draw.uniform(10.0, 150.0), SECONDS - 60.0), what=what, amount=hangs)


def _refused(draw: random.Random) -> Happening:
    """Connections are refused now and then: whoever asks knows that nothing was sent."""
    at, where = _at(draw, 120.0), draw.choice((*WRITES, *QUERIES, "/v1/ws-auth", "connect", "*"))
    return Happening(kind="refused", at=at, until=at + draw.uniform(10.0, 60.0), where=where, amount=draw.choice((0.03, 0.1, 0.3)))


def _outage(draw: random.Random) -> Happening:
    """The network is gone for a while, and with it every socket, whether or not that shows."""
    at = _at(draw, 120.0)
    return Happening(kind="outage", at=at, until=at + draw.uniform(1.0, 20.0), what=draw.choice(("dropped", "silent")))


_DRAWERS: dict[str, Callable[[random.Random], Happening]] = {
    # The steps after the moment make every await a place to die at.
    "kill": lambda draw: Happening(kind="kill", at=_at(draw), amount=draw.randrange(40)),
    "kill_write": _kill_write,
    "kill_request": _kill_request,
    "clock": _clock,
    "hang": lambda draw: Happening(kind="hang", at=_at(draw, 200.0)),
    "manual": lambda draw: Happening(kind="manual", at=_at(draw), what=draw.choice(HANDS), amount=draw.randrange(1, 4)),
    "cash": lambda draw: Happening(kind="cash", at=_at(draw), amount=float(draw.randrange(-400, 900)) * 1_000.0),
    "command": _command,
    "maintenance": _maintenance,
    "disk_full": lambda draw: _stretch(draw, "disk_full"),
    "locked": lambda draw: _stretch(draw, "locked"),
    "trail": lambda draw: _stretch(draw, "trail", amount=draw.choice((-1, 1)) * draw.choice((1, 500, 5_000))),
    "questions": _questions,
    "watch": _watch,
    # A clean end, at any moment, with a position, or with an entry at the exchange.
    "stop": lambda draw: Happening(kind="stop", at=_at(draw, 90.0), what=draw.choice(("", "lots", "opening"))),
    "refused": _refused,
    "outage": _outage,
}


def _stretch(draw: random.Random, kind: str, amount: float = 0.0) -> Happening:
    at = _at(draw, 120.0)
    return Happening(kind=kind, at=at, until=at + draw.uniform(2.0, 60.0), amount=amount)


def _assumptions(draw: random.Random) -> dict[str, float | bool | str]:
    """Draw what GMO Coin does not document: a client must survive every value."""
    variants: tuple[tuple[str, tuple[float | bool | str, ...]], ...] = (
        ("visibility_seconds", (0.0, 0.5, 2.0)),
        ("stop_trigger", ("last", "quote")),
        ("market_emits_new", (False, True)),
        ("cancel_seconds", (0.0, 0.3)),
        ("change_seconds", (0.0, 0.3)),
        ("most_changes", (100, 1)),
        ("token_end_cuts_socket", (False, True)),
        ("bulk_close_first", ("oldest", "newest")),
        ("bulk_close_fills", ("each", "first", "unnamed")),
        ("losscut_emits_new", (True, False)),
        ("closed_size", ("zero", "last")),
        ("event_seconds", (0.02, 0.2)),
        ("reply_seconds", (0.01, 0.1)),
        ("spot_sell_settle", ("OPEN", "CLOSE")),
        ("spot_position_id", ("none", "fill", "same")),
        ("finished_orders_kept_seconds", (60.0, 5.0)),
    )
    return {name: draw.choice(values) for name, values in variants if draw.random() < 0.5}


def _entry(draw: random.Random) -> dict[str, str | int | float | bool]:
    method = draw.choice(("market", "market", "marketable_limit", "passive_limit"))
    found: dict[str, str | int | float | bool] = {"method": method}
    if method == "marketable_limit":
        found["offset_ticks"] = draw.choice((0, 2_000))
    if method == "passive_limit":
        found |= {"post_only": draw.choice((False, True)), "rest_seconds": draw.choice((0.0, 5.0))}
    if draw.random() < 0.3:
        found["distinguish"] = True
    return found


def _risk(draw: random.Random) -> dict[str, str | bool]:
    """Draw guards tight enough to be met within minutes: a trade here wins or loses a few hundred yen of ten million."""
    if draw.random() < 0.7:
        return {}
    return {
        "max_drawdown": draw.choice(("0", "0.0002", "0.001")),
        "daily_loss_limit": draw.choice(("0", "0", "3000")),
        "max_trade_loss": draw.choice(("0", "250", "600")),
        "close_on_abort": draw.random() < 0.7,
    }


def written(plan: Plan) -> str:
    """Return a plan as JSON, a happening a line."""
    return msgspec.json.format(msgspec.json.encode(plan), indent=1).decode()


def read(path: Path) -> Plan:
    """Read what :func:`written` wrote."""
    return msgspec.json.decode(path.read_bytes(), type=Plan)
