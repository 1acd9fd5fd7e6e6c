"""Secrets that change while the daemon runs: looked up again on SIGHUP, tried, and only then taken.

A new pair of API key and secret replaces the one in use after it has read the same account with success.
Until then, and for good when it fails, the pair in use signs, and nothing is interrupted. Where the old key is gone
already, the new one must show orders of ours. What changes over
is one assignment between two requests: those under way end as they began, the private stream connects again
with a token of the new key, and the comparison that follows every connection finds what it missed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

import structlog

from gmobot.config import InstrumentConfig
from gmobot.errors import Category, ConfigError, Refused, VenueError
from gmobot.live.records import Event
from gmobot.secrets import FoundSecret, Secret, SecretName, searched_places
from gmobot.venue.gmo.auth import Credentials
from gmobot.venue.gmo.rest import GmoRest
from gmobot.venue.gmo.streams import PrivateStream

PAIR: Final = (SecretName.API_KEY, SecretName.API_SECRET)
_REASONS: Final = {
    Category.AUTH: "auth_error",
    Category.NETWORK: "network_error",
    Category.RATE_LIMIT: "rate_limited",
    Category.MAINTENANCE: "exchange_maintenance",
}
_LOOKS: Final = 3
_LOOK_AGAIN_SECONDS: Final = 1.0
log = structlog.get_logger("gmobot.secrets")

Look = Callable[[SecretName], FoundSecret | None]
Recognise = Callable[[GmoRest], Awaitable[None]]
"""Raises ``ConfigError`` when a client's account shows no order of ours."""


@dataclass(slots=True)
class Told:
    """What came of one look at all secrets.

    Attributes:
        events: For the audit log; they carry names only.
        warnings: What is unsafe about where the secrets lie.
        problem: What an operator has to mend, ``None`` for nothing.
    """

    events: list[Event] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    problem: str | None = None

    def loaded(self, name: SecretName) -> None:
        """A secret was taken."""
        self.events.append(loaded(name))
        log.info("a new secret is in use", secret=name.value)

    def failed(self, reason: str, detail: str) -> None:
        """A secret was not taken; the one in use stays."""
        self.problem = detail
        self.events.append(Event("error", {"reason": reason, "detail": detail}))
        log.error("a secret was not taken", reason=reason, detail=detail)


def loaded(name: SecretName) -> Event:
    """Return the audit event of a secret that is in use from now on."""
    return Event("secret_loaded", {"name": name.value})


