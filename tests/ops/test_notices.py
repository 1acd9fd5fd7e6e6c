"""The table of what people are told, how badly it matters, and in which words."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

import gmobot
from gmobot.core import reasons
from gmobot.ops import words
from gmobot.ops.audit import AuditEvent
from gmobot.ops.day_summary import DayFigures, summary
from gmobot.ops.notices import SILENT, TABLE, Severity, notice, yen
from gmobot.ops.words import Said

INFO, WARNING, CRITICAL = Severity
ORDER = {"intent_id": 3, "symbol": "BTC", "purpose": "entry", "side": "BUY", "type": "MARKET", "size": "0.01", "state": "unknown"}
LIMIT = ORDER | {"type": "LIMIT", "price": "15000000", "order_id": 77, "purpose": "exit", "side": "SELL"}

CASES: list[tuple[str, dict[str, Any], Severity, str, str]] = [
    (
        "run_started",
        {"mode": "live", "environment": "production"},
        INFO,
        "起動しました（live / production）",
        "started (live / production)",
    ),
    ("run_started", {"mode": "flatten", "source": "direct"}, INFO, "起動しました（flatten / direct）", "started (flatten / direct)"),
    (
        "run_stopped",
        {"reason": "graceful_shutdown"},
        INFO,
        "停止しました: 正常停止 (graceful_shutdown)",
        "stopped: clean stop (graceful_shutdown)",
    ),
    ("run_stopped", {"reason": "flatten_direct"}, INFO, "停止しました: flatten_direct", "stopped: flatten_direct"),
    (
        "config_loaded",
        {"reason": "rules_changed", "symbol": "BTC", "tick_size": "1 to 5"},
        WARNING,
        "BTC: 取引所の取引ルールが変わりました (rules_changed) / {'tick_size': '1 to 5'}",
        "BTC: the exchange changed its rules (rules_changed) / {'tick_size': '1 to 5'}",
    ),
    ("armed", {}, WARNING, "この設定での実発注が承認されました", "real orders acknowledged for this configuration"),
    (
        "preflight_result",
        {"check": "clock", "state": "failed", "detail": "9 s"},
        WARNING,
        "事前確認に失敗しました: clock: 9 s",
        "a preflight check failed: clock: 9 s",
    ),
    (
        "order_rejected",
        LIMIT | {"detail": "ERR-201"},
        WARNING,
        "注文が成立しませんでした: BTC 売り 0.01 @ 15,000,000・決済 (order 77) / ERR-201",
        "order rejected: BTC SELL 0.01 @ 15,000,000, exit (order 77) / ERR-201",
    ),
    (
        "order_outcome_unknown",
        ORDER,
        CRITICAL,
        "注文の結果が分かりません（確認中）: BTC 買い 0.01・新規 (intent 3)",
        "outcome of an order unknown, being looked for: BTC BUY 0.01, entry (intent 3)",
    ),
    (
        "order_resolved",
        ORDER | {"state": "filled"},
        WARNING,
        "注文の結果が分かりました: BTC 買い 0.01・新規 (intent 3) → 全量約定しました",
        "outcome of an order known: BTC BUY 0.01, entry (intent 3) → it filled",
    ),
    (
        "fill",
        LIMIT | {"purpose": "protect", "fee_jpy": "-15.5", "execution_id": 9},
        INFO,
        "約定: BTC 売り 0.01 @ 15,000,000・損切り (order 77) 手数料 -15.5 円",
        "fill: BTC SELL 0.01 @ 15,000,000, stop (order 77), fee -15.5 JPY",
    ),
    (
        "fill",
        LIMIT | {"purpose": "forced", "fee_jpy": "0", "execution_id": 9},
        WARNING,
        "約定: BTC 売り 0.01 @ 15,000,000・強制・手動決済 (order 77) 手数料 0 円",
        "fill: BTC SELL 0.01 @ 15,000,000, forced or by hand (order 77), fee 0 JPY",
    ),
    (
        "cash_flow",
        {"kind": "deposit", "asset": "JPY", "amount": "1000000", "yen": "1000000"},
        INFO,
        "入出金: 入金・預入 JPY +1,000,000",
        "cash flow: deposit JPY +1,000,000",
    ),
    (
        "cash_flow",
        {"kind": "foreign_trade", "asset": "BTC", "amount": "-0.01", "yen": "150000"},
        WARNING,
        "入出金: このボット以外の取引 BTC -0.01 / +150,000 JPY",
        "cash flow: trade by another hand BTC -0.01 / +150,000 JPY",
    ),
    ("risk_status_changed", {"status": "ok", "reason_codes": []}, INFO, "リスク状態は正常です", "risk is within its limits"),
    (
        "risk_status_changed",
        {"status": "degraded", "reason_codes": ["daily_loss_limit_exceeded"]},
        WARNING,
        "リスク制限により決済のみ行います: 1日の損失上限を超えました (daily_loss_limit_exceeded)",
        "a limit is passed, exits only: the day's loss beyond its limit (daily_loss_limit_exceeded)",
    ),
    (
        "risk_status_changed",
        {"status": "abort", "reason_codes": ["max_drawdown_exceeded", "max_trade_loss_exceeded"]},
        CRITICAL,
        (
            "リスク制限により取引を中止しました: 最大ドローダウンを超えました (max_drawdown_exceeded)、"
            "1取引の損失上限を超えました (max_trade_loss_exceeded)"
        ),
        (
            "a limit is passed, trading aborted: drawdown beyond its limit (max_drawdown_exceeded), "
            "loss of one trade beyond its limit (max_trade_loss_exceeded)"
        ),
    ),
    (
        "monitor_status_changed",
        {"status": "active", "detail": ""},
        INFO,
        "取引所と接続しています (active)",
        "connected to the exchange (active)",
    ),
    (
        "monitor_status_changed",
        {"status": "reconnecting", "detail": "public: closed"},
        WARNING,
        "取引所へ再接続しています (reconnecting) / public: closed",
        "reconnecting to the exchange (reconnecting) / public: closed",
    ),
    (
        "monitor_status_changed",
        {"status": "degraded", "detail": ""},
        CRITICAL,
        "取引所へ接続できない状態が続いています (degraded)",
        "no connection to the exchange for long (degraded)",
    ),
    (
        "control_command",
        {"command": "halt", "reason": "max_drawdown_exceeded", "source": "guard"},
        CRITICAL,
        "取引を停止（halt）しました: 最大ドローダウンを超えました (max_drawdown_exceeded) [guard]",
        "trading halted: drawdown beyond its limit (max_drawdown_exceeded) [guard]",
    ),
    (
        "control_command",
        {"command": "halt", "reason": "operator_halt", "source": "unix"},
        CRITICAL,
        "取引を停止（halt）しました [unix]",
        "trading halted [unix]",
    ),
    (
        "control_command",
        {"command": "pause", "reason": "operator_pause", "source": "http"},
        WARNING,
        "新規建てを一時停止（pause）しました [http]",
        "new positions paused [http]",
    ),
    (
        "control_command",
        {"command": "close", "reason": "operator_halt", "source": "unix"},
        CRITICAL,
        "保有分の決済（flatten）を始めました [unix]",
        "closing what the bot owns (flatten) [unix]",
    ),
    (
        "control_command",
        {"command": "armed", "reason": "0123456789abcdef", "source": "unix"},
        WARNING,
        "この設定での実発注が承認されました [unix]",
        "real orders acknowledged for this configuration [unix]",
    ),
    (
        "control_command",
        {"command": "resume", "released": ["halt"], "source": "unix"},
        INFO,
        "取引を再開（resume）しました [unix]",
        "trading resumed [unix]",
    ),
    (
        "error",
        {"reason": "position_unprotected", "symbol": "BTC", "cause": "placing", "seconds": 6.5},
        CRITICAL,
        "BTC: 建玉が保護されていません (position_unprotected) / 損切り注文の受付待ち（6.5 秒）",
        "BTC: a position lies open without protection (position_unprotected) / the stop is being placed (6.5 s)",
    ),
    (
        "error",
        {"reason": "wallet_drift_exceeded", "detail": "5,000 JPY"},
        CRITICAL,
        "帳簿と取引所の残高に説明できない差があります (wallet_drift_exceeded) / 5,000 JPY",
        "unexplained difference between books and exchange (wallet_drift_exceeded) / 5,000 JPY",
    ),
    (
        "error",
        {"reason": "foreign_order", "order_id": 5, "symbol": "BTC", "evidence": "seen"},
        CRITICAL,
        "BTC: このボット以外の注文または建玉があります (foreign_order) / 5 / seen",
        "BTC: orders or positions that are not this bot's (foreign_order) / 5 / seen",
    ),
    (
        "error",
        {"reason": "previous_run_crashed", "run": "r1"},
        WARNING,
        "前回の実行は異常終了していました (previous_run_crashed) / r1",
        "the previous run crashed (previous_run_crashed) / r1",
    ),
    ("error", {"reason": "something_new"}, WARNING, "something_new", "something_new"),
]


@pytest.mark.parametrize(("event", "fields", "severity", "ja", "en"), CASES)
def test_an_event_in_words(event: str, fields: dict[str, Any], severity: Severity, ja: str, en: str) -> None:
    told = notice(event, fields)
    assert told is not None
    assert (told.severity, told.in_("ja"), told.in_("en")) == (severity, ja, en)


def test_every_event_of_the_table_has_a_case_and_the_others_are_silent_on_purpose() -> None:
    assert {case[0] for case in CASES} == set(TABLE)
    assert {event.value for event in SILENT} == {
        "secret_loaded", "decision", "order_intent", "order_submitted", "order_acknowledged", "order_amended", "order_cancelled",
        "position_changed", "protection_changed", "reconnect", "reconciled", "notification_result",
    }  # fmt: skip
    assert all(notice(event, {}) is None for event in [*SILENT, "an event of a later version"])


@pytest.mark.parametrize(
    ("event", "fields"), [("config_loaded", {"config_hash": "x"}), ("preflight_result", {"check": "clock", "state": "ok"})]
)
def test_what_goes_well_at_every_start_is_not_told(event: str, fields: dict[str, Any]) -> None:
    assert notice(event, fields) is None


@pytest.mark.parametrize("event", sorted(TABLE))
def test_an_event_without_its_fields_is_told_with_holes(event: str) -> None:
    told = notice(event, {"reason": "x"} if event == "config_loaded" else {"state": "failed"} if event == "preflight_result" else {})
    assert told is not None
    assert told.text.ja
    assert told.text.en


def test_what_is_long_or_has_lines_becomes_one_short_line() -> None:
    told = notice("error", {"reason": "exchange_error", "detail": "a\nb " + "x" * 1_000})
    assert told is not None
    assert "\n" not in told.text.en
    assert len(told.text.en) < 400
    assert told.text.en.endswith("…")


def test_every_reason_code_cause_and_kind_has_words_in_both_languages() -> None:
    assert set(words.REASONS) == set(reasons.RISK) | set(reasons.OPERATIONS)
    tables = (
        words.REASONS,
        words.SIDES,
        words.PURPOSES,
        words.ORDER_STATES,
        words.CAUSES,
        words.FLOWS,
        words.COMMANDS,
        words.MONITOR,
        words.RISK,
    )
    for table in tables:
        for code, text in table.items():
            assert text.ja, code
            assert text.en.isascii(), code


@pytest.mark.parametrize(
    ("file", "enum", "table", "left_out"),
    [
        ("protection.py", "Cause", words.CAUSES, set()),
        ("intents.py", "Purpose", words.PURPOSES, set()),
        ("cash.py", "FlowKind", words.FLOWS, set()),
        ("intents.py", "Latch", words.COMMANDS, set()),
        ("intents.py", "IntentState", words.ORDER_STATES, {"intent", "unknown"}),
    ],
)
def test_the_words_are_those_of_the_daemon(file: str, enum: str, table: dict[str, Said], left_out: set[str]) -> None:
    tree = ast.parse((Path(gmobot.__file__).parent / "live" / file).read_text(encoding="utf-8"))
    (found,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == enum]
    values = {n.value.value for n in found.body if isinstance(n, ast.Assign) and isinstance(n.value, ast.Constant)}
    assert values - left_out <= set(table)


def test_every_audit_event_is_either_told_or_silent() -> None:
    assert set(TABLE) | set(SILENT) == set(AuditEvent)


@pytest.mark.parametrize(
    ("value", "text"), [("1234567", "1,234,567"), ("0.00100", "0.001"), ("-15.50", "-15.5"), ("1E+3", "1,000"), ("?", "?"), ("100", "100")]
)
def test_amounts(value: str, text: str) -> None:
    assert yen(value) == text


def test_a_day_in_words() -> None:
    figures = DayFigures(
        day=20_454, equity_jpy="10001234", profit_jpy="1234.5", realized_jpy="-2000", fees_jpy="66", drawdown=0.0123, fills=12, trades=4,
        positions={"BTC": "0.01", "ETH": "0.5"},
    )  # fmt: skip
    told = summary(figures)
    assert told.in_("ja") == (
        "日次まとめ 2026-01-01 06:00 からの1日\n"
        "　損益 +1,234.5 円（実現 -2,000 円、手数料 66 円）\n"
        "　資産 10,001,234 円、ドローダウン 1.23 %\n"
        "　約定 12 件、決済した取引 4 件、保有 BTC 0.01, ETH 0.5"
    )
    assert told.in_("en").splitlines()[1] == "  result +1,234.5 JPY (realized -2,000, fees 66)"
    assert (told.severity, told.key) == (INFO, "day:20454")
