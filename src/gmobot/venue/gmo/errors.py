"""What each of GMO Coin's message codes means for a caller.

An error reply to a write is definitive, but for the codes by which the server says that it could not
tell (ERR-554, ERR-626): then, as with a lost reply, the outcome is unknown.

Source: reference/gmo-coin-api.md §9.
"""

from __future__ import annotations

from typing import Final, NamedTuple, NoReturn

from gmobot.errors import Category, OutcomeUnknown, Refused, Unavailable


class Meaning(NamedTuple):
    """Category of a code, and whether the same request may succeed later."""

    category: Category
    retryable: bool = False


_V, _F, _N, _A = Category.VALIDATION, Category.INSUFFICIENT_FUNDS, Category.NOT_FOUND, Category.AUTH
_E, _M = Category.EXCHANGE, Category.MAINTENANCE

MEANING: Final[dict[str, Meaning]] = {
    "ERR-70": Meaning(_V),
    "ERR-151": Meaning(_N),
    "ERR-189": Meaning(_V),
    "ERR-200": Meaning(_V),
    "ERR-201": Meaning(_F),
    "ERR-208": Meaning(_F),
    "ERR-254": Meaning(_N),
    "ERR-422": Meaning(_N),
    "ERR-423": Meaning(_V),
    "ERR-430": Meaning(_V),
    "ERR-554": Meaning(_E, retryable=True),
    "ERR-626": Meaning(_E, retryable=True),
    "ERR-635": Meaning(_E),
    "ERR-682": Meaning(_E),
    "ERR-683": Meaning(_E),
    "ERR-754": Meaning(_F),
    "ERR-846": Meaning(_V),
    "ERR-913": Meaning(_V),
    "ERR-5003": Meaning(Category.RATE_LIMIT, retryable=True),
    "ERR-5007": Meaning(_A),
    "ERR-5008": Meaning(_A, retryable=True),
    "ERR-5009": Meaning(_A, retryable=True),
    "ERR-5010": Meaning(_A),
    "ERR-5011": Meaning(_A),
    "ERR-5012": Meaning(_A),
    "ERR-5014": Meaning(_A),
    "ERR-5016": Meaning(_E, retryable=True),
    "ERR-5106": Meaning(_V),
    "ERR-5111": Meaning(_V),
    "ERR-5114": Meaning(_V),
    "ERR-5118": Meaning(_V),
    "ERR-5121": Meaning(_V),
    "ERR-5122": Meaning(_E),
    "ERR-5123": Meaning(_N),
    "ERR-5125": Meaning(_E),
    "ERR-5126": Meaning(_V),
    "ERR-5127": Meaning(_A),
    "ERR-5129": Meaning(_V),
    "ERR-5133": Meaning(_E),
    "ERR-5135": Meaning(_V),
    "ERR-5201": Meaning(_M, retryable=True),
    "ERR-5202": Meaning(_M, retryable=True),
    "ERR-5203": Meaning(_M, retryable=True),
    "ERR-5204": Meaning(_V),
    "ERR-5206": Meaning(_E),
    "ERR-5207": Meaning(_N),
    "ERR-5208": Meaning(_V),
}
CLOCK_CODES: Final = frozenset({"ERR-5008", "ERR-5009"})
_INDEFINITE: Final = frozenset({"ERR-554", "ERR-626"})


def meaning(code: str) -> Meaning:
    """Return what a code means; one we have never seen is the exchange's trouble and not retryable."""
    return MEANING.get(code, Meaning(Category.EXCHANGE))


def raise_for(code: str, text: str, *, is_write: bool) -> NoReturn:
    """Raise what an error reply means.

    Raises:
        Refused: Definitive.
        OutcomeUnknown: A write after which nothing is certain.
        Unavailable: A read that may be repeated.
    """
    category, retryable = meaning(code)
    message = f"{code} {text}".strip()
    if code in _INDEFINITE:
        if is_write:
            raise OutcomeUnknown(message, category=category)
        raise Unavailable(message, category=category, code=code)
    raise Refused(message, category=category, code=code, retryable=retryable)
