"""Every code of reference/gmo-coin-api.md §9: its category, whether it may be tried again, what it proves."""

from __future__ import annotations

import pytest

from gmobot.errors import Category, OutcomeUnknown, Refused, Unavailable, VenueError
from gmobot.venue.gmo.errors import MEANING, raise_for

TABLE = {
    Category.VALIDATION: "70 189 200 423 430 846 913 5106 5111 5114 5118 5121 5126 5129 5135 5204 5208",
    Category.NOT_FOUND: "151 254 422 5123 5207",
    Category.INSUFFICIENT_FUNDS: "201 208 754",
    Category.EXCHANGE: "554 626 635 682 683 5016 5122 5125 5133 5206",
    Category.RATE_LIMIT: "5003",
    Category.AUTH: "5007 5008 5009 5010 5011 5012 5014 5127",
    Category.MAINTENANCE: "5201 5202 5203",
}
RETRYABLE = {f"ERR-{number}" for number in (554, 626, 5003, 5008, 5009, 5016, 5201, 5202, 5203)}
ROWS = [(f"ERR-{number}", category) for category, numbers in TABLE.items() for number in numbers.split()]
BUSY = ("ERR-554", "ERR-626")


def what_is_raised(code: str, *, path: str = "/v1/order", is_write: bool = True, http: int = 200) -> VenueError:
    with pytest.raises(VenueError) as raised:
        raise_for(code, "text", path=path, is_write=is_write, http=http)
    return raised.value


def test_the_table_is_complete() -> None:
    assert set(MEANING) == {code for code, _ in ROWS}


@pytest.mark.parametrize(("code", "category"), ROWS)
def test_category_and_whether_to_try_again(code: str, category: Category) -> None:
    path = "/v1/cancelOrder" if code == "ERR-151" else "/v1/order"
    error = what_is_raised(code, path=path)
    assert error.category is category
    if code not in BUSY:
        assert isinstance(error, Refused)
        assert (error.code, error.retryable) == (code, code in RETRYABLE)


@pytest.mark.parametrize("code", BUSY)
def test_a_busy_server_leaves_a_write_open_and_a_read_to_be_repeated(code: str) -> None:
    assert isinstance(what_is_raised(code), OutcomeUnknown)
    assert isinstance(what_is_raised(code, is_write=False), Unavailable)


def test_service_unavailable_means_not_found_only_on_a_cancel() -> None:
    cancel = what_is_raised("ERR-151", path="/v1/cancelOrder")
    assert isinstance(cancel, Refused)
    assert cancel.category is Category.NOT_FOUND
    assert isinstance(what_is_raised("ERR-151", path="/v1/order"), OutcomeUnknown)
    assert isinstance(what_is_raised("ERR-151", path="/v1/activeOrders", is_write=False), Unavailable)


@pytest.mark.parametrize("code", ["ERR-1", "ERR-9999", "", "nonsense"])
def test_a_code_nobody_knows_proves_nothing(code: str) -> None:
    assert isinstance(what_is_raised(code), OutcomeUnknown)
    assert isinstance(what_is_raised(code, is_write=False), Unavailable)


@pytest.mark.parametrize("http", [500, 502, 503, 504])
def test_a_gateway_error_takes_the_certainty_from_any_code_but_maintenance(http: int) -> None:
    assert isinstance(what_is_raised("ERR-201", http=http), OutcomeUnknown)
    assert isinstance(what_is_raised("ERR-151", path="/v1/cancelOrder", http=http), OutcomeUnknown)
    assert isinstance(what_is_raised("ERR-5201", http=http), Refused)
