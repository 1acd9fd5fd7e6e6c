"""Configuration: one YAML file, overridden by ``GMOBOT__SECTION__KEY``, checked whole before anything starts.

The models below *are* the reference of every key; ``gmobot config schema`` prints them. Nothing here
knows the rooms: the command line turns sections into their settings. Unknown keys are errors, numbers
that are money are decimals and never binary floats, and a frozen config cannot change under a run.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, model_validator

from gmobot.errors import ConfigError

PREFIX = "GMOBOT__"


def _exact(value: object) -> object:
    # YAML reads 0.001 as a binary float; its shortest repr is what the operator wrote.
    return repr(value) if isinstance(value, float) else value


Amount = Annotated[Decimal, BeforeValidator(_exact), Field(allow_inf_nan=False)]
"""A decimal that survives YAML's floats."""


class Mode(StrEnum):
    """Where decisions lead (``CONTRACTS`` table of modes)."""

    PAPER = "paper"
    LIVE = "live"


class Environment(StrEnum):
    """Whose market data and account."""

    PRODUCTION = "production"
    EMULATOR = "emulator"


class Section(BaseModel):
    """Base of all sections: frozen, and strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


class Venue(Section):
    """How to reach the exchange. Empty URLs mean the environment's own."""

    rest_url: str = ""
    ws_url: str = ""
    connect_timeout_seconds: float = Field(3.0, gt=0, le=60)
    reply_timeout_seconds: float = Field(5.0, gt=0, le=60)
    visibility_delay_seconds: float = Field(3.0, ge=0, le=120, description="Longest time an accepted order may stay invisible to queries")
    fill_visibility_seconds: float = Field(
        1.0, ge=0, le=120, description="Longest time a fill of a visible order may stay invisible to queries"
    )
    fee_rounding: Literal["half_up", "floor", "ceil", "none"] = "half_up"


class Sizing(Section):
    """How large an entry is."""

    method: Literal["fixed", "risk_fraction"] = "fixed"
    size: Amount = Field(Decimal("0.001"), gt=0, description="Coins per entry, for method fixed")
    risk_fraction: Amount = Field(Decimal("0.01"), gt=0, le=1, description="Share of equity lost at the stop, for method risk_fraction")


class Entry(Section):
    """How an entry reaches the book. Exits are MARKET behind the collar, else a LIMIT at its edge."""

    method: Literal["market", "marketable_limit", "passive_limit"] = "market"
    offset_ticks: int = Field(0, ge=0, le=1_000_000, description="marketable_limit: beyond the other side; passive_limit: behind our own")
    post_only: bool = Field(default=False, description="passive_limit: expire instead of taking liquidity")
    rest_seconds: float = Field(0.0, ge=0, le=86_400, description="How long a LIMIT entry may rest; 0 is one bar")
    losscut_margin: Amount = Field(
        Decimal("0.005"), ge=0, lt=1, description="Leverage LIMIT entries carry a losscut price this share beyond the stop; 0 is off"
    )
    distinguish: bool = Field(
        default=False, description="Take up to nine steps off an entry's size, so that a lost reply is not confused with a manual order"
    )


class Filters(Section):
    """What keeps a decision from opening a position."""

    min_confidence: float = Field(0.0, ge=0, le=1)
    cooldown_bars: int = Field(0, ge=0, le=100_000)
    max_positions: int = Field(1, ge=1, le=100)
    volatility_spike_ratio: float = Field(0.0, ge=0, description="Short over long true range above which no position opens; 0 is off")
    thin_volume_ratio: float = Field(0.0, ge=0, le=1, description="Volume over its average below which no position opens; 0 is off")


