from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from tests.core.support import PRICE, account, bar, settings
from tests.strategies.support import CROSS, write

from gmobot.core.reasons import user_bit
from gmobot.errors import StrategyError
from gmobot.strategies.loader import load
from gmobot.strategies.program import DecisionCore, Program, StateMismatchError


@pytest.fixture(scope="module")
def cross(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Program:
    return load(write(tmp_path_factory.mktemp("strategies")), cache_dir=cache)


def steps(core: DecisionCore, closes: list[int], **fields: int) -> list[Any]:
    return [core.step(bar(close), account(**fields)) for close in closes]


def test_a_decision_speaks_plain_python_and_names_its_reasons(cross: Program) -> None:
    desired = steps(DecisionCore(cross, settings()), [PRICE, PRICE + 5_000])[-1]
    assert (desired.target, desired.action, desired.confidence, desired.risk_status) == (100, 1, 0.5, 0)
    assert (desired.reasons, desired.reason_names) == (user_bit(0), ("my_reason",))
    assert type(desired.target) is int
    assert desired.to_dict()["confidence"] == (0.5).hex()


def test_a_restart_continues_exactly_where_it_stopped(cross: Program) -> None:
    closes = [PRICE + step * 700 for step in (1, 4, 2, 8, 5, 7, 1, 3, 9, 6)]
    whole = DecisionCore(cross, settings(cooldown_bars=2))
    first = DecisionCore(cross, settings(cooldown_bars=2))
    expected = steps(whole, closes, position=100)
    assert steps(first, closes[:5], position=100) == expected[:5]
    second = DecisionCore(cross, settings(cooldown_bars=2))
    second.load(first.dump())
    assert steps(second, closes[5:], position=100) == expected[5:]
    assert second.dump() == whole.dump()


def test_state_of_other_code_is_refused_but_its_plan_may_be_taken_over(cross: Program, tmp_path: Path, cache: Path) -> None:
    with_stop = CROSS.replace("return buy(params.confidence, MINE)", "return buy(params.confidence, MINE, stop=bar.close - 900.0)")
    old = DecisionCore(load(write(tmp_path, with_stop), cache_dir=cache), settings())
    assert steps(old, [PRICE, PRICE + 5_000])[-1].stop == PRICE + 4_100
    new = DecisionCore(cross, settings())
    with pytest.raises(StateMismatchError, match="does not belong to this version of Cross"):
        new.load(old.dump())
    new.load_plan(old.dump())
    held = new.step(bar(PRICE + 6_000), account(position=100))
    assert (held.target, held.stop) == (0 if held.action < 0 else 100, PRICE + 4_100)


def test_a_flip_under_way_is_part_of_the_plan(cross: Program) -> None:
    old, new = DecisionCore(cross, settings()), DecisionCore(cross, settings())
    for name, number in {"target": -100, "stop": PRICE + 900, "leaving": 1, "flipping": 1, "former_stop": PRICE - 900}.items():
        old._engine[name] = number
    new.load_plan(old.dump())
    held = new.step(bar(PRICE), account(position=100))
    assert (held.target, held.stop) == (0, PRICE - 900), "the entry was good for its bar only: the exit goes on, under the former stop"


@pytest.mark.parametrize(
    ("former_bar", "counts"),
    [(Fraction(1), (3, 31, 11)), (Fraction(1, 5), (1, 7, 3)), (Fraction(5), (15, 155, 55)), (Fraction(2**61), (2**62, 2**62, 2**62))],
    ids=["same", "longer", "shorter", "beyond all bounds"],
)
def test_a_plan_lasts_as_long_as_it_did_when_bars_are_of_another_length(
    cross: Program, former_bar: Fraction, counts: tuple[int, int, int]
) -> None:
    old, new = DecisionCore(cross, settings()), DecisionCore(cross, settings())
    names = ("cooldown", "max_holding_bars", "held_bars")
    for name, number in zip(names, (3, 31, 11), strict=True):
        old._engine[name] = number
    new.load_plan(old.dump(), former_bar=former_bar)
    assert tuple(int(new._engine[name][0]) for name in names) == counts


def test_what_gives_state_its_meaning_is_code_parameters_and_bars(cross: Program) -> None:
    key = cross.state_key(60)
    assert key == cross.bind({}).state_key(60)
    others = {cross.bind({"period": 6}).state_key(60), replace(cross, source_hash="x").state_key(60), cross.state_key(300)}
    assert len(others | {key}) == 4


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: b"x" + data[1:], lambda _: b""], ids=["short", "changed", "empty"])
def test_damaged_state_is_refused(cross: Program, damage: Any) -> None:
    core = DecisionCore(cross, settings())
    with pytest.raises(StateMismatchError):
        core.load(damage(core.dump()))


@pytest.mark.parametrize("data", [b"", bytes(500)])
def test_a_damaged_plan_is_refused(cross: Program, data: bytes) -> None:
    with pytest.raises(StateMismatchError):
        DecisionCore(cross, settings()).load_plan(data)


def test_the_strategys_warm_up_holds_even_if_nobody_set_it(tmp_path: Path, cache: Path) -> None:
    text = CROSS.replace(
        "    @staticmethod\n    def decide",
        "    @staticmethod\n    def warmup(params):\n        return params.period\n\n    @staticmethod\n    def decide",
    )
    program = load(write(tmp_path, text), {"period": 4}, cache_dir=cache)
    assert program.warmup_bars == 4
    rising = [PRICE + step * 1_000 for step in range(6)]
    assert [desired.target for desired in steps(DecisionCore(program, settings()), rising)] == [0, 0, 0, 0, 100, 100]


def test_other_parameters_need_no_compilation(cross: Program) -> None:
    other = cross.bind({"confidence": 0.75})
    assert other.step is cross.step
    assert other.source_hash == cross.source_hash
    assert steps(DecisionCore(other, settings()), [PRICE, PRICE + 5_000])[-1].confidence == 0.75
    assert steps(DecisionCore(cross, settings()), [PRICE, PRICE + 5_000])[-1].confidence == 0.5
    with pytest.raises(StrategyError, match="largest allowed"):
        cross.bind({"confidence": 1.5})


def test_uncompiled_the_authors_own_lines_run(tmp_path: Path, cache: Path) -> None:
    program = load(write(tmp_path), jit=False, cache_dir=cache)
    seen: set[int] = set()

    def trace(frame: Any, event: str, _: Any) -> Any:
        if frame.f_code.co_filename == str(tmp_path / "cross.py") and event == "line":
            seen.add(frame.f_lineno)
        return trace

    import sys

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        steps(DecisionCore(program, settings()), [PRICE, PRICE + 5_000])
    finally:
        sys.settrace(before)
    lines = CROSS.splitlines()
    assert {lines[number - 1].strip() for number in seen} >= {
        "state.bars += 1",
        "if bar.close > mean:",
        "return buy(params.confidence, MINE)",
    }


def test_a_loop_of_an_uncompiled_program_runs_uncompiled(tmp_path: Path, cache: Path) -> None:
    source = "\n@njit(cache=True, nogil=True)\ndef count(bars):\n    return len(bars)\n"
    program = load(write(tmp_path), jit=False, cache_dir=cache)
    loop = program.compile_loop("count", source)
    assert loop(bar()) == 1
    assert not hasattr(loop, "signatures")
