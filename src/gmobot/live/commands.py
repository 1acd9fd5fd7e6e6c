"""What an operator may command of a running daemon. Every command is latched, and on record with its source."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from gmobot.live.account import Account
from gmobot.live.gate import OrderGate
from gmobot.live.guards import Guards
from gmobot.live.intents import Latch
from gmobot.live.store import Store

_UNABLE = (
    "{reason}: this daemon sends no orders, so it closes nothing and takes no stop away; "
    "arm it with resume --acknowledge and flatten then, or stop it and use flatten --direct"
)


class Commands:
    """Carries out an operator's commands."""

    def __init__(
        self,
        guards: Guards,
        gate: OrderGate,
        *,
        account: Account,
        store: Store,
        config_hash: str,
        acknowledge: Callable[[], Awaitable[None]],
        watch_reason: Callable[[], str | None],
        wake: Callable[[], None],
    ) -> None:
        """Make the commands of one run.

        Args:
            guards: Keeps the latches.
            gate: Its circuit closes again on an acknowledged resume.
            account: Its drawdown is measured anew after an acknowledged resume.
            store: Where that is kept.
            config_hash: What an acknowledgement arms.
            acknowledge: Takes over what nothing explains of the exchange's balances.
            watch_reason: Returns why no order leaves, or ``None``.
            wake: Makes every order manager look again.
        """
        self._guards = guards
        self._gate = gate
        self._account = account
        self._store = store
        self._config_hash = config_hash
        self._acknowledge = acknowledge
        self._watch_reason = watch_reason
        self._wake = wake

    async def pause(self, source: str) -> None:
        """Open nothing until resumed; exits go on."""
        await self._guards.set(Latch.PAUSE, "operator_pause", source=source)

    async def halt(self, source: str) -> None:
        """Cancel entries, keep protective stops, open nothing until an acknowledged resume."""
        await self._guards.set(Latch.HALT, "operator_halt", source=source)
        self._wake()

    async def flatten(self, source: str) -> str | None:
        """Halt, then close what our ledger owns. Returns why nothing will be closed, or ``None``."""
        if (reason := self._watch_reason()) is not None:
            return _UNABLE.format(reason=reason)
        await self.halt(source)
        await self._guards.set(Latch.CLOSE, "operator_halt", source=source)
        self._wake()
        return None

    async def resume(self, source: str, *, acknowledge: bool) -> str | None:
        """Take back what stands in the way. Returns why not, or ``None`` when it was done."""
        if self._guards.halted and not acknowledge:
            return f"halted ({self._guards.halt_reason}): look into it, then resume with --acknowledge"
        if acknowledge:
            await self._acknowledge()
        if self._guards.halted:
            self._account.accept_loss()
            await self._store.save_account(self._account.state.to_dict())
        released = [Latch.PAUSE, Latch.HALT, Latch.CLOSE] if acknowledge else [Latch.PAUSE]
        await self._guards.release(released, source=source)
        if acknowledge:
            await self._guards.set(Latch.ARMED, self._config_hash, source=source)
            self._gate.reset()
        self._wake()
        return None