class Rotation:
    """The secrets in use, and how each is replaced.

    Attributes:
        due: Set when all of them should be looked up again.
    """

    def __init__(
        self,
        in_use: Mapping[SecretName, FoundSecret],
        look: Look,
        *,
        client: GmoRest | None,
        private_stream: PrivateStream | None,
        instruments: Sequence[InstrumentConfig],
        learn: Callable[[Iterable[Secret]], None],
    ) -> None:
        """Make one; nothing is read.

        Args:
            in_use: What the run began with.
            look: Looks a secret up, may raise ``OSError``; called on a thread.
            client: Signs with the pair in use; ``None`` where no key of the operator's signs anything.
            private_stream: Lives on a token of that pair.
            instruments: What is traded: a key must be able to read it.
            learn: Told of every secret before anything is done with it, so that no log shows it.
        """
        self._in_use = dict(in_use)
        self._look = look
        self._client = client
        self._private_stream = private_stream
        self._instruments = instruments
        self._learn = learn
        self._users: dict[SecretName, Callable[[Secret], None]] = {}
        self.due = asyncio.Event()

    @property
    def names(self) -> list[SecretName]:
        """Names of the secrets in use."""
        return list(self._in_use)

    def on_change(self, name: SecretName, use: Callable[[Secret], None]) -> None:
        """Hand a new secret of a name to who uses it; it must not raise. The API key and its secret are not for this."""
        self._users[name] = use

    async def run(self, tell: Callable[[Told], Awaitable[None]], recognise: Recognise) -> None:
        """Look whenever it is due, until cancelled."""
        while True:
            await self.due.wait()
            self.due.clear()
            await tell(await self.look_again(recognise))

    async def look_again(self, recognise: Recognise) -> Told:
        """Look every secret up and take what has changed and works."""
        told = Told()
        found = await asyncio.to_thread(self._read, told)
        self._learn([secret.value for secret in found.values()])
        told.warnings = [secret.warning for secret in found.values() if secret.warning]
        for warning in told.warnings:
            log.warning("a secret is not kept safely", detail=warning)
        for name, use in self._users.items():
            secret = found.get(name)
            if secret is not None and self._is_new(secret):
                use(secret.value)
                self._take(secret, told)
        await self._rotate_key(found, told, recognise)
        if not told.events:
            log.info("no secret has changed")
        return told

    def _read(self, told: Told) -> dict[SecretName, FoundSecret]:
        found: dict[SecretName, FoundSecret] = {}
        for name in SecretName:
            try:
                secret = self._look(name)
            except OSError as error:
                told.failed(
                    "missing_credentials", f"{name.value}: {error.filename} cannot be read ({error.strerror}); the one in use stays"
                )
                continue
            if secret is not None:
                found[name] = secret
            elif name in self._in_use:
                places = searched_places(name)
                told.failed("missing_credentials", f"{name.value} is not there any more, the one in use stays; looked in {places}")
        return found

    async def _rotate_key(self, found: Mapping[SecretName, FoundSecret], told: Told, recognise: Recognise) -> None:
        client, pair = self._client, [found[name] for name in PAIR if name in found]
        if client is None:
            log.info("this run signs with no API key: there is none to rotate; a mode or key of another kind takes a restart")
            return
        fresh = [secret.name.value for secret in pair if self._is_new(secret)]
        if len(pair) < len(PAIR) or not fresh:
            return
        key, secret = pair
        try:
            credentials = Credentials(key.value, secret.value)
            await self._try(client, credentials, recognise)
        except (VenueError, ConfigError) as error:
            half = f"; only {fresh[0]} has changed: write both, then send SIGHUP again" if len(fresh) < len(PAIR) else ""
            reason = _REASONS.get(error.category, "exchange_error") if isinstance(error, VenueError) else "auth_error"
            told.failed(reason, f"the new API key was not taken, the one in use stays: {error}{half}")
            return
        client.sign_with(credentials)
        if self._private_stream is not None:
            self._private_stream.renew()
        for part in pair:
            self._take(part, told)

    async def _try(self, client: GmoRest, credentials: Credentials, recognise: Recognise) -> None:
        """Read with a new pair what the daemon reads with the one in use.

        Raises:
            VenueError: It does not work, or nobody can tell.
            ConfigError: It is another account's.
        """
        trial = client.trying(credentials)
        symbol = self._instruments[0].symbol
        await trial.active_orders(symbol)
        await trial.latest_executions(symbol, known=lambda _: True)
        leverage = next((wanted.symbol for wanted in self._instruments if wanted.product == "leverage"), None)
        if leverage is not None:
            await trial.open_positions(leverage)
        for _ in range(_LOOKS):
            theirs = await _amounts(trial)
            try:
                ours = await _amounts(client)
            except Refused as error:
                if error.category is Category.AUTH and not error.retryable:
                    # The old key is gone already: nothing signs any more, and there are no balances left to compare with.
                    await recognise(trial)
                    return
                raise
            if theirs == ours:
                return
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)  # a fill between the two answers
        raise ConfigError("its balances are not those of the account in use; give a key of the same account, or stop the bot first")

    def _is_new(self, secret: FoundSecret) -> bool:
        known = self._in_use.get(secret.name)
        return known is None or known.value != secret.value

    def _take(self, secret: FoundSecret, told: Told) -> None:
        self._in_use[secret.name] = secret
        told.loaded(secret.name)


async def _amounts(client: GmoRest) -> dict[str, Decimal]:
    return {balance.asset: balance.amount for balance in await client.assets()}
