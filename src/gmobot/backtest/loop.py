"""The simulator's loop, generated into one module per strategy so that it compiles to one unit.

The text below is the body of that module: it finds ``decide``, ``observe`` and ``conclude`` in scope. One
bar is: fill what the last decision wanted at the open, then stop and target inside the bar, then value the
account at the close, then decide.
"""

from __future__ import annotations

SOURCE = '''
from gmobot.backtest.fills import ENTRY, EXIT, STOP, TARGET, buy_at, sell_at, stop_price, target_price
from gmobot.core.ledger import show
from gmobot.core.records import RISK_ABORT
from gmobot.core.sizing import affordable_lots

DAY_NS = 86_400_000_000_000
DAY_SHIFT_NS = 10_800_000_000_000


@njit(cache=True, nogil=True)
def simulate(bars, engine, state, account, params, settings, shown, desired, ledger, run, equity, fills):
    """Run over all bars. Returns how many rows of ``fills`` were written, at most two a bar."""
    s, a, d, book, r = settings[0], account[0], desired[0], ledger[0], run[0]
    count = 0
    initial = r.initial_uyen
    slippage = r.slippage_ticks
    for i in range(len(bars)):
        bar = bars[i]
        if d.target > book.position and d.target > 0 and book.position == 0:
            lots = min(d.target, affordable_lots(initial + book.cash_uyen, s, bar.open + slippage))
            if lots >= s.min_lots:
                price = buy_at(book, s, bar.open, lots, slippage)
                fill = fills[count]
                fill.bar, fill.kind, fill.ticks, fill.lots, fill.trade = i, ENTRY, price, lots, book.closed_trades
                count += 1
        elif d.target < book.position:
            lots = book.position - d.target
            price = sell_at(book, s, bar.open, lots, slippage)
            fill = fills[count]
            fill.bar, fill.kind, fill.ticks, fill.lots, fill.trade = i, EXIT, price, -lots, book.closed_trades
            count += 1
        if book.position > 0:
            kind = STOP
            price = stop_price(bar, d.stop, d.take_profit)
            if price == 0:
                kind = TARGET
                price = target_price(bar, d.take_profit)
            if price > 0:
                lots = book.position
                price = sell_at(book, s, price, lots, slippage)
                fill = fills[count]
                fill.bar, fill.kind, fill.ticks, fill.lots, fill.trade = i, kind, price, -lots, book.closed_trades
                count += 1
            r.exposed_bars += 1
        worth = initial + book.cash_uyen + book.position * bar.close * s.unit_uyen
        equity[i] = worth
        day = (bar.open_time + DAY_SHIFT_NS) // DAY_NS
        if day != r.day:
            r.day = day
            a.day_start_equity_uyen = a.equity_uyen
        show(book, a)
        a.cash_uyen = initial + book.cash_uyen
        a.equity_uyen = worth
        a.peak_equity_uyen = max(a.peak_equity_uyen, worth)
        observe(engine[0], bar, s, shown[0])
        position = book.position * s.size_numerator / s.size_denominator
        conclude(engine[0], bar, a, s, decide(state[0], shown[0], params[0], position), d)
        if d.risk_status == RISK_ABORT:
            a.halted = 1
        r.degraded_bars += d.risk_status != 0
    return count
'''
