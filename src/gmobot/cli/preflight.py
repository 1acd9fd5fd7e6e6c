"""What ``gmobot doctor`` looks at, one check after the other. Nothing here can place, change or cancel an order.

A check returns what it found or raises; who runs it turns the exception into a category and into advice.
Each is on its own: one that fails keeps no other from being made.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

import msgspec

from gmobot.clock import NS_PER_SECOND, Clock
from gmobot.config import Config
from gmobot.errors import Category, FatalError, Refused, VenueError
from gmobot.venue.gmo.auth import Credentials
from gmobot.venue.gmo.errors import meaning
from gmobot.venue.gmo.limits import RateLimiter, tier_limit
from gmobot.venue.gmo.permissions import Permission, PermissionProbe
from gmobot.venue.gmo.rest import GmoRest, Repetition
from gmobot.venue.gmo.streams import ORDER_CHANNELS, POSITION_CHANNELS, CommandPacer, PrivateStream, PublicStream, Stream
from gmobot.venue.models import ExchangeStatus, StreamEvent, StreamNotice
from gmobot.venue.transport import Timeouts, Transport

_STREAM_SECONDS: Final = 30.0
ADVICE: Final = {
    "auth": "check the API key, its secret, its IP list and its permissions on GMO Coin's API page",
    "network": "check DNS, firewall and https_proxy of this machine",
    "rate_limit": "another program uses the same account or address: stop it, or try again in a minute",
    "exchange": "wait for the exchange, then run this again",
    "config": "mend the configuration",
}
_SHOWN_AS: Final = {
    Category.AUTH: "auth",
    Category.NETWORK: "network",
    Category.RATE_LIMIT: "rate_limit",
    Category.NOT_FOUND: "config",
}


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one check found.

    Attributes:
        state: ``ok``, ``failed`` or ``skipped``.
        category: Of a failed one: ``auth``, ``network``, ``rate_limit``, ``exchange`` or ``config``.
        advice: Of a failed one: what to do.
    """

    check: str
    state: str
    detail: str
    category: str | None = None
    advice: str | None = None


class Failed(Exception):
    """A check found something wrong."""

    def __init__(self, category: str, detail: str, advice: str | None = None) -> None:
        super().__init__(detail)
        self.category = category
        self.advice = advice