class InstrumentConfig(Section):
    """One traded symbol and the strategy that trades it."""

    symbol: str = Field("BTC", pattern=r"^[A-Z0-9]{2,10}(_JPY)?$")
    product: Literal["spot", "leverage"] = "spot"
    strategy: str = "gmobot.strategies.ema_momentum:EmaMomentum"
    params: dict[str, int | float | bool] = Field(default_factory=dict)
    bar_seconds: int = Field(60, ge=1, le=86_400)
    sizing: Sizing = Sizing()
    entry: Entry = Entry()
    filters: Filters = Filters()
    slippage_ticks: int = Field(0, ge=0, le=1_000_000, description="Backtest only: adverse ticks of every market fill")

    @model_validator(mode="after")
    def _product_fits_symbol(self) -> Self:
        if (self.product == "leverage") != self.symbol.endswith("_JPY"):
            raise ValueError(f"symbol {self.symbol} is {'leverage' if self.symbol.endswith('_JPY') else 'spot'}, not {self.product}")
        return self


class Risk(Section):
    """Guards. A limit of 0 is off."""

    max_drawdown: Amount = Field(Decimal("0.2"), ge=0, lt=1, description="Share of peak equity; abort beyond")
    daily_loss_limit: Amount = Field(Decimal(100_000), ge=0, description="Yen since 06:00 JST; exits only beyond")
    max_position_size: Amount = Field(Decimal("0.1"), ge=0, description="Coins; exits only beyond")
    max_trade_loss: Amount = Field(Decimal(100_000), ge=0, description="Yen of one trade; abort beyond")
    max_leverage: Amount = Field(Decimal(1), ge=0, description="Gross position worth over equity; exits only beyond")
    max_wallet_drift: Amount = Field(Decimal(100), ge=0, description="Yen between our ledger and the exchange; exits only beyond")
    price_collar: Amount = Field(Decimal("0.02"), gt=0, lt=1, description="Largest share an order's price may lie from the last trade")
    max_orders_per_minute: int = Field(30, ge=1, le=600)
    max_consecutive_rejects: int = Field(5, ge=1, le=100)
    min_free_disk_bytes: int = Field(200_000_000, ge=0)
    max_clock_skew_seconds: float = Field(2.0, gt=0)
    close_on_abort: bool = Field(default=True, description="Close what we own when a guard aborts; otherwise keep it under its stop")


class Capital(Section):
    """What part of the account the bot may call its own."""

    paper_jpy: Amount = Field(Decimal(10_000_000), gt=0, description="Yen a paper account starts with")


class Runtime(Section):
    """The run loop."""

    interval_seconds: float = Field(1.0, gt=0, le=60)
    turn_deadline_seconds: float = Field(5.0, gt=0, le=300)
    decision_deadline_seconds: float = Field(2.0, gt=0, le=60)
    reconcile_seconds: float = Field(60.0, gt=0, le=3600)
    bar_grace_ms: int = Field(300, ge=0, le=10_000, description="How long after its end a bar waits for late prints")
    stop_grace_seconds: float = Field(5.0, gt=0, le=60)
    protect_grace_seconds: float = Field(5.0, gt=0, le=600)
    warmup_bars: int = Field(0, ge=0, le=100_000, description="Bars fetched before trading; 0 asks the strategy")


class Feed(Section):
    """Streams."""

    silence_seconds: float = Field(15.0, gt=0, le=600)
    reconnect_min_seconds: float = Field(0.5, gt=0)
    reconnect_max_seconds: float = Field(30.0, gt=0)
    degraded_after_seconds: float = Field(120.0, gt=0, description="Reconnecting longer than this is degraded")


class Maintenance(Section):
    """The exchange's own downtime."""

    max_minutes: float = Field(240.0, gt=0)


class Health(Section):
    """The local HTTP server."""

    host: str = "127.0.0.1"
    port: int = Field(9754, ge=0, le=65535)
    degraded_grace_seconds: float = Field(300.0, ge=0)
    allowed_hosts: tuple[str, ...] = ("127.0.0.1", "localhost", "[::1]", "bot")


class Audit(Section):
    """The audit log."""

    max_bytes: int = Field(10_485_760, ge=1_024)
    retention: int = Field(7, ge=1, le=1_000)


