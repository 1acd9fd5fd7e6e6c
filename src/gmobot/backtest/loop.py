"""The simulator's loop, generated into one module per strategy and product so that it compiles to one unit.

The text below is the body of that module: it finds ``decide``, ``observe`` and ``conclude`` in scope. One
bar is: the turn of the day, then what the last decision wanted at the open, then stop, losscut and target
inside the bar, then the account at the close, then the decision. ``LEVERAGE`` is a constant of the module,
so that a spot loop carries nothing of what only leverage needs.
"""

from __future__ import annotations

from gmobot.core.instrument import Product

_BODY = '''
from gmobot.backtest.fills import (
    ENTRY,
    EXIT,
    LOSSCUT,
    STOP,
    TARGET,
    cut_at,
    losscut_first,
    sell_at,
    short_stop_price,
    short_target_price,
    stop_price,
    target_price,
    trade_at,
)
from gmobot.core.compiled import compiled
from gmobot.core.ledger import apply_leverage_fee, show
from gmobot.core.margin import carried_lots, leverage_fee, losscut_price
from gmobot.core.records import RISK_ABORT
from gmobot.core.sizing import affordable_lots

DAY_NS = 86_400_000_000_000
DAY_SHIFT_NS = 10_800_000_000_000


@compiled
def note(fill, book, bar, kind, ticks, lots):
    """Write a fill down."""
    fill.bar = bar
    fill.kind = kind
    fill.ticks = ticks
    fill.lots = lots
    fill.trade = book.closed_trades
    fill.cash_uyen = book.cash_uyen


@compiled
def turn_day(book, a, s, r, day, last_close):
    """Begin a trading day: the day's loss counts from here, and what was held over the turn costs its fee.

    The fee is no trading loss: the guards' marks move with it.
    """
    a.day_start_equity_uyen = a.equity_uyen
    if LEVERAGE and book.position != 0:
        fee = leverage_fee(book.position, last_close, day - r.day, s)
        apply_leverage_fee(book, fee)
        a.day_start_equity_uyen -= fee
        a.peak_equity_uyen -= fee
    r.day = day


@compiled
def exit_lots(held, target):
    """Return the signed lots that bring a position down to its target, or to none where the target is on the other side."""
    if held > 0 and target < held:
        return max(target, 0) - held
    if LEVERAGE and held < 0 and target > held:
        return min(target, 0) - held
    return 0


@compiled
def entered_lots(book, s, r, target, ticks):
    """Return the signed lots to enter with from no position: cut to what money carries, 0 below the smallest order."""
    side = 1 if target > 0 else -1
    money = r.initial_uyen + book.cash_uyen
    price = max(1, ticks + side * r.slippage_ticks)
    lots = min(abs(target), carried_lots(money, s, price) if LEVERAGE else affordable_lots(money, s, price))
    return lots * side if lots >= s.min_lots else 0


@njit(cache=True, nogil=True)
def simulate(bars, engine, state, account, params, settings, shown, desired, ledger, run, equity, fills):
    """Run over all bars. Returns how many rows of ``fills`` were written, at most three a bar."""
    s, a, d, book, r = settings[0], account[0], desired[0], ledger[0], run[0]
    count = 0
    initial = r.initial_uyen
    slippage = r.slippage_ticks
    for i in range(len(bars)):
        bar = bars[i]
        day = (bar.open_time + DAY_SHIFT_NS) // DAY_NS
        if day != r.day:
            turn_day(book, a, s, r, day, engine[0].last_close)
        if d.target != book.position:
            lots = exit_lots(book.position, d.target)
            if lots != 0:
                price = trade_at(book, s, bar.open, lots, slippage)
                note(fills[count], book, i, EXIT, price, lots)
                count += 1
            if d.target != 0 and book.position == 0:
                lots = entered_lots(book, s, r, d.target, bar.open)
                if lots != 0:
                    price = trade_at(book, s, bar.open, lots, slippage)
                    note(fills[count], book, i, ENTRY, price, lots)
                    count += 1
                    if LEVERAGE:
                        r.losscut = losscut_price(price, 1 if lots > 0 else -1, s.leverage)
        if book.position != 0:
            stop, kind = d.stop, STOP
            if LEVERAGE and losscut_first(book.position, stop, r.losscut):
                stop, kind = r.losscut, LOSSCUT
            if LEVERAGE and book.position < 0:
                price = short_stop_price(bar, stop, d.take_profit)
            else:
                price = stop_price(bar, stop, d.take_profit)
            if price == 0:
                kind = TARGET
                if LEVERAGE and book.position < 0:
                    price = short_target_price(bar, d.take_profit)
                else:
                    price = target_price(bar, d.take_profit)
            if price > 0:
                lots = -book.position
                if LEVERAGE and kind == LOSSCUT:
                    price = cut_at(book, s, price, slippage)
                    r.losscuts += 1
                elif LEVERAGE:
                    price = trade_at(book, s, price, lots, slippage)
                else:
                    price = sell_at(book, s, price, -lots, slippage)
                note(fills[count], book, i, kind, price, lots)
                count += 1
            r.exposed_bars += 1
        worth = initial + book.cash_uyen + book.position * bar.close * s.unit_uyen
        equity[i] = worth
        show(book, a)
        a.cash_uyen = initial + book.cash_uyen + (book.cost_uyen if LEVERAGE else 0)
        a.equity_uyen = worth
        a.peak_equity_uyen = max(a.peak_equity_uyen, worth)
        observe(engine[0], bar, s, shown[0])
        position = book.position * s.size_numerator / s.size_denominator if book.position != 0 else 0.0
        conclude(engine[0], bar, a, s, decide(state[0], shown[0], params[0], position), d)
        if d.risk_status == RISK_ABORT:
            a.halted = 1
        r.degraded_bars += d.risk_status != 0
    return count
'''


def source(product: Product) -> str:
    """Return the module text for spot or leverage."""
    return f"\nLEVERAGE = {product is Product.LEVERAGE}\n{_BODY}"
