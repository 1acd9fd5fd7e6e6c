"""The faults: each is one wrong edit of the code, and the tests that exist to catch it.

An edit is a text that occurs exactly once in its file, and what stands there instead. When the code moves
on, a text that is no longer found stops the run, so that no fault can quietly cease to be planted.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One wrong edit.

    Attributes:
        name: What would go wrong, in a few words.
        file: Where, from the project's root.
        before: The right text, whole lines or a part of one.
        after: The wrong text.
        caught_by: Test files or single tests, at least one of which must fail.
    """

    name: str
    file: str
    before: str
    after: str
    caught_by: tuple[str, ...]


FAULTS = (
    Fault(
        "a fee's sign",
        "src/gmobot/core/ledger.py",
        "    ledger.cash_uyen -= fee_uyen\n",
        "    ledger.cash_uyen += fee_uyen\n",
        ("tests/core/test_ledger.py", "tests/backtest/test_simulate.py"),
    ),
    Fault(
        "a fill rule: a gap through the stop fills at its trigger",
        "src/gmobot/backtest/fills.py",
        "    return min(stop, bar.open)\n",
        "    return stop\n",
        ("tests/backtest/test_simulate.py", "tests/backtest/test_common_domain.py"),
    ),
    Fault(
        "a fill rule: the target is looked at before the stop",
        "src/gmobot/backtest/fills.py",
        "    if stop <= 0 or bar.low > stop or 0 < target <= bar.open:\n",
        "    if stop <= 0 or bar.low > stop or 0 < target <= bar.high:\n",
        ("tests/backtest/test_simulate.py", "tests/backtest/test_common_domain.py"),
    ),
    Fault(
        "look-ahead: a decision fills at the close it was made on",
        "src/gmobot/backtest/loop.py",
        "                if lots != 0:\n                    price = trade_at(book, s, bar.open, lots, slippage)\n",
        "                if lots != 0:\n                    price = trade_at(book, s, bars[i - 1].close, lots, slippage)\n",
        ("tests/backtest/test_simulate.py", "tests/backtest/test_common_domain.py"),
    ),
    Fault(
        "a blind retry of a write whose reply was lost",
        "src/gmobot/venue/gmo/requester.py",
        "            reply = await self._transport.request(request, self._timeouts)\n",
        "            try:\n"
        "                reply = await self._transport.request(request, self._timeouts)\n"
        "            except ReplyLost:\n"
        "                reply = await self._transport.request(request, self._timeouts)\n",
        ("tests/venue/gmo/test_rest.py", "tests/venue/test_against_emulator.py"),
    ),
    Fault(
        "days without a bar that cost no leverage fee",
        "src/gmobot/backtest/loop.py",
        "        fee = leverage_fee(book.position, last_close, day - r.day, s)\n",
        "        fee = leverage_fee(book.position, last_close, 1, s)\n",
        ("tests/backtest/test_leverage.py",),
    ),
    Fault(
        "a short position's stop looked for below the price",
        "src/gmobot/backtest/fills.py",
        "    if stop <= 0 or bar.high < stop or 0 < bar.open <= target:\n",
        "    if stop <= 0 or bar.low > stop or 0 < bar.open <= target:\n",
        ("tests/backtest/test_leverage.py",),
    ),
    Fault(
        "a body of PUT and DELETE that is signed",
        "src/gmobot/venue/gmo/auth.py",
        '    text = f"{timestamp_ms}{method}{path}".encode() + signed_body\n',
        '    text = f"{timestamp_ms}{method}{path}".encode() + body\n',
        ("tests/venue/gmo/test_auth.py",),
    ),
    Fault(
        "an unknown code taken for a refusal",
        "src/gmobot/venue/gmo/errors.py",
        "    if code not in MEANING or code in _INDEFINITE:\n",
        "    if code in _INDEFINITE:\n",
        ("tests/venue/gmo/test_errors.py",),
    ),
    Fault(
        "a fill booked twice",
        "src/gmobot/live/books.py",
        "        if execution.execution_id in self._booked:\n            return None\n",
        "",
        ("tests/live/test_books.py",),
    ),
    Fault(
        "a field of an artifact under another name",
        "src/gmobot/ops/artifacts.py",
        "class RunProgress(msgspec.Struct, frozen=True, kw_only=True):\n",
        'class RunProgress(msgspec.Struct, frozen=True, kw_only=True, rename={"equity_jpy": "equity"}):\n',
        ("tests/contract/test_schemas.py",),
    ),
    Fault(
        "the request leaves before the intent is on disk",
        "src/gmobot/live/sender.py",
        "            intent = await self._books.add(draft, request)\n",
        "            import asyncio\n            intent = draft\n            asyncio.ensure_future(self._books.add(draft, request))\n",
        ("tests/live/test_trader.py",),
    ),
    Fault(
        "commits that do not reach the disk",
        "src/gmobot/live/database.py",
        '        db.execute("PRAGMA synchronous = FULL")\n',
        '        db.execute("PRAGMA synchronous = OFF")\n',
        ("tests/live/test_store.py",),
    ),
    Fault(
        "absence concluded before the visibility delay",
        "src/gmobot/live/tracker.py",
        "        if asked_ns <= first_ns + self._visibility_ns:\n            return False\n",
        "",
        ("tests/live/test_tracker.py",),
    ),
    Fault(
        "a sale of coins that an unknown order may have sold",
        "src/gmobot/live/plan.py",
        "        and (unknown_too or not intent.state.is_unresolved)\n",
        "        and not intent.state.is_unresolved\n",
        ("tests/live/test_plan.py",),
    ),
    Fault(
        "a stop that a partial fill takes away",
        "src/gmobot/live/plan.py",
        "    free = now.held - _closing_lots(now, unknown_too=True)\n",
        "    free = 0 if any(i.opens for i in now.open) else now.held - _closing_lots(now, unknown_too=True)\n",
        ("tests/live/test_plan.py",),
    ),
    Fault(
        "a foreign order cancelled",
        "src/gmobot/live/tracker.py",
        "        waiting = self._waiting.pop(order_id)\n",
        "        waiting = self._waiting.pop(order_id)\n        await self._rest.cancel_order(order_id)\n",
        ("tests/live/test_tracker.py",),
    ),
    Fault(
        "a deposit that leaves the peak where it was",
        "src/gmobot/live/account.py",
        "            state.peak = max(equity, max(state.peak, before) * equity // before)\n",
        "            state.peak = max(state.peak, before)\n",
        ("tests/live/test_cash_flows.py",),
    ),
    Fault(
        "an emergency record merged twice",
        "src/gmobot/live/database.py",
        '    return int(db.execute("SELECT merged FROM emergency").fetchone()[0])\n',
        "    return 0\n",
        ("tests/live/test_emergency.py",),
    ),
    Fault(
        "an entry without a record while the database is locked",
        "src/gmobot/live/store.py",
        "        way = Way.REFUSE if draft.opens else Way.EMERGENCY\n",
        "        way = Way.WAIT\n",
        ("tests/live/test_emergency.py",),
    ),
    Fault(
        "a wall clock that is set and proves an absence",
        "src/gmobot/clock.py",
        "    return round(clock.monotonic() * NS_PER_SECOND)\n",
        "    return clock.now_ns()\n",
        ("tests/live/test_tracker.py",),
    ),
    Fault(
        "a close of a position that is somebody else's",
        "src/gmobot/live/trader.py",
        " or not pieces.looked or pieces.foreign(Side.BUY if position > 0 else Side.SELL):\n",
        ":\n",
        ("tests/live/test_trader_leverage.py",),
    ),
    Fault(
        "a foreign order adopted",
        "src/gmobot/live/tracker.py",
        "        return self._books.is_ours(order_id) or self._books.is_foreign(order_id)\n",
        "        return self._books.is_ours(order_id)\n",
        ("tests/live/test_tracker.py",),
    ),
    Fault(
        "coins sold a second time, booked as ours when the first sale turns up",
        "src/gmobot/live/tracker.py",
        "        if self._fits(order, intent):\n",
        "        if True:\n",
        ("tests/live/test_tracker_late.py",),
    ),
    Fault(
        "a late order, given away before it is stopped",
        "src/gmobot/live/tracker.py",
        "        elif not order.status.is_final:\n            await self._alarm",
        "        elif False:\n            await self._alarm",
        ("tests/live/test_tracker_late.py",),
    ),
    Fault(
        "an order that only events have told of, called foreign",
        "src/gmobot/live/tracker.py",
        "            elif order_id not in self._compared and self._books.absent(self._symbol):\n",
        "            elif False:\n",
        ("tests/live/test_tracker_late.py",),
    ),
    Fault(
        "a halt forgotten at the restart",
        "src/gmobot/live/guards.py",
        "        self._latches = dict(latches)\n",
        "        self._latches: dict[Latch, str] = {}\n",
        ("tests/live/test_guards.py",),
    ),
    Fault(
        "the day's loss forgotten at the restart",
        "src/gmobot/live/account.py",
        '            saved["day_start"],\n',
        '            saved["base_cash"],\n',
        ("tests/live/test_guards.py",),
    ),
    Fault(
        "two closes that both filled end the daemon",
        "src/gmobot/live/tracker.py",
        "        if self._books.fits(execution):\n            return False\n",
        "        if True:\n            return False\n",
        ("tests/live/test_tracker_beyond.py",),
    ),
    Fault(
        "a stranger's position, met by a bulk close, booked as ours",
        "src/gmobot/live/tracker.py",
        "        if (stranger := self._stranger(execution, owner)) is not None:\n",
        "        if (stranger := None) is not None:\n",
        ("tests/live/test_tracker_beyond.py",),
    ),
    Fault(
        "a hand's close taken for one that was given up",
        "src/gmobot/live/tracker.py",
        "        return looks_like(order, intent, self._instrument) and not self._closed_another_position(order, intent)\n",
        "        return looks_like(order, intent, self._instrument)\n",
        ("tests/live/test_tracker_late.py",),
    ),
    Fault(
        "an entry that waited for the rate limit and leaves after a halt",
        "src/gmobot/live/trader.py",
        "        if not self._entry_allowed(standing, sending=1):\n",
        "        if False:\n",
        ("tests/live/test_last_word.py",),
    ),
    Fault(
        "a STOP taken away by a daemon that may not send the exit",
        "src/gmobot/live/trader.py",
        "        if standing.watch_reason is not None and not (isinstance(action, Cancel) and _guards_nothing(action.intent, now)):\n",
        "        if standing.watch_reason is not None and not isinstance(action, Cancel):\n",
        ("tests/live/test_trader_watching.py",),
    ),
    Fault(
        "a STOP taken away for an exit at yesterday's price",
        "src/gmobot/live/trader.py",
        "        if not self._gate.is_fresh(self._market):\n            # Nobody knows",
        "        if False:\n            # Nobody knows",
        ("tests/live/test_trader_prices.py",),
    ),
    Fault(
        "exits that wait for an answer nobody gives",
        "src/gmobot/live/trader.py",
        "            await self._act(blind=True)\n",
        "",
        ("tests/live/test_trader_blind.py",),
    ),
    Fault(
        "an entry that forgets what another symbol may still open",
        "src/gmobot/live/account.py",
        "and (self._books.position(other) or self.open_lots(other))]\n",
        "and self._books.position(other)]\n",
        ("tests/live/test_exposure.py",),
    ),
    Fault(
        "an order that a hand moved before its number was known, taken for another's",
        "src/gmobot/live/tracker.py",
        "        return looks_moved(order, intent, self._instrument) and not self._closed_another_position(order, intent)\n",
        "        return False\n",
        ("tests/live/test_tracker_moved.py",),
    ),
    Fault(
        "an entry that was refused and stays unknown in the file",
        "src/gmobot/live/store.py",
        "                self._withdraw(intent, event(intent), str(error))\n",
        "",
        ("tests/live/test_emergency_disk.py",),
    ),
    Fault(
        "machine code of an edited strategy",
        "src/gmobot/strategies/sources.py",
        "    return digest.hexdigest()[:24]\n",
        "    return hashlib.sha256(file.name.encode()).hexdigest()[:24]\n",
        ("tests/strategies/test_cache.py::test_an_edit_is_seen_within_one_process",),
    ),
    Fault(
        "an emulator that believes unsigned requests",
        "src/gmobot/emulator/protocol/authentication.py",
        '        if not hmac.compare_digest(expected.encode(), headers.get("API-SIGN", "").encode()):\n',
        '        if "API-SIGN" not in headers:\n',
        ("tests/conformance/test_conformance.py",),
    ),
    Fault(
        "a fill that is told without the fills before it",
        "src/gmobot/emulator/protocol/wire.py",
        '        "orderExecutedSize": number(instrument.size(execution.cumulative)),\n',
        '        "orderExecutedSize": number(instrument.size(execution.lots)),\n',
        ("tests/conformance/test_conformance.py",),
    ),
    Fault(
        "a conformance suite that may write to the real exchange",
        "tests/conformance/target.py",
        '        if self._read_only and method != "GET":\n',
        '        if self._read_only and method not in ("GET", "POST"):\n',
        ("tests/conformance/test_suite.py",),
    ),
)
