"""What each of GMO Coin's message codes means for a caller.

A business error in reply to a write is definitive. It is not where the server says that it could not
tell (ERR-554, ERR-626), where a code is not in the table, and where a gateway's HTTP status contradicts
it: then, as with a lost reply, the outcome is unknown. Taking a new code for a "no" could place an order
twice; taking it for unknown costs a question.

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
_INDEFINITE: Final = frozenset({"ERR-554", "ERR-626"})
_CANCEL_PATHS: Final = frozenset({"/v1/cancelOrder", "/v1/cancelOrders"})
_BAD_CANCEL_ID: Final = "ERR-151"
"""Says "Service Unavailable", which is what it would mean on any path but that of a cancel (§5.15)."""
_GATEWAY: Final = 500


def meaning(code: str) -> Meaning:
    """Return what a code means; one we have never seen is the exchange's trouble and not retryable."""
    return MEANING.get(code, Meaning(Category.EXCHANGE))


def is_definitive(code: str, *, path: str, http: int = 200) -> bool:
    """Return whether an error reply with this code proves that nothing was done.

    Args:
        code: The message code.
        path: From ``/v1`` on.
        http: HTTP status the reply came with.
    """
    if code not in MEANING or code in _INDEFINITE:
        return False
    if code == _BAD_CANCEL_ID:
        return path in _CANCEL_PATHS and http < _GATEWAY
    # Maintenance is a complete answer whatever its HTTP status, which is not known for certain (§1.4).
    return http < _GATEWAY or MEANING[code].category is Category.MAINTENANCE


def raise_for(code: str, text: str, *, path: str, is_write: bool, http: int = 200) -> NoReturn:
    """Raise what an error reply means.

    Args:
        code: The message code.
        text: The message.
        path: From ``/v1`` on.
        is_write: Whether the request could change anything.
        http: HTTP status the reply came with.

    Raises:
        Refused: Definitive.
        OutcomeUnknown: A write after which nothing is certain.
        Unavailable: A read that may be repeated.
    """
    category, retryable = meaning(code)
    message = f"{path}: {code} {text}".rstrip()
    if is_definitive(code, path=path, http=http):
        raise Refused(message, category=category, code=code, retryable=retryable)
    if code == _BAD_CANCEL_ID:
        category = Category.EXCHANGE
    if is_write:
        raise OutcomeUnknown(message, category=category)
    raise Unavailable(message, category=category, code=code)
