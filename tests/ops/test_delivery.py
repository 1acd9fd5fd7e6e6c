"""Messages on real sockets: what arrives, and what is said of what does not."""

from __future__ import annotations

import logging
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from tests.ops.webhooks import TOKEN, WebhookServer

from gmobot.ops import discord
from gmobot.ops.delivery import AppriseChannel, Channel, Delivery, DiscordChannel, channels, send_all
from gmobot.ops.discord import delivery_of, webhook
from gmobot.ops.notices import Severity
from gmobot.secrets import FoundSecret, Secret, SecretName


def found(name: SecretName, value: str) -> dict[SecretName, FoundSecret]:
    return {name: FoundSecret(name, Secret(value), "here")}


def send(server: WebhookServer, text: str = "こんにちは @everyone") -> Delivery:
    return DiscordChannel(server.url).send(text, Severity.WARNING)


def test_a_message_reaches_a_webhook_on_any_host_and_pings_nobody(server: WebhookServer) -> None:
    assert send(server) == Delivery()
    assert server.paths == [f"/api/webhooks/1/{TOKEN}"]
    assert server.texts == ["こんにちは @everyone"]
    assert server.bodies[0]["allowed_mentions"] == {"parse": []}


def test_a_thread_of_the_channel_may_be_named(server: WebhookServer) -> None:
    assert DiscordChannel(f"{server.url}?thread_id=42").send("x", Severity.INFO).ok
    assert server.paths == [f"/api/webhooks/1/{TOKEN}?thread_id=42"]


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (429, {"Retry-After": "7.5"}, Delivery("rate_limited", 7.5)),
        (429, {}, Delivery("rate_limited")),
        (500, {}, Delivery("http_500")),
        (503, {"Retry-After": "30"}, Delivery("http_503", 30.0)),
        (302, {"Location": "http://127.0.0.1:1/"}, Delivery("http_302")),
        (401, {}, Delivery("webhook_refused", for_good=True)),
        (403, {}, Delivery("webhook_refused", for_good=True)),
        (404, {}, Delivery("webhook_not_found", for_good=True)),
        (400, {}, Delivery("http_400", unfit=True)),
        (413, {}, Delivery("http_413", unfit=True)),
        (200, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset-After": "1.5"}, Delivery(wait_seconds=1.5)),
        (204, {"X-RateLimit-Remaining": "4", "X-RateLimit-Reset-After": "1.5"}, Delivery()),
    ],
)
def test_what_the_server_says_is_kept_and_asked_for_once(
    server: WebhookServer, status: int, headers: dict[str, str], expected: Delivery
) -> None:
    server.status, server.headers = status, headers
    assert send(server) == expected
    assert len(server.paths) == 1, "nobody repeats it behind our back"


def test_retry_after_may_be_a_date_and_is_bounded() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    assert delivery_of(429, {"Retry-After": soon}).wait_seconds == pytest.approx(90, abs=3)
    assert delivery_of(429, {"Retry-After": "1e9"}).wait_seconds == 3_600
    assert delivery_of(429, {"Retry-After": "-5"}).wait_seconds == 0
    assert delivery_of(429, {"Retry-After": "soon"}).wait_seconds is None
    assert delivery_of(429, {"Retry-After": "nan"}).wait_seconds is None


def test_a_server_that_accepts_and_never_answers_is_a_timeout(server: WebhookServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discord, "_REPLY_SECONDS", 0.3)
    server.silent = True
    started = time.monotonic()
    assert send(server) == Delivery("timeout")
    assert time.monotonic() - started < 3


def test_a_body_that_never_ends_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            talk, _ = listener.accept()
            with talk:
                talk.recv(65_536)
                talk.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n{")
                over.wait(20)

        over = threading.Event()
        thread = threading.Thread(target=answer)
        thread.start()
        started = time.monotonic()
        delivery = DiscordChannel(f"http://127.0.0.1:{listener.getsockname()[1]}/api/webhooks/1/{TOKEN}").send("x", Severity.INFO)
        over.set()
        thread.join()
    assert delivery == Delivery()
    assert time.monotonic() - started < 4


def test_a_refused_connection_is_a_network_error() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert DiscordChannel(f"http://127.0.0.1:{port}/api/webhooks/1/{TOKEN}").send("x", Severity.INFO) == Delivery("network_error")


@pytest.mark.parametrize(
    "url", ["", "emulator-webhook", "https://discord.com/", "https://discord.com/api/webhooks/1", "ftp://discord.com/api/webhooks/1/t"]
)
def test_what_is_no_webhook_is_said_and_nothing_is_sent(url: str) -> None:
    assert DiscordChannel(url).send("x", Severity.INFO) == Delivery("invalid_url", for_good=True)


def test_discord_s_own_address_is_taken_as_it_is() -> None:
    made = webhook("https://discord.com/api/webhooks/123/a_b-C")
    assert made is not None
    assert (made.notify_url, made.webhook_id, made.webhook_token) == ("https://discord.com/api/webhooks", "123", "a_b-C")


def test_any_other_service_is_reached_through_its_apprise_address(server: WebhookServer) -> None:
    channel = AppriseChannel("json", server.base.replace("http://", "json://") + "/hook")
    assert channel.send("別の経路", Severity.CRITICAL).ok
    assert server.texts == ["別の経路"]
    assert server.bodies[0]["type"] == "failure"
    server.status = 500
    assert channel.send("x", Severity.INFO) == Delivery("not_accepted")
    assert AppriseChannel("unnamed", "no address at all").send("x", Severity.INFO) == Delivery("invalid_url", for_good=True)


def test_channels_are_named_by_their_service_and_bounded() -> None:
    lines = "# mine\ntgram://1:a/2\n\ntgram://3:b/4\nmailto://u:p@h\ndiscord://1/t\nbare-token\n"
    secrets = found(SecretName.NOTIFY_URLS, lines) | found(SecretName.DISCORD_WEBHOOK_URL, "https://discord.com/api/webhooks/1/t")
    assert [c.name for c in channels(secrets)] == ["discord", "tgram", "tgram-2", "mailto", "discord-1", "unnamed"]
    assert channels({}) == []
    assert len(channels(found(SecretName.NOTIFY_URLS, "json://h/x\n" * 50))) == 8


def test_sending_everywhere_waits_for_the_slowest_and_no_longer(server: WebhookServer) -> None:
    silent = WebhookServer()
    silent.silent = True
    try:
        started = time.monotonic()
        to: list[Channel] = [DiscordChannel(server.url), AppriseChannel("json", silent.base.replace("http", "json") + "/x")]
        results = send_all(to, "x", Severity.INFO, seconds=1.0)
        assert results == {"discord": Delivery(), "json": Delivery("timeout")}
        assert time.monotonic() - started < 2
    finally:
        silent.close()


def test_nothing_that_is_logged_shows_the_address(server: WebhookServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    channels({})
    server.status = 500
    send(server)
    DiscordChannel(f"http://127.0.0.1:1/api/webhooks/1/{TOKEN}").send("x", Severity.INFO)
    AppriseChannel("json", f"json://127.0.0.1:1/{TOKEN}").send("x", Severity.INFO)
    AppriseChannel("tgram", f"tgram://{TOKEN}").send("x", Severity.INFO)
    assert TOKEN not in caplog.text
