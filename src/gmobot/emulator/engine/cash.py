"""Money and coins that come and go other than by trading: deposits, withdrawals, transfers to the FX account.

Source: reference/gmo-coin-api.md §5.4, §5.6.
"""

from __future__ import annotations

from gmobot.clock import NS_PER_SECOND, Clock
from gmobot.emulator.assumptions import Assumptions
from gmobot.emulator.engine.checks import Refusal
from gmobot.emulator.engine.ledger import Ledger
from gmobot.emulator.engine.records import Account, Flow


class Cash:
    """The way in and out."""

    def __init__(self, clock: Clock, ledger: Ledger, assumptions: Assumptions) -> None:
        self._clock = clock
        self._ledger = ledger
        self._assumptions = assumptions
        self._transferred: dict[str, int] = {}

    def deposit(self, account: Account, asset: str, amount: int) -> None:
        """Bring something in from outside.

        Args:
            account: Whose.
            asset: ``JPY`` or a spot symbol.
            amount: Micro-yen or lots, above zero.
        """
        self._move(account, "deposit", asset, amount)

    def withdraw(self, account: Account, asset: str, amount: int) -> None:
        """Send something out, as far as nothing ties it up.

        Raises:
            Refusal: ERR-208 or ERR-201, there is not that much.
        """
        if asset == "JPY" and amount > self._ledger.margins.spendable_uyen(account):
            raise Refusal("ERR-201", "Exceeds the available amount.")
        if asset != "JPY" and amount > account.free_lots(asset):
            raise Refusal("ERR-208", "Exceeds the available balance.")
        self._move(account, "withdrawal", asset, -amount)

    def transfer(self, account: Account, kind: str, amount_uyen: int) -> None:
        """Move yen between the crypto and the FX account.

        Args:
            account: Whose.
            kind: ``WITHDRAWAL`` or ``DEPOSIT``.
            amount_uyen: Above zero.

        Raises:
            Refusal: No FX account (ERR-5135), a margin call is outstanding (ERR-5133), more than may be moved (ERR-754),
                or too soon after the last one (ERR-5003).
        """
        if not self._assumptions.fx_account_open:
            raise Refusal("ERR-5135", "The FX account is not opened.")
        now = self._clock.now_ns()
        last, pause = self._transferred.get(account.name), int(self._assumptions.transfer_seconds * NS_PER_SECOND)
        if last is not None and now - last < pause:
            raise Refusal("ERR-5003", "Requests are too many.")
        leaves = (kind == "WITHDRAWAL") == self._assumptions.transfer_withdrawal_leaves
        if leaves and self._ledger.margins.called(account):
            raise Refusal("ERR-5133", "Transfers are restricted.")
        if amount_uyen > (self._ledger.margins.spendable_uyen(account) if leaves else account.fx_uyen):
            raise Refusal("ERR-754", "Exceeds the transferable amount.")
        self._transferred[account.name] = now
        self._move(account, "transfer", "JPY", -amount_uyen if leaves else amount_uyen)

    def _move(self, account: Account, kind: str, asset: str, amount: int) -> None:
        number = len(account.flows) + 1
        reference = f"{number:064x}" if asset != "JPY" else ""
        self._ledger.move(account, Flow(self._clock.now_ns(), kind, asset, amount, reference))
