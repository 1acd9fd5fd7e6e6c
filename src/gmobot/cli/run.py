"""``gmobot run``: put the parts together and run the daemon until it is told to stop."""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
import signal
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import structlog
from aiohttp.web import AppRunner

from gmobot import __version__
from gmobot.cli import hangup
from gmobot.cli.control import SOCKET
from gmobot.cli.notify import heartbeat_of, notifier_of, tell_failure
from gmobot.clock import SystemClock
from gmobot.config import Config, Environment, LoadedConfig, Mode, load
from gmobot.errors import ConfigError, GmobotError, InUseError, MissingSecretError, UserError
from gmobot.live.daemon import Daemon, Links
from gmobot.live.intake import private_channels
from gmobot.live.rotation import Rotation
from gmobot.live.store import Store
from gmobot.live.workers import ThreadWorker
from gmobot.ops import artifacts, logs
from gmobot.ops.artifacts import RunProgress
from gmobot.ops.audit import AuditLog
from gmobot.ops.logs import Masker
from gmobot.ops.narrator import Narrator
from gmobot.ops.telemetry import Telemetry
from gmobot.secrets import FoundSecret, Secret, SecretName, find_secret, searched_places
from gmobot.strategies.loader import load as load_strategy
from gmobot.strategies.program import Program
from gmobot.venue.gmo.auth import Credentials
from gmobot.venue.gmo.rest import GmoRest, Repetition, RequestRecord
from gmobot.venue.gmo.streams import Backoff, CommandPacer, PrivateStream, PublicStream
from gmobot.venue.http import HttpTransport
from gmobot.venue.transport import Timeouts, Transport

_PRODUCTION = ("https://api.coin.z.com", "wss://api.coin.z.com")
_EMULATOR = ("http://127.0.0.1:9755", "ws://127.0.0.1:9755")
log = structlog.get_logger("gmobot.run")


def run_daemon(path: Path, *, debug: bool) -> int:
    """Run the daemon; return the exit code.

    Raises:
        UserError: The configuration or a secret is wrong.
    """
    try:
        loaded = load(path)
        secrets = {name: found for name in SecretName if (found := find_secret(name)) is not None}
    except (ConfigError, OSError) as error:
        _leave_unread(str(error))
        tell_failure(None, str(error))
        raise
    config = loaded.config
    _make_directories(config)
    masker = logs.configure(
        config.paths.logs,
        secrets=[*(found.value for found in secrets.values()), Secret(config.heartbeat.url.get_secret_value())],
        console=_wants_console(),
    )
    run_id = _new_run_id()
    try:
        with instance_lock(config.paths.state):
            credentials = _credentials(config, secrets)
            programs = load_programs(config)
            runner = asyncio.Runner(loop_factory=_loop_factory())
            with runner:
                return runner.run(_run(loaded, secrets, credentials, programs, run_id, masker))
    except InUseError:
        raise
    except UserError as error:
        _leave_refusal(config, run_id, str(error))
        tell_failure(config, str(error))
        raise
    except (GmobotError, OSError, ExceptionGroup) as error:
        if debug:
            raise
        log.error("the daemon failed", error=_first(error))
        tell_failure(config, _first(error), crashed=True)
        return 1


def addresses(config: Config) -> tuple[str, str]:
    """Return where the exchange is: for requests, and for sockets."""
    default_rest, default_ws = _PRODUCTION if config.environment is Environment.PRODUCTION else _EMULATOR
    return config.venue.rest_url or default_rest, config.venue.ws_url or default_ws


def load_programs(config: Config) -> dict[str, Program]:
    """Load and compile every instrument's strategy."""
    return {instrument.symbol: load_strategy(instrument.strategy, instrument.params) for instrument in config.instruments}


@contextmanager
def instance_lock(directory: Path) -> Iterator[None]:
    """Hold the state directory for this process alone.

    Raises:
        InUseError: Another daemon holds it.
    """
    path = directory / "lock"
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InUseError(f"{path}: another gmobot runs on this state directory; stop it, or set paths.var") from None
        yield