class Notify(Section):
    """What is told to people, and when. Where it goes are secrets: ``DISCORD_WEBHOOK_URL``, ``GMOBOT_NOTIFY_URLS``."""

    language: Literal["ja", "en"] = "ja"
    min_severity: Literal["info", "warning", "critical"] = Field("info", description="What is less severe is not told")
    quiet_hours: str = Field(
        "",
        pattern=r"^(([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d)?$",
        description="23:00-07:00 in JST: only what is critical is told, the rest afterwards in one digest; empty is never",
    )
    fills: bool = Field(default=True, description="Tell every fill")
    daily_summary: bool = Field(default=True, description="Tell what a day brought when it turns, 06:00 JST")


class Heartbeat(Section):
    """A sign of life to a watcher outside, which alarms when it stays away."""

    url: SecretStr = Field(
        SecretStr(""),
        description="Asked with GET while every health check passes; better as the secret GMOBOT_HEARTBEAT_URL: it carries a token",
    )
    interval_seconds: float = Field(60.0, ge=1, le=86_400)
    fail_url_suffix: str = Field(
        "", description="Asked instead, behind the same URL, while a check fails, as /fail; empty sends nothing then"
    )


class State(Section):
    """The state database."""

    journal_days: float = Field(30.0, gt=0, le=3_650, description="How long the core's inputs are kept; fills are kept for good")


DATABASE = "gmobot.db"


class Paths(Section):
    """Where a run leaves its traces, below one root."""

    var: Path = Path("var")

    @property
    def artifacts(self) -> Path:
        """Progress and summary of the run."""
        return self.var / "artifacts"

    @property
    def logs(self) -> Path:
        """Audit log and program log."""
        return self.var / "logs"

    @property
    def state(self) -> Path:
        """Database, lock, control socket."""
        return self.var / "state"

    @property
    def database(self) -> Path:
        """Everything the bot must not forget."""
        return self.state / DATABASE


class Backtest(Section):
    """What ``gmobot backtest`` reads."""

    data: Path | None = Field(None, description="Parquet, CSV or GMO archive; none means the seeded synthetic market")
    price_scale: Amount = Field(Decimal(1), gt=0, description="Multiplies prices, for data that is not in yen")
    synthetic_bars: int = Field(43_200, ge=10, le=10_000_000)
    seed: int = Field(1, ge=0)
    initial_jpy: Amount = Field(Decimal(10_000_000), gt=0)


_SHAPES_NO_TRADING = {"paths", "health", "audit", "state", "notify", "heartbeat"}


