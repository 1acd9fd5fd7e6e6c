"""The signature, against the vectors of reference/gmo-coin-api.md §2."""

from __future__ import annotations

import pytest

from gmobot.errors import ConfigError
from gmobot.secrets import Secret
from gmobot.venue.gmo.auth import Credentials, signature, signed_headers

CREDENTIALS = Credentials(Secret("example-key"), Secret("example-secret"))
ORDER = b'{"symbol":"BTC","side":"BUY","executionType":"LIMIT","price":"9900000","size":"0.001"}'
VECTORS = [
    ("GET", "/v1/activeOrders", b"", "15ad17c77a4230471eebaf7258d86649d762f104ed91e9b90d11226c47de7444"),
    ("POST", "/v1/order", ORDER, "7bdf7c18491eb18476643fa30171de1fe776495f08cd8924ad97bd945289f141"),
    ("POST", "/v1/ws-auth", b"{}", "4635799d63b65368a3016518d3ac5fe5f672644fdec774423f11111de20ebc54"),
    ("PUT", "/v1/ws-auth", b'{"token":"sent, not signed"}', "be10c9458f9b2910a5192313a2edba027d4c2d04eaced8edcc4aa0a3cf46a7b7"),
    ("DELETE", "/v1/ws-auth", b'{"token":"sent, not signed"}', "6d370cfa66c38c247c32e95c9f1a6936837fdb9e1dfcb8417253a23a646f406b"),
]


@pytest.mark.parametrize(("method", "path", "body", "expected"), VECTORS)
def test_every_vector_of_the_reference(method: str, path: str, body: bytes, expected: str) -> None:
    assert signature(CREDENTIALS, timestamp_ms=1735689600000, method=method, path=path, body=body) == expected


def test_headers_carry_key_time_and_signature() -> None:
    headers = signed_headers(CREDENTIALS, timestamp_ms=1735689600000, method="GET", path="/v1/activeOrders")
    assert headers == {"API-KEY": "example-key", "API-TIMESTAMP": "1735689600000", "API-SIGN": VECTORS[0][3]}


def test_credentials_never_show_themselves() -> None:
    assert "example" not in f"{CREDENTIALS} {CREDENTIALS!r}"


@pytest.mark.parametrize("bad", [b"", b"two words", b"line\nbreak", b"\xff\xfeutf-16", "キー".encode(), b"tab\t", b"nul\x00"])
def test_what_no_key_holds_is_found_before_anything_is_sent(bad: bytes) -> None:
    for key, secret in ((bad, b"good"), (b"good", bad)):
        with pytest.raises(ConfigError) as raised:
            Credentials(Secret(key), Secret(secret))
        assert not bad or repr(bad)[2:-1] not in str(raised.value)