async def _run(
    loaded: LoadedConfig,
    secrets: dict[SecretName, FoundSecret],
    credentials: Credentials | None,
    programs: dict[str, Program],
    run_id: str,
    masker: Masker,
) -> int:
    config, clock = loaded.config, SystemClock()
    telemetry = Telemetry(version=__version__, config_hash=config.hash())
    crashed = artifacts.previous_run_crashed(config.paths.artifacts)
    writer, decider = ThreadWorker("gmobot-store"), ThreadWorker("gmobot-decide")
    audit = Narrator(AuditLog(config.paths.logs, max_bytes=config.audit.max_bytes, retention=config.audit.retention))
    store = Store(config.paths.database, audit=audit, run_id=run_id, clock=clock, worker=writer)
    with ExitStack() as stack:
        stack.callback(writer.close)
        stack.callback(hangup.ignore)
        links, transports = await _links(config, credentials, telemetry)
        rotation = _rotation(config, secrets, links if credentials is not None else None, masker)
        notifier = notifier_of(config, secrets, store, clock, telemetry, run_id)
        if SecretName.DISCORD_WEBHOOK_URL in secrets:
            rotation.on_change(SecretName.DISCORD_WEBHOOK_URL, notifier.use_webhook)
        daemon = Daemon(
            config,
            links,
            programs,
            store=store,
            telemetry=telemetry,
            clock=clock,
            decision_worker=decider,
            run_id=run_id,
            preflight=[found.warning for found in secrets.values() if found.warning],
            rotation=rotation,
            previous_crashed=crashed,
            notifier=notifier,
        )
        heartbeat = heartbeat_of(config, secrets, daemon.checks, telemetry)
        loop = asyncio.get_running_loop()
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, daemon.stop)
        hangup.hand_over(loop, rotation.due.set)
        token = secrets.get(SecretName.CONTROL_TOKEN)
        web = await _serve_web(daemon, config, telemetry, token.value if token else None, rotation)
        beating = asyncio.create_task(heartbeat.run()) if heartbeat is not None else None
        try:
            await daemon.run()
        finally:
            if beating is not None:
                beating.cancel()
            for runner in web:
                await runner.cleanup()
            for transport in transports:
                await transport.close()
    return 0


def _rotation(config: Config, secrets: dict[SecretName, FoundSecret], signed: Links | None, masker: Masker) -> Rotation:
    """Return what takes secrets that change; only the links that the operator's own key signs for are told of a new one."""
    return Rotation(
        secrets,
        find_secret,
        client=signed.trade_rest if signed is not None else None,
        private_stream=signed.private_stream if signed is not None else None,
        instruments=config.instruments,
        learn=masker.learn,
    )


async def _links(config: Config, credentials: Credentials | None, telemetry: Telemetry) -> tuple[Links, list[Transport]]:
    clock, seed = SystemClock(), random.Random()
    real = HttpTransport(*addresses(config))
    timeouts = Timeouts(config.venue.connect_timeout_seconds, config.venue.reply_timeout_seconds)

    def observe(record: RequestRecord) -> None:
        telemetry.request(record.endpoint, record.outcome, record.category.value if record.category else None)

    backoff = Backoff(config.feed.reconnect_min_seconds, config.feed.reconnect_max_seconds)
    rest = GmoRest(real, clock, credentials=credentials, timeouts=timeouts, observe=observe, repeat=Repetition())
    pacer = CommandPacer(clock, server_time=rest.server_time_ns)
    symbols = [instrument.symbol for instrument in config.instruments]
    stream = PublicStream(real, clock, pacer, symbols=symbols, seed=seed, backoff=backoff, silence_seconds=config.feed.silence_seconds)
    if config.mode is Mode.PAPER:
        from gmobot.cli.paper import paper_links

        return await paper_links(config, rest, stream, clock, backoff), [real]
    if credentials is None:
        return Links(rest, stream, None, None), [real]
    private = PrivateStream(real, rest, clock, pacer, seed=seed, backoff=backoff, channels=private_channels(config))
    return Links(rest, stream, rest, private), [real]