class Config(Section):
    """Everything a run depends on."""

    mode: Mode = Mode.PAPER
    execute_orders: bool = False
    environment: Environment = Environment.PRODUCTION
    instruments: tuple[InstrumentConfig, ...] = Field((InstrumentConfig(),), min_length=1, max_length=32)
    venue: Venue = Venue()
    risk: Risk = Risk()
    capital: Capital = Capital()
    runtime: Runtime = Runtime()
    feed: Feed = Feed()
    maintenance: Maintenance = Maintenance()
    health: Health = Health()
    audit: Audit = Audit()
    state: State = State()
    notify: Notify = Notify()
    heartbeat: Heartbeat = Heartbeat()
    paths: Paths = Paths()
    backtest: Backtest = Backtest()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        symbols = [instrument.symbol for instrument in self.instruments]
        if len(set(symbols)) != len(symbols):
            raise ValueError("instruments: a symbol is listed twice")
        if self.mode is Mode.PAPER and self.execute_orders:
            raise ValueError("execute_orders: paper never sends orders; set mode: live, or execute_orders: false")
        if self.feed.reconnect_min_seconds > self.feed.reconnect_max_seconds:
            raise ValueError("feed: reconnect_min_seconds is larger than reconnect_max_seconds")
        return self

    def hash(self) -> str:
        """Return a short fingerprint of everything that shapes trading, for artifacts and arming."""
        text = json.dumps(self.model_dump(mode="json", exclude=_SHAPES_NO_TRADING), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class LoadedConfig(Section):
    """A checked config and where each value came from.

    Attributes:
        origins: Dotted key to ``default``, the file, or the environment variable.
    """

    config: Config
    origins: dict[str, str]


def load(path: Path | None, *, environ: Mapping[str, str] | None = None) -> LoadedConfig:
    """Read a config file (``None``: defaults only), apply the environment, check everything.

    Raises:
        ConfigError: With file, key and what to do, one line.
    """
    env = os.environ if environ is None else environ
    data = _read_yaml(path) if path else {}
    origins = dict.fromkeys(_leaves(data), str(path))
    for name, value in _overrides(env):
        keys = _keys(name)
        _put(data, keys, value, name)
        origins[".".join(keys)] = name
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        raise ConfigError(_explain(error, origins, path)) from None
    every = {key: origins.get(key, "default") for key in _leaves(config.model_dump(mode="json"))}
    return LoadedConfig(config=config, origins=every)


_SHORT = {"HEALTH_PORT": "health.port", "AUDIT_LOG_MAX_BYTES": "audit.max_bytes", "AUDIT_LOG_RETENTION": "audit.retention"}


def _overrides(env: Mapping[str, str]) -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = [(name, env[name]) for name in _SHORT if env.get(name, "").strip()]
    for name in sorted(env):
        if name.startswith(PREFIX):
            try:
                found.append((name, yaml.safe_load(env[name])))
            except yaml.YAMLError:
                raise ConfigError(f"{name}: {env[name]!r} is not a YAML value; quote it") from None
    return found


def _keys(name: str) -> list[str]:
    if name in _SHORT:
        return _SHORT[name].split(".")
    return name.removeprefix(PREFIX).lower().split("__")


def _put(data: dict[str, Any], keys: list[str], value: object, name: str) -> None:
    place: Any = data
    for key in keys[:-1]:
        place = place[int(key)] if isinstance(place, list) and key.isdigit() and int(key) < len(place) else _child(place, key, name)
    if isinstance(place, list) and keys[-1].isdigit() and int(keys[-1]) < len(place):
        place[int(keys[-1])] = value
    elif isinstance(place, dict):
        place[keys[-1]] = value
    else:
        raise ConfigError(f"{name}: there is no such key; see `gmobot config schema`")


def _child(place: object, key: str, name: str) -> dict[str, Any] | list[Any]:
    if not isinstance(place, dict):
        raise ConfigError(f"{name}: there is no such key; see `gmobot config schema`")
    if key == "instruments" and key not in place:
        place[key] = [{}]
    if place.get(key) is None:
        place[key] = {}
    child = place[key]
    if not isinstance(child, dict | list):
        raise ConfigError(f"{name}: {key} is a single value, it has no keys below it")
    return child


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; pass --config FILE or set GMOBOT_CONFIG") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); check its permissions and that it is UTF-8 text") from None
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{path}{line}: not valid YAML ({error.problem}); check the indentation and quotes there") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected `key: value` lines at the top, found a {type(data).__name__}")
    return data


def _leaves(data: object, prefix: str = "") -> list[str]:
    if isinstance(data, dict) and (data or not prefix):
        return [leaf for key, value in data.items() for leaf in _leaves(value, f"{prefix}{key}.")]
    if isinstance(data, list) and any(isinstance(item, dict) for item in data):
        return [leaf for position, item in enumerate(data) for leaf in _leaves(item, f"{prefix}{position}.")]
    return [prefix.rstrip(".")]


def _explain(error: ValidationError, origins: Mapping[str, str], path: Path | None) -> str:
    lines = []
    for problem in error.errors(include_url=False):
        key = ".".join(str(part) for part in problem["loc"])
        source = origins.get(key, str(path) if path else "defaults")
        text = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            text = "unknown key; see `gmobot config schema` for the known ones"
        elif "input" in problem and not isinstance(problem["input"], dict | list | Section):
            text = f"{text}, not {problem['input']!r}"
        lines.append(f"{source}: {key + ': ' if key else ''}{text}")
    return "; ".join(lines)
