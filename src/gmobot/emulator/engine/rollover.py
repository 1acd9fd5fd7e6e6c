"""What the clock brings: leverage fees at the turn of the trading day, and margin calls half an hour later.

Positions open at 06:00 JST owe the fee on what they are worth then; it is booked about a minute later, also for
those that were closed meanwhile. At 06:30 JST accounts below the ratio are called; a call that is not met by its
deadline closes everything. All of it happens in :meth:`Rollover.turn`, in the order of its times, however late
that is called.

Source: reference/gmo-coin-api.md §6.6.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from functools import partial
from itertools import count

from gmobot.clock import NS_PER_SECOND, Clock, trading_day, trading_day_start_ns
from gmobot.core.instrument import PPM, round_fee
from gmobot.emulator.assumptions import Assumptions
from gmobot.emulator.engine.checks import CALL_AFTER_OPENING_NS
from gmobot.emulator.engine.forced import Forced
from gmobot.emulator.engine.ledger import Ledger
from gmobot.emulator.engine.records import Account, Flow

_DAY_NS = 86_400 * NS_PER_SECOND
_LONGEST_SLEEP = 3_600.0
_HOUR_NS = 3_600 * NS_PER_SECOND

Deed = Callable[[int], None]


class Rollover:
    """The exchange's timetable."""

    def __init__(self, clock: Clock, ledger: Ledger, assumptions: Assumptions, forced: Forced) -> None:
        self._clock = clock
        self._ledger = ledger
        self._assumptions = assumptions
        self._forced = forced
        self._timetable: list[tuple[int, int, Deed]] = []
        self._numbers = count()

    def start(self) -> None:
        """Write the first entries: the next 06:00 and 06:30 JST."""
        now = self._clock.now_ns()
        opened = trading_day_start_ns(trading_day(now))
        called = opened + CALL_AFTER_OPENING_NS
        self._at(opened + _DAY_NS, self._close_day)
        self._at(called if called > now else called + _DAY_NS, self._judge)

    async def run(self) -> None:
        """Keep the timetable until cancelled."""
        while True:
            wait = (self._timetable[0][0] - self._clock.now_ns()) / NS_PER_SECOND
            await asyncio.sleep(min(max(0.0, wait), _LONGEST_SLEEP))
            self.turn()

    def turn(self) -> None:
        """Do everything that is due."""
        now = self._clock.now_ns()
        while self._timetable[0][0] <= now:
            due_ns, _, deed = heapq.heappop(self._timetable)
            deed(due_ns)

    def _at(self, at_ns: int, deed: Deed) -> None:
        heapq.heappush(self._timetable, (at_ns, next(self._numbers), deed))

    def _close_day(self, at_ns: int) -> None:
        self._at(at_ns + _DAY_NS, self._close_day)
        owed: list[tuple[Account, int, str, int]] = []
        for symbol, positions in self._ledger.positions.items():
            for position in positions.values():
                ticks = self._ledger.margins.valuation(symbol, position.side) or position.ticks
                worth = self._ledger.notional_uyen(symbol, ticks, position.lots)
                fee = round_fee(worth, int(self._assumptions.leverage_fee * PPM), int(self._assumptions.fee_rounding))
                owed.append((position.account, fee, symbol, position.position_id))
        if owed:
            delay = int(self._assumptions.leverage_fee_delay_seconds * NS_PER_SECOND)
            self._at(at_ns + delay, lambda due_ns: self._book_fees(due_ns, owed))

    def _book_fees(self, at_ns: int, owed: list[tuple[Account, int, str, int]]) -> None:
        for account, fee, symbol, position_id in owed:
            self._ledger.move(account, Flow(at_ns, "leverage_fee", "JPY", -fee, symbol, position_id))
        for symbol in dict.fromkeys(symbol for _, _, symbol, _ in owed):
            self._forced.sweep(symbol, self._clock.now_ns())

    def _judge(self, at_ns: int) -> None:
        self._at(at_ns + _DAY_NS, self._judge)
        for account in self._ledger.accounts.values():
            if account.totals and not account.called_until_ns and self._short(account):
                account.called_until_ns = at_ns + int(self._assumptions.margin_call_hours * _HOUR_NS)
                self._at(account.called_until_ns, partial(self._enforce, account))
                self._forced.cancel_opening(account, "MARGIN_CALL")

    def _enforce(self, account: Account, _: int) -> None:
        """The deadline of a call: what is still short is closed."""
        if account.totals and self._short(account):
            self._forced.close_all(account, "MARGIN_CALL_LOSSCUT", self._clock.now_ns())
        account.called_until_ns = 0

    def _short(self, account: Account) -> bool:
        return self._ledger.margins.below(account, self._assumptions.margin_call_ratio)
