"""The exchange's own audit: every balance, hold, position and total derived a second time, from what happened.

Executions and flows are what happened; everything that the ledger keeps must follow from them to the unit.
"""

from __future__ import annotations

from collections import Counter

from gmobot.emulator.engine.ledger import Ledger
from gmobot.emulator.engine.records import Account, Execution, Total


class LedgerBrokenError(AssertionError):
    """The exchange's own books do not add up."""


def check(ledger: Ledger) -> None:
    """Compare what the ledger keeps with executions and flows.

    Raises:
        LedgerBrokenError: They do not add up; the text says where.
    """
    for account in ledger.accounts.values():
        _check_balances(ledger, account)
        _check_orders(account)
        _check_holds(ledger, account)
        _check_positions(ledger, account)
    _check_totals(ledger)


def _check_balances(ledger: Ledger, account: Account) -> None:
    jpy, coins, fx = account.first_jpy_uyen, dict(account.first_coins), 0
    for flow in account.flows:
        if flow.asset == "JPY":
            jpy += flow.amount
        else:
            coins[flow.asset] = coins.get(flow.asset, 0) + flow.amount
        fx -= flow.amount if flow.kind == "transfer" else 0
    for execution in account.executions:
        symbol = execution.order.symbol
        jpy -= execution.fee_uyen
        if execution.parts:
            jpy += _realised(ledger, execution)
        else:
            jpy -= execution.sign * ledger.notional_uyen(symbol, execution.ticks, execution.lots)
            coins[symbol] = coins.get(symbol, 0) + execution.sign * execution.lots
    _same(f"{account.name}: micro-yen", account.jpy_uyen, jpy)
    _same(f"{account.name}: micro-yen on the FX account", account.fx_uyen, fx)
    _same(f"{account.name}: coins", account.coins, coins)
    # A leverage loss can be larger than the purse; spot never is.
    geared = any(execution.parts for execution in account.executions)
    if (account.jpy_uyen < 0 and not geared) or min(account.coins.values(), default=0) < 0:
        raise LedgerBrokenError(f"{account.name}: below zero: {account.jpy_uyen} micro-yen, {account.coins}")


def _realised(ledger: Ledger, execution: Execution) -> int:
    """Return what a leverage fill must have realised: nothing when it opened."""
    if execution.order.opens:
        return 0
    unit = ledger.terms[execution.order.symbol].unit_uyen
    exact = sum(position.sign * (execution.ticks - position.ticks) * lots * unit for position, lots in execution.parts)
    # Each part is rounded to a yen at most.
    if abs(execution.loss_gain_uyen - exact) >= 1_000_000 * len(execution.parts):
        raise LedgerBrokenError(f"execution {execution.execution_id}: realised {execution.loss_gain_uyen} instead of {exact}")
    return execution.loss_gain_uyen


def _check_orders(account: Account) -> None:
    for order in account.orders.values():
        _same(f"order {order.order_id}: executed", order.executed, sum(e.lots for e in order.executions))
        if order.executed > order.lots or (order.status == "EXECUTED") != (order.executed == order.lots):
            raise LedgerBrokenError(f"order {order.order_id}: {order.executed} of {order.lots} lots executed, status {order.status}")
        if order.settles:
            _same(f"order {order.order_id}: still to settle", sum(s.lots for s in order.settles), order.lots - order.executed)
    _same(f"{account.name}: executions", len(account.executions), sum(len(o.executions) for o in account.orders.values()))


def _check_holds(ledger: Ledger, account: Account) -> None:
    active = {order.order_id: order for order in account.orders.values() if order.active}
    _same(f"{account.name}: open orders", account.open_orders, active)
    held = sum(ledger.needed(order) for order in active.values() if order.holds_yen)
    _same(f"{account.name}: held micro-yen", account.held_uyen, held)
    for symbol in ledger.terms:
        lots = sum(o.open_lots for o in active.values() if o.side == "SELL" and o.symbol == symbol and not o.leverage)
        _same(f"{account.name}: held {symbol}", account.reserved_lots(symbol), lots)
    waiting: Counter[tuple[str, str]] = Counter()
    for order in active.values():
        waiting[order.symbol, order.side] += 0 if order.settles else order.open_lots
    _same(f"{account.name}: waiting lots", {key: lots for key, lots in account.waiting.items() if lots}, dict(+waiting))
    reserved: Counter[int] = Counter()
    for order in active.values():
        for settle in order.settles:
            reserved[settle.position.position_id] += settle.lots
    for position in account.positions.values():
        _same(f"position {position.position_id}: reserved", position.reserved, reserved.pop(position.position_id, 0))
        if not 0 <= position.reserved <= position.lots:
            raise LedgerBrokenError(f"position {position.position_id}: {position.reserved} of {position.lots} lots reserved")
    _same(f"{account.name}: reserved of positions that are gone", [i for i, lots in reserved.items() if lots], [])


def _check_positions(ledger: Ledger, account: Account) -> None:
    lots: Counter[int] = Counter()
    for execution in account.executions:
        for position, part in execution.parts:
            lots[position.position_id] += part if execution.order.opens else -part
    left = {number: count for number, count in lots.items() if count}
    _same(f"{account.name}: open lots by position", {p.position_id: p.lots for p in account.positions.values()}, left)
    totals: dict[tuple[str, str], Total] = {}
    for position in account.positions.values():
        total = totals.setdefault((position.symbol, position.side), Total())
        total.lots += position.lots
        total.cost += position.lots * position.ticks
        if ledger.positions[position.symbol].get(position.position_id) is not position:
            raise LedgerBrokenError(f"position {position.position_id}: not in the list of its symbol")
    _same(f"{account.name}: totals of positions", account.totals, totals)


def _check_totals(ledger: Ledger) -> None:
    accounts = ledger.accounts.values()
    flowed = sum(flow.amount for a in accounts for flow in a.flows if flow.asset == "JPY" and flow.kind != "leverage_fee")
    moved = sum(account.jpy_uyen - account.first_jpy_uyen for account in accounts) - flowed
    _same("micro-yen of everybody", moved + ledger.fees_uyen + ledger.market_uyen, 0)
    for symbol in ledger.terms:
        coins = sum(a.coins.get(symbol, 0) - a.first_coins.get(symbol, 0) for a in accounts)
        coins -= sum(flow.amount for a in accounts for flow in a.flows if flow.asset == symbol)
        positions = sum(p.sign * p.lots for a in accounts for p in a.positions_of(symbol))
        _same(f"{symbol} of everybody", coins + positions + ledger.market_lots.get(symbol, 0), 0)
    listed = sum(len(positions) for positions in ledger.positions.values())
    _same("positions of everybody", listed, sum(len(account.positions) for account in accounts))
    _check_fees(ledger)
    _check_matches(ledger)


def _check_fees(ledger: Ledger) -> None:
    accounts = ledger.accounts.values()
    paid = sum(execution.fee_uyen for account in accounts for execution in account.executions)
    held_over = sum(flow.amount for account in accounts for flow in account.flows if flow.kind == "leverage_fee")
    _same("fees collected", ledger.fees_uyen, paid - held_over)


def _check_matches(ledger: Ledger) -> None:
    matches: Counter[int] = Counter()
    for account in ledger.accounts.values():
        for execution in account.executions:
            if execution.match_id:
                matches[execution.match_id] += execution.sign * execution.lots
    _same("matches between customers with one side only", [match for match, lots in matches.items() if lots], [])


def _same(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise LedgerBrokenError(f"{what}: {found} instead of {expected}")