class Preflight:
    """The checks that talk to the exchange."""

    def __init__(self, config: Config, transport: Transport, clock: Clock, credentials: Credentials | None) -> None:
        self._config = config
        self._transport = transport
        self._clock = clock
        self._symbols = [instrument.symbol for instrument in config.instruments]
        self._has_key = credentials is not None
        timeouts = Timeouts(config.venue.connect_timeout_seconds, config.venue.reply_timeout_seconds)
        limiter = RateLimiter(clock)
        self._rest = GmoRest(transport, clock, credentials=credentials, limiter=limiter, timeouts=timeouts, repeat=Repetition())
        self._probe = PermissionProbe(transport, clock, credentials=credentials, limiter=limiter, timeouts=timeouts)

    async def run(self) -> list[Finding]:
        """Make every check, in the order an operator would."""
        public: dict[str, Callable[[], Awaitable[str]]] = {"clock": self._clock_skew, "exchange_status": self._status}
        private: dict[str, Callable[[], Awaitable[str]]] = {
            "authentication": self._authentication,
            "permission_open": lambda: self._permission(Permission.OPEN),
            "permission_close": lambda: self._permission(Permission.CLOSE),
        }
        rest: dict[str, Callable[[], Awaitable[str]]] = {"balances": self._balances, "positions": self._positions}
        findings = [await examine(name, check) for name, check in public.items()]
        findings += [await self._with_key(name, check) for name, check in private.items()]
        findings.append(await examine("ticker", self._ticker))
        findings += [await self._with_key(name, check) for name, check in rest.items()]
        findings.append(await examine("public_stream", self._public_stream))
        findings.append(await self._with_key("private_stream", self._private_stream))
        return findings

    async def _with_key(self, name: str, check: Callable[[], Awaitable[str]]) -> Finding:
        return await examine(name, check) if self._has_key else Finding(name, "skipped", "needs an API key")

    async def _clock_skew(self) -> str:
        await self._rest.status()
        if self._has_key:
            # Signed replies come from no cache, and even a refusal tells the time.
            with suppress(VenueError):
                await self._rest.assets()
        if not self._rest.server_stamped_ns:
            raise Failed("exchange", "no reply told the exchange's time")
        skew, most = -self._rest.server_offset_ns / NS_PER_SECOND, self._config.risk.max_clock_skew_seconds
        if abs(skew) > most:
            advice = "set this machine's clock (timedatectl set-ntp true)"
            raise Failed("config", f"our clock is {skew:+.1f} s off the exchange's, more than {most:g} s", advice)
        return f"at most {most:g} s off the exchange's (estimate {skew:+.3f} s)"

    async def _status(self) -> str:
        status = await self._rest.status()
        if status is not ExchangeStatus.OPEN:
            raise Failed("exchange", f"the exchange says {status.value}", "wait until it is OPEN")
        return status.value

    async def _authentication(self) -> str:
        volume = await self._rest.trading_volume()
        return f"the key is accepted; tier {volume.tier}, {tier_limit(volume.tier):g} requests a second"

    async def _permission(self, permission: Permission) -> str:
        if not await self._probe.allows(permission):
            advice = "allow it for this key on GMO Coin's API page, or make a key that may"
            raise Failed("auth", f"the key may not {permission.name.lower()} ({permission.value}: ERR-5012)", advice)
        return f"the key may {permission.name.lower()} (an impossible request was refused for its parameters)"

    async def _ticker(self) -> str:
        found = [await self._rest.ticker(symbol) for symbol in self._symbols]
        return ", ".join(f"{row.symbol} {row.last}" for row in found)

    async def _balances(self) -> str:
        held = [f"{balance.asset} {balance.amount}" for balance in await self._rest.assets() if balance.amount]
        return ", ".join(held) or "nothing is held"

    async def _positions(self) -> str:
        held = [f"{row.side.value} {row.size} {row.symbol}" for row in await self._rest.position_summary() if row.size]
        return ", ".join(held) or "no leverage positions"

    async def _public_stream(self) -> str:
        pacer, silence = CommandPacer(self._clock), self._config.feed.silence_seconds
        stream = PublicStream(
            self._transport, self._clock, pacer, symbols=self._symbols, seed=random.Random(), silence_seconds=max(silence, _STREAM_SECONDS)
        )
        return await self._up(stream, f"books of {', '.join(self._symbols)} arrive")

    async def _private_stream(self) -> str:
        leverage = any(instrument.product == "leverage" for instrument in self._config.instruments)
        channels = (*ORDER_CHANNELS, *POSITION_CHANNELS) if leverage else ORDER_CHANNELS
        stream = PrivateStream(self._transport, self._rest, self._clock, CommandPacer(self._clock), seed=random.Random(), channels=channels)
        try:
            return await self._up(stream, f"{', '.join(channels)} subscribed and not refused")
        finally:
            await stream.close()

    async def _up(self, stream: Stream, found: str) -> str:
        """Wait until a stream is up; its first trouble is the answer too."""
        first: asyncio.Future[StreamNotice] = asyncio.get_running_loop().create_future()

        def sink(event: StreamEvent) -> None:
            if isinstance(event, StreamNotice) and event.state != "malformed" and not first.done():
                first.set_result(event)

        running = asyncio.create_task(stream.run(sink))
        try:
            async with asyncio.timeout(_STREAM_SECONDS + len(self._symbols) * 3):
                notice = await first
        except TimeoutError:
            raise Failed("network", f"connected, but nothing came within {_STREAM_SECONDS:g} s") from None
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        if notice.state == "up":
            return found
        raise Failed(_category_of_notice(notice), f"{notice.state}: {notice.detail}")


async def examine(name: str, check: Callable[[], Awaitable[str]]) -> Finding:
    """Make one check."""
    try:
        return Finding(name, "ok", await check())
    except Failed as error:
        return Finding(name, "failed", str(error), error.category, error.advice or ADVICE[error.category])
    except FatalError as error:
        return Finding(name, "failed", str(error), "exchange", "look at the account's orders at once")
    except VenueError as error:
        category = _SHOWN_AS.get(error.category, "exchange")
        return Finding(name, "failed", str(error), category, _advice(error, category))


def has_failed(findings: Sequence[Finding]) -> bool:
    """Return whether anything is wrong."""
    return any(finding.state == "failed" for finding in findings)


def _advice(error: VenueError, category: str) -> str:
    if error.category is Category.MAINTENANCE:
        return "the exchange is in maintenance: wait until it is OPEN"
    if isinstance(error, Refused) and category == "config":
        return "check the symbol under instruments"
    return ADVICE[category]


def _category_of_notice(notice: StreamNotice) -> str:
    word = notice.detail.partition(":")[0]
    if notice.detail == "maintenance":
        return "exchange"
    if notice.state == "refused":
        category = meaning(notice.detail.partition(" ")[0]).category
        return "config" if category is Category.VALIDATION else _SHOWN_AS.get(category, "exchange")
    return _SHOWN_AS.get(Category(word), "exchange") if word in {category.value for category in Category} else "network"
