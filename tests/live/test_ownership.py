"""Books of one account never meet another one: of another kind, or of the same kind under other keys."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from decimal import Decimal
from typing import Any

import pytest
from tests.live.bench import STOP, Bench, ScriptedRest, fill, order
from tests.live.rehearsal import account, calm, commands, daemon, in_position, ours, position, rehearse, until
from tests.live.test_direct import buried, bury, close
from tests.live.test_positions import listed
from tests.simulation import world as world_module
from tests.simulation.setting import BALANCES, EMA, INSTRUMENTS, KEY, PARAMS, SECRET
from tests.simulation.world import World

from gmobot.config import Config, Environment, Mode
from gmobot.core.instrument import to_uyen
from gmobot.emulator.engine.exchange import account as customer
from gmobot.emulator.protocol.keys import ApiKey, KeyRules
from gmobot.errors import Category, ConfigError, NotSent, Refused, Unavailable, VenueError
from gmobot.live.daemon import Links
from gmobot.live.ownership import FINGERPRINT, claim, fingerprint, marks, owner_of, recognise
from gmobot.live.ownership import KEY as OWNER
from gmobot.live.positions import Piece
from gmobot.live.rotation import Rotation
from gmobot.secrets import FoundSecret, Secret, SecretName
from gmobot.strategies.loader import load
from gmobot.strategies.program import Program
from gmobot.venue.gmo.auth import Credentials
from gmobot.venue.models import Execution, Order, Position, Side

NEW, ITS_SECRET = "second-key", "second-secret"
NEW_PAIR = Credentials(Secret(NEW), Secret(ITS_SECRET))
PAPER, LIVE = Config(mode=Mode.PAPER), Config(mode=Mode.LIVE, environment=Environment.PRODUCTION)
STRANGER = "shows none of its orders.*set paths\\.var to another folder"
UNKNOWN_ID = Refused("ERR-5123", category=Category.NOT_FOUND, code="ERR-5123")
BAD_ID = Refused("ERR-430", category=Category.VALIDATION, code="ERR-430")
NOT_ALLOWED = Refused("ERR-5012", category=Category.AUTH, code="ERR-5012")
RESTRICTED = Refused("ERR-5125", category=Category.EXCHANGE, code="ERR-5125")


@pytest.fixture(scope="module")
def program() -> Program:
    return load(EMA, PARAMS[EMA])


class KeyedRest(ScriptedRest):
    """A client that signs with a key; each question about ids can be refused by itself."""

    def __init__(self, key: str | None) -> None:
        super().__init__()
        self.signs = None if key is None else Secret(key)
        self.asked: list[tuple[str, list[int]]] = []
        self.refusals: dict[str, VenueError] = {}

    @property
    def key(self) -> Secret | None:
        return self.signs

    async def orders(self, order_ids: Any) -> list[Order]:
        self._questioned("orders", order_ids)
        return await super().orders(order_ids)

    async def executions_by_id(self, execution_ids: Sequence[int]) -> list[Execution]:
        self._questioned("fills", execution_ids)
        return [row for row in self.fills if row.execution_id in execution_ids]

    async def open_positions(self, symbol: str) -> list[Position]:
        self._questioned("positions", [])
        return await super().open_positions(symbol)

    def _questioned(self, what: str, ids: Sequence[int]) -> None:
        self.asked.append((what, list(ids)))
        if what in self.refusals:
            raise self.refusals[what]


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What was waited for between two looks, without waiting."""
    seconds: list[float] = []

    async def sleep(delay: float) -> None:
        seconds.append(delay)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return seconds


# --- another kind of account ------------------------------------------------------------------------


@pytest.mark.parametrize("holding", [True, False])
async def test_books_of_another_kind_of_account_are_refused_while_something_is_held(bench: Bench, holding: bool) -> None:
    await bench.open()
    bench.account.start(5, {})
    await bench.store.save_account(bench.account.state.to_dict() | {OWNER: owner_of(PAPER)})
    if holding:
        await bench.owning(100)
    saved = await bench.store.load()
    assert not claim(PAPER, saved)
    assert saved.account["base_cash"] == 5
    if holding:
        with pytest.raises(ConfigError, match=r"mode paper and holds BTC.*set paths\.var to another folder"):
            claim(LIVE, saved)
    else:
        assert claim(LIVE, saved)
        assert saved.account == {}, "with nothing open it begins anew"
    await bench.close()


async def test_an_open_order_alone_is_something_held(bench: Bench) -> None:
    await bench.open()
    await bench.store.save_account({OWNER: owner_of(PAPER)})
    await bench.acknowledged(**STOP)
    with pytest.raises(ConfigError, match="holds 1 open orders"):
        claim(LIVE, await bench.store.load())
    await bench.close()


