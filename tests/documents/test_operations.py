"""The operations document and the table that carries it out name the same commands, and it covers the original's."""

from __future__ import annotations

import re

from tests.documents.reader import ROOT, Document
from tests.e2e.operations import ASIDE, START_SECONDS, TABLE

DOCUMENT = Document(ROOT / "docs" / "operations.md")
COMMANDS = [command for _, command, _ in DOCUMENT.commands()]
PROMISED = (
    "docker-compose up -d --build",
    "docker-compose down",
    "docker-compose ps",
    "curl -fsS http://127.0.0.1:9754/healthz",
    "curl -fsS http://127.0.0.1:9754/metrics",
    "mkdir -p secrets",
    "printf '%s' '<GMO_API_KEY>' > secrets/gmo_api_key",
    "printf '%s' '<GMO_API_SECRET>' > secrets/gmo_api_secret",
    "printf '%s' '<DISCORD_WEBHOOK_URL>' > secrets/discord_webhook_url",
    "bash scripts/smoke_live_daemon.sh",
    "bash scripts/smoke_live_daemon.sh --simulate-failure",
    "SMOKE_REPEAT_COUNT=3 bash scripts/smoke_live_daemon.sh",
    "bash scripts/release_check.sh",
    "git checkout <stable_commit> -- configs docker-compose.yml scripts",
    "docker-compose logs --tail=200 bot",
    "export AUDIT_LOG_MAX_BYTES=1048576",
    "export AUDIT_LOG_RETENTION=7",
    "python scripts/run_live.py",
    "bash scripts/rotate_secrets_check.sh",
    "docker-compose --profile monitoring up -d",
)
"""Every command that operators know: none may be dropped, or spelt otherwise."""
SECTIONS = (
    "日常運用コマンド",
    "Secretsファイル運用（推奨）",
    "実運用前スモーク検証",
    "リリース前フルチェック",
    "本番移行 Go/No-Go 判定",
    "最小ロールバック手順",
    "連絡/エスカレーション（プレースホルダ）",
    "監査ログローテーション",
    "鍵ローテーション演習（最小）",
    "監視運用（最小）",
    "一次切り分け（短縮版）",
)


def asides() -> set[str]:
    """Commands in code spans, which no block has."""
    spans = {text for text, _ in DOCUMENT.spans if re.match(r"(?:[A-Z_]+=\S+ )?(?:docker-compose|bash|curl|python|git) ", text)}
    shortened = {"git checkout <stable_commit>"}
    return spans - set(COMMANDS) - shortened


def test_the_table_has_the_documents_commands_in_its_order() -> None:
    assert [row.command for row in TABLE] == COMMANDS


def test_what_is_named_in_passing_is_carried_out_too() -> None:
    assert asides() <= {row.command for row in (*TABLE, *ASIDE)}
    assert {row.command for row in ASIDE} <= asides() | set(COMMANDS)


def test_every_command_that_operators_know_is_there() -> None:
    assert not [command for command in PROMISED if command not in COMMANDS and command not in asides()]


def test_every_section_that_operators_know_is_there_in_its_order() -> None:
    headings = re.findall(r"^## (.*)$", DOCUMENT.text, re.MULTILINE)
    assert [heading for heading in headings if heading in SECTIONS] == list(SECTIONS)


def test_the_document_promises_the_start_that_is_waited_for() -> None:
    assert f"{START_SECONDS:.0f}秒以内" in DOCUMENT.text


def test_no_command_runs_these_tests() -> None:
    assert not [row for row in (*TABLE, *ASIDE) if re.search(r"\bpytest\b|\be2e\b|make test", row.command)]
