"""Program logs: every line is JSON, and no secret is in any of them."""

from __future__ import annotations

import json
import logging
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from gmobot.ops import logs
from gmobot.ops.logs import Masker
from gmobot.secrets import Secret

SECRET = "s3cr3t/key+with=signs"
AWKWARD = "quo'te\"back\\slash"
LONGER = SECRET + "-and-more"


@pytest.fixture(autouse=True)
def _leave_logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for handler in root.handlers[:]:
        if handler not in handlers:
            root.removeHandler(handler)
            handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("aiohttp.access").setLevel(logging.NOTSET)
    structlog.reset_defaults()


def started(directory: Path | None, *, console: bool = False) -> Any:
    logs.configure(directory, secrets=[Secret(SECRET), Secret(AWKWARD), Secret(LONGER), Secret("abc")], console=console)
    return structlog.get_logger("gmobot.test")


def written(directory: Path) -> str:
    return (directory / "gmobot.log").read_text(encoding="utf-8")


def rows(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written(directory).splitlines()]


def raised(text: str) -> None:
    raise ValueError(f"cannot use {text}")


def test_a_line_says_when_who_what(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    started(tmp_path).info("order sent", symbol="BTC", lots=3)
    [row] = rows(tmp_path)
    assert row["event"] == "order sent"
    assert (row["level"], row["logger"], row["symbol"], row["lots"]) == ("info", "gmobot.test", "BTC", 3)
    assert row["timestamp"].endswith("Z")
    assert json.loads(capsys.readouterr().out) == row


def test_the_standard_library_logs_the_same_way(tmp_path: Path) -> None:
    started(tmp_path)
    logging.getLogger("aiohttp.server").error("handler failed: %s", SECRET)
    [row] = rows(tmp_path)
    assert (row["level"], row["logger"], row["event"]) == ("error", "aiohttp.server", "handler failed: ***")


def test_access_lines_are_left_out(tmp_path: Path) -> None:
    started(tmp_path)
    logging.getLogger("aiohttp.access").info("GET /healthz")
    assert written(tmp_path) == ""


@pytest.mark.parametrize("console", [False, True], ids=["json", "console"])
@pytest.mark.parametrize("secret", [SECRET, AWKWARD, LONGER], ids=["plain", "awkward", "longer"])
def test_a_secret_is_masked_wherever_it_goes(tmp_path: Path, capsys: pytest.CaptureFixture[str], secret: str, *, console: bool) -> None:
    log = started(tmp_path, console=console)
    log.info(f"in the message {secret}")
    log.info("as a value", detail=secret, **{f"key {secret}": 1})
    log.info("deep", detail={"a": [("x", {"b": f"-{secret}-"})]}, raw=secret.encode(), lot={secret})
    log.info("positional %s", secret)
    log.info("an object", detail=ValueError(secret))
    log.info("in a URL", url=f"https://example.test/?key={urllib.parse.quote(secret, safe='')}")
    log.info("in a repr", detail=repr({"key": secret}), text=json.dumps({"key": secret}))
    logging.getLogger("aiohttp").warning("foreign %s", secret)
    try:
        raised(secret)
    except ValueError:
        log.exception("in a traceback")
        logging.getLogger("aiohttp").exception("in a foreign traceback")
    everything = written(tmp_path) + capsys.readouterr().out
    quoted = (repr(secret), json.dumps(secret), json.dumps(repr(secret)))
    for spelling in (secret, urllib.parse.quote(secret, safe=""), *(text[1:-1] for text in quoted)):
        assert spelling not in everything
    assert "-and-more" not in everything, "the end of a longer secret stayed"
    assert everything.count("***") >= 20
    assert "in a traceback" in everything


def test_a_secret_that_looks_like_a_number_is_masked(tmp_path: Path) -> None:
    logs.configure(tmp_path, secrets=[Secret("20251124")])
    structlog.get_logger("t").info("numbers", pin=20251124, other=7, nothing=None, yes=True)
    [row] = rows(tmp_path)
    assert (row["pin"], row["other"], row["nothing"], row["yes"]) == ("***", 7, None, True)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("wss://api.coin.z.com/ws/private/v1/AbC_d-9", "wss://api.coin.z.com/ws/private/v1/***"),
        ("GET '/ws/private/v1/AbC' failed", "GET '/ws/private/v1/***' failed"),
        ("https://discord.com/api/webhooks/1/xyz?wait=true", "https://discord.com/api/webhooks/***?wait=true"),
        ("{'API-KEY': 'k', 'API-SIGN': 'f00'}", "{'API-KEY': '***', 'API-SIGN': '***'}"),
        ("('API-SIGN', 'f00')", "('API-SIGN', '***')"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("authorization=Basic YWJj", "authorization=Basic ***"),
        ("ws/public/v1 is not secret", "ws/public/v1 is not secret"),
    ],
)
def test_what_is_secret_by_its_shape_is_masked_though_nobody_knows_it(text: str, masked: str) -> None:
    assert Masker([]).mask(text) == masked


def test_a_secret_that_comes_later_is_masked_from_then_on_and_the_former_ones_still(tmp_path: Path) -> None:
    masker = logs.configure(tmp_path, secrets=[Secret(SECRET)])
    masker.learn([Secret("another/secret")])
    structlog.get_logger("gmobot.test").error("seen", url=urllib.parse.quote("x another/secret", safe=""), old=SECRET)
    text = written(tmp_path)
    assert "seen" in text
    assert not [word for word in (SECRET, "another/secret", "another%2Fsecret") if word in text]


def test_headers_are_never_printed(tmp_path: Path) -> None:
    started(tmp_path).info("sent", headers={"X": "visible"}, nested={"Authorization": "Basic visible"})
    assert "visible" not in written(tmp_path)


def test_a_secret_too_short_to_search_for_does_not_mask_half_of_every_line() -> None:
    assert Masker([Secret("a"), Secret("")]).mask("a banana") == "a banana"


def test_a_full_disk_does_not_print_the_raw_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = started(tmp_path)
    [file] = [handler for handler in logging.getLogger().handlers if isinstance(handler, logging.FileHandler)]

    def full(_: str) -> int:
        raise OSError(28, "No space left on device")

    assert file.stream is not None
    monkeypatch.setattr(file.stream, "write", full)
    log.info(f"still told {SECRET}")
    captured = capsys.readouterr()
    assert "still told ***" in captured.out
    assert captured.err == ""


def test_the_console_is_readable(capsys: pytest.CaptureFixture[str]) -> None:
    started(None, console=True).info("hello", symbol="BTC")
    out = capsys.readouterr().out
    assert "hello" in out
    assert "symbol=BTC" in out
    assert not out.startswith("{")


def test_configuring_twice_does_not_write_twice(tmp_path: Path) -> None:
    started(tmp_path)
    started(tmp_path).info("once")
    assert len(rows(tmp_path)) == 1


def test_japanese_stays_readable(tmp_path: Path) -> None:
    started(tmp_path).info("停止しました")
    assert "停止しました" in written(tmp_path)


def test_each_line_of_a_secret_that_is_a_list_is_masked() -> None:
    masker = Masker([Secret("tgram://token-one/1\n  slack://token-two/2  \n")])
    assert masker.mask("sent to slack://token-two/2 and tgram://token-one/1") == "sent to *** and ***"