async def test_what_is_kept_of_another_account_goes_as_the_new_owner_is_written(bench: Bench) -> None:
    await bench.open()
    bench.account.start(5, {"BTC": Decimal(0)})
    await bench.store.save_account(bench.account.state.to_dict() | {OWNER: owner_of(PAPER), FINGERPRINT: 1})
    await bench.store.save_account({"day": 7})
    assert (await bench.store.load()).account["base_cash"] == 5
    await bench.store.save_account({OWNER: owner_of(LIVE)}, anew=True)
    await bench.reopen()
    assert bench.saved.account == {OWNER: owner_of(LIVE)}
    await bench.close()


def rows(world: World) -> dict[str, int]:
    """Return what the database keeps of the account."""
    with closing(sqlite3.connect(world.var / "state" / "gmobot.db")) as db:
        return dict(db.execute("SELECT key, value FROM account"))


def test_a_first_live_start_that_ends_before_it_could_compare_leaves_no_capital_of_paper(program: Program) -> None:
    async def script(world: World) -> None:
        await world._stop()
        world.evidence.forget_connection()
        with closing(sqlite3.connect(world.var / "state" / "gmobot.db")) as db, db:
            db.execute("UPDATE account SET value = ? WHERE key = ?", (owner_of(PAPER), OWNER))
            db.execute("UPDATE account SET value = 77 WHERE key = 'base_cash'")
        assert rows(world)["base_cash"] == 77
        permit(world, "orders+executions")
        world._start()
        await until(lambda: daemon(world).books is not None)
        await asyncio.sleep(5.0)
        assert account(world).state.base_cash is None
        await world._stop()
        assert "base_cash" not in rows(world)
        assert "base_coins:BTC" not in rows(world)
        permit(world, None)
        world._start()
        await until(lambda: account_or_none(world) is not None)
        assert account(world).state.base_cash == to_uyen(BALANCES["JPY"])

    async def at_once(world: World) -> None:
        await until(lambda: account_or_none(world) is not None)
        await commands(world).pause("test")
        assert ours(world) == 0
        await script(world)
        await commands(world).resume("test", acknowledge=True)

    rehearse(calm(2), program, at_once)


def account_or_none(world: World) -> int | None:
    """Return the yen the account began with, once they are known."""
    found = daemon(world).account
    return found.state.base_cash if found is not None else None


def permit(world: World, may: str | None) -> None:
    """Say what the key may do from now on."""
    world.api.authenticator._keys[KEY] = ApiKey(world.account, SECRET.encode(), KeyRules.parse(may))


# --- no account at all ------------------------------------------------------------------------------