async def _serve_web(daemon: Daemon, config: Config, telemetry: Telemetry, token: Secret | None, rotation: Rotation) -> list[AppRunner]:
    from gmobot.cli.operator import DaemonControls, DaemonView
    from gmobot.web.app import WebApp, serve_tcp, serve_unix

    view, controls = DaemonView(daemon), DaemonControls(daemon)

    def app(hosts: tuple[str, ...] | None) -> WebApp:
        return WebApp(
            view,
            controls,
            telemetry,
            SystemClock(),
            artifacts=config.paths.artifacts,
            token=token,
            allowed_hosts=hosts,
            logs=config.paths.logs,
        )

    asks_for_token = app(config.health.allowed_hosts)
    rotation.on_change(SecretName.CONTROL_TOKEN, asks_for_token.expect)
    try:
        tcp = await serve_tcp(asks_for_token.build(), config.health.host, config.health.port)
    except OSError as error:
        raise ConfigError(f"health.port {config.health.port}: {error.strerror}; set HEALTH_PORT to a free one") from None
    return [tcp, await serve_unix(app(None).build(), config.paths.state / SOCKET)]


def _credentials(config: Config, secrets: dict[SecretName, FoundSecret]) -> Credentials | None:
    """Return the keys a mode needs.

    Raises:
        MissingSecretError: Orders are to be sent and a key is missing.
    """
    if config.mode is Mode.PAPER:
        return None
    key, secret = secrets.get(SecretName.API_KEY), secrets.get(SecretName.API_SECRET)
    if key is not None and secret is not None:
        return Credentials(key.value, secret.value)
    if not config.execute_orders:
        return None
    missing = SecretName.API_KEY if key is None else SecretName.API_SECRET
    raise MissingSecretError(f"missing_credentials: {missing.value} is needed to send orders; looked in {searched_places(missing)}")


def _make_directories(config: Config) -> None:
    try:
        for directory in (config.paths.artifacts, config.paths.logs, config.paths.state):
            directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"paths.var: {error.filename} cannot be made ({error.strerror}); check who owns it") from None


def _leave_refusal(config: Config, run_id: str, why: str, *, config_hash: str | None = None) -> None:
    """Leave in ``run_progress.json`` why the start was refused."""
    now = _now()
    refusal = RunProgress(
        run_id=run_id,
        version=__version__,
        config_hash=config_hash or config.hash(),
        mode=config.mode.value,
        environment=config.environment.value,
        execute_orders=config.execute_orders,
        armed=False,
        status="failed",
        monitor_status="degraded",
        monitor_status_since=now,
        started_at=now,
        updated_at=now,
        preflight=[why],
        last_error=why,
    )
    artifacts.write(config.paths.artifacts, refusal)


def _leave_unread(why: str) -> None:
    """Leave the same where the configuration itself cannot be read: in ``var``, if there is one and no daemon runs on it."""
    config = Config()
    with suppress(ConfigError):
        config = load(None).config
    if not config.paths.var.is_dir():
        return
    with suppress(UserError, OSError):
        _make_directories(config)
        with instance_lock(config.paths.state):
            _leave_refusal(config, _new_run_id(), why, config_hash="unknown")


def _new_run_id() -> str:
    return f"{SystemClock().now_ns() // 10**9}-{uuid.uuid4().hex[:8]}"


def _now() -> str:
    from gmobot.clock import iso_utc

    return iso_utc(SystemClock().now_ns())


def _first(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


def _wants_console() -> bool:
    return os.environ.get("GMOBOT_LOG", "console" if sys.stdout.isatty() else "json") == "console"


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