def test_a_run_without_keys_shows_a_capital_and_keeps_none(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Decimal(7_000_000)

    def prepare(world: World) -> None:
        monkeypatch.setattr(world_module, "Links", lambda rest, public, *_: Links(rest, public, None, None))
        world.config = world.config.model_copy(update={"capital": world.config.capital.model_copy(update={"paper_jpy": shown})})

    async def script(world: World) -> None:
        await asyncio.sleep(30.0)
        assert account(world).equity_uyen == to_uyen(shown)
        assert daemon(world)._watch_reason() == "missing_credentials"
        assert account(world).state.peak == to_uyen(shown)
        await world._stop()
        assert not {"base_cash", "peak", FINGERPRINT} & set(rows(world))
        monkeypatch.undo()
        world._start()
        await in_position(world)
        assert account(world).state.base_cash == to_uyen(BALANCES["JPY"])

    rehearse(calm(2), program, script, prepare=prepare)


# --- another account of the same kind, in the whole daemon --------------------------------------------


def issue(world: World, *, stranger: bool) -> None:
    """Make a second key, of our account or of another one's, which the next start is given."""
    other = customer(NEW, ITS_SECRET, {"JPY": Decimal(10_000_000), "BTC": Decimal(3)}, {"BTC": INSTRUMENTS["BTC"]})
    world.exchange.ledger.accounts[NEW] = other
    world.api.authenticator.issue(NEW, ApiKey(other if stranger else world.account, ITS_SECRET.encode(), KeyRules()))
    world.credentials = NEW_PAIR


def test_keys_of_another_account_are_refused_before_anything_is_sent(program: Program) -> None:
    async def script(world: World) -> None:
        await in_position(world)
        await world._stop()
        issue(world, stranger=True)
        before = rows(world)
        world._start()
        assert world.process is not None
        with pytest.raises(ConfigError, match=f"GMO_API_KEY: the state in .* holds BTC, .*{STRANGER}"):
            await asyncio.wait_for(world.process.task, 30.0)
        assert daemon(world).status == "failed"
        assert world.exchange.ledger.accounts[NEW].orders == {}
        assert {row["method"] for row in world.api.access if row["key"] == NEW} == {"GET"}
        assert rows(world) == before
        world.credentials = Credentials(Secret(KEY), Secret(SECRET))
        world._start()
        await until(lambda: position(world) > 0 and world.account.held_lots.get("BTC") == ours(world))

    rehearse(calm(2), program, script)


def test_a_new_key_of_the_same_account_goes_on_by_itself(program: Program) -> None:
    async def script(world: World) -> None:
        await in_position(world)
        await world._stop()
        issue(world, stranger=False)
        world._start()
        await until(lambda: rows(world)[FINGERPRINT] == fingerprint(KeyedRest(NEW)), seconds=5.0)
        await until(lambda: daemon(world)._comparing.done, seconds=10.0)
        assert position(world) == ours(world)
        assert ours(world) > 0

    rehearse(calm(2), program, script)


def test_a_new_key_that_gets_no_answer_is_waited_for(program: Program) -> None:
    async def script(world: World) -> None:
        await in_position(world)
        await world._stop()
        issue(world, stranger=False)
        world.api.authenticator.withdraw(NEW)
        world._start()
        await asyncio.sleep(20.0)
        assert daemon(world).status == "starting"
        assert "ERR-5012" in str(daemon(world).last_error)
        world.api.authenticator.issue(NEW, ApiKey(world.account, ITS_SECRET.encode(), KeyRules()))
        await until(lambda: position(world) > 0, seconds=10.0)

    rehearse(calm(2), program, script)


def test_flatten_without_a_daemon_sells_nothing_of_another_account() -> None:
    async def script(world: World) -> None:
        await in_position(world)
        await bury(world)
        mine, credentials = world.api.authenticator._keys[KEY], world.credentials
        with closing(sqlite3.connect(world.var / "state" / "gmobot.db")) as db, db:
            db.execute("UPDATE account SET value = value - 1 WHERE key = ?", (FINGERPRINT,))
        issue(world, stranger=True)
        world.api.authenticator._keys[KEY] = ApiKey(world.exchange.ledger.accounts[NEW], SECRET.encode(), KeyRules())
        with pytest.raises(ConfigError, match=STRANGER):
            await close(world, [])
        assert world.exchange.ledger.accounts[NEW].orders == {}
        world.api.authenticator._keys[KEY], world.credentials = mine, credentials
        assert (await close(world, []))[0].flat

    buried("spot", script)


def test_a_key_rotated_without_a_restart_is_known_at_the_next_one(program: Program) -> None:
    files = {SecretName.API_KEY: Secret(KEY), SecretName.API_SECRET: Secret(SECRET)}

    def look(name: SecretName) -> FoundSecret | None:
        return FoundSecret(name, files[name], name.value) if name in files else None

    async def script(world: World) -> None:
        await in_position(world)
        found = daemon(world)
        in_use = {name: secret for name in SecretName if (secret := look(name)) is not None}
        rotation = Rotation(
            in_use,
            look,
            client=found._links.trade_rest,
            private_stream=found._links.private_stream,
            instruments=world.config.instruments,
            learn=lambda _: None,
        )
        running = asyncio.create_task(rotation.run(found._on_secrets, found._is_of_our_account))
        issue(world, stranger=True)
        files.update({SecretName.API_KEY: Secret(NEW), SecretName.API_SECRET: Secret(ITS_SECRET)})
        world.api.authenticator.withdraw(KEY)
        rotation.due.set()
        await until(lambda: "shows none of its orders" in str(found.last_error), seconds=10.0)
        assert rows(world)[FINGERPRINT] == fingerprint(KeyedRest(KEY))
        world.api.authenticator.withdraw(NEW)
        issue(world, stranger=False)
        rotation.due.set()
        await until(lambda: rows(world)[FINGERPRINT] == fingerprint(KeyedRest(NEW)), seconds=10.0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    rehearse(calm(2), program, script)


# --- another account of the same kind, question by question -------------------------------------------


async def holding(bench: Bench, **changes: Any) -> KeyedRest:
    """Own something under a key that is remembered; return a client with another one, whose account knows nothing."""
    await bench.open()
    await bench.owning(100)
    await bench.acknowledged(order_id=901, **(STOP | changes))
    await bench.store.save_account(marks(LIVE, KeyedRest(KEY)))
    return KeyedRest(NEW)


async def test_no_key_can_be_found_from_what_is_kept() -> None:
    kept = marks(LIVE, KeyedRest(KEY))
    assert kept == {OWNER: 3, FINGERPRINT: fingerprint(KeyedRest(KEY))}
    assert 0 < kept[FINGERPRINT] < 2**63
    assert fingerprint(KeyedRest(KEY)) != fingerprint(KeyedRest(NEW))
    assert marks(LIVE, KeyedRest(None)) == marks(LIVE, None) == {OWNER: 3}, "the one that is kept stays"


async def test_what_only_our_account_can_show_is_enough(bench: Bench, slept: list[float]) -> None:
    rest = await holding(bench)
    saved = await bench.store.load()
    rest.orders_there[901] = order(901)
    await recognise(LIVE, saved, rest)
    assert rest.asked == [("orders", [901, 900])], "the open ones, then the newest"
    rest.orders_there.clear()
    rest.fills = [fill(9_000, 900)]
    await recognise(LIVE, saved, rest)
    assert rest.asked[1:] == [("orders", [901, 900]), ("fills", [9_000])]
    assert not slept
    await bench.close()


async def test_ten_numbers_are_asked_for_at_most_and_none_that_only_our_books_have(bench: Bench, slept: list[float]) -> None:
    rest = await holding(bench)
    for number in range(1, 12):
        bench.clock.advance(1.0)
        await bench.acknowledged(order_id=1_000 + number)
        await bench.tracker.on_execution(fill(10_000 + number, 1_000 + number))
    saved = await bench.store.load()
    saved.known_executions.append(-5)
    with pytest.raises(ConfigError, match=STRANGER):
        await recognise(LIVE, saved, rest)
    assert rest.asked[0] == ("orders", [901, *range(1_011, 1_002, -1)])
    assert rest.asked[1] == ("fills", [*range(10_003, 10_012)])
    assert slept == [LIVE.venue.visibility_delay_seconds]
    await bench.close()


@pytest.mark.parametrize("refusal", [None, UNKNOWN_ID, BAD_ID])
async def test_another_account_is_refused_however_it_answers(bench: Bench, slept: list[float], refusal: VenueError | None) -> None:
    rest = await holding(bench)
    rest.orders_there[77], rest.fills = order(77), [fill(77, 77)]
    rest.refusals = {"orders": refusal, "fills": refusal} if refusal is not None else {}
    with pytest.raises(ConfigError, match=f"GMO_API_KEY: .*holds BTC, .*{STRANGER}"):
        await recognise(LIVE, await bench.store.load(), rest)
    assert len(rest.asked) == 4, "twice, a visibility delay apart"
    assert slept == [LIVE.venue.visibility_delay_seconds]
    await bench.close()


async def test_an_order_that_is_not_shown_at_once_is_looked_for_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    rest = await holding(bench)

    async def shown_meanwhile(_: float) -> None:
        rest.orders_there[901] = order(901)

    monkeypatch.setattr(asyncio, "sleep", shown_meanwhile)
    await recognise(LIVE, await bench.store.load(), rest)
    await bench.close()


@pytest.mark.parametrize("question", ["orders", "fills"])
@pytest.mark.parametrize("trouble", [NOT_ALLOWED, RESTRICTED, Unavailable("no answer"), NotSent("no connection")])
async def test_without_an_answer_nothing_is_concluded(bench: Bench, slept: list[float], question: str, trouble: VenueError) -> None:
    rest = await holding(bench)
    rest.refusals = {question: trouble}
    with pytest.raises(type(trouble)):
        await recognise(LIVE, await bench.store.load(), rest)
    assert not slept
    await bench.close()


async def test_a_leverage_position_of_ours_is_proof_too(bench: Bench, slept: list[float]) -> None:
    rest = await holding(bench)
    saved = await bench.store.load()
    saved.pieces.append(Piece(symbol="BTC_JPY", position_id=31, side=Side.BUY, lots=5, losscut=0))
    theirs = listed(30)
    rest.positions = [theirs]
    with pytest.raises(ConfigError, match=STRANGER):
        await recognise(LIVE, saved, rest)
    rest.positions = [theirs, listed(31)]
    await recognise(LIVE, saved, rest)
    await bench.close()


async def test_nothing_is_asked_where_nothing_can_go_wrong(bench: Bench) -> None:
    rest = KeyedRest(NEW)
    await bench.open()
    await bench.store.save_account(marks(LIVE, KeyedRest(KEY)))
    await recognise(LIVE, await bench.store.load(), rest)
    await bench.intend()
    await recognise(LIVE, await bench.store.load(), rest)
    assert rest.asked == [], "nothing is held; or a first order has no number yet"
    await bench.owning(100)
    await recognise(LIVE, await bench.store.load(), KeyedRest(KEY))
    saved = await bench.store.load()
    del saved.account[FINGERPRINT]
    await recognise(LIVE, saved, rest)
    assert rest.asked == [], "the same key; or a state of an older version"
    await bench.close()
