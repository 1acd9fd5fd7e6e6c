"""What every command of ``docs/operations.md`` must do, in the order of the document, and who carries it out.

A row says how the command ends, how long it may take, what is waited for afterwards and what it must say. It is
given to a shell on a terminal, as an operator types it; placeholders are filled in, and 9754 is whatever port is free.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto

START_SECONDS = 90.0
"""Promised by the document: from ``up`` to a health check that passes."""
BUILD_SECONDS = 420.0
SMOKE_SECONDS = 180.0
LIGHT = {
    "SKIP": "mypy,import-rules",
    "PYTEST_ADDOPTS": "tests/ops/test_atomic.py -p no:cacheprovider",
    "COVERAGE_RCFILE": "../light.coveragerc",
}
"""release_check with its stages, all of them, on little: pre-commit's, pytest's and coverage's own variables."""
LIGHT_COVERAGE = "[run]\nbranch = true\ninclude = */gmobot/ops/atomic.py\n"


class Needs(Enum):
    """What is made so before a command."""

    NOTHING = auto()
    DOWN = auto()
    UP = auto()


class Then(Enum):
    """What is waited for after a command, and looked at."""

    NOTHING = auto()
    HEALTHY = auto()
    HALTED = auto()
    GONE = auto()
    SENDS_ORDERS = auto()
    STABLE_FILES = auto()
    SAME_RUN_NEW_KEY = auto()
    WATCHED = auto()
    FLAT = auto()


class Before(Enum):
    """What has happened when a command is wanted."""

    NOTHING = auto()
    BAD_CHANGE = auto()
    """Configuration, Compose file and scripts were changed for the worse."""
    NEWER_DATABASE = auto()
    """A newer program has taken the database further, and this older one is started on it."""
    SECOND_KEY = auto()
    """The customer has made another key."""
    NO_REGISTRY = auto()
    """Images that cannot be fetched have stand-ins."""
    HOLDING = auto()
    """The bot holds coins."""


@dataclass(frozen=True)
class Row:
    """One command of the document.

    Attributes:
        exit: The exit code, ``None`` for any but 0.
        seconds: Most it may take, waiting included.
        retried: Until it exits so, within ``START_SECONDS``: a health check after a start.
        says: What stands in its output.
        ends: It runs until SIGTERM, is healthy in between, and ends with ``exit``.
    """

    command: str
    exit: int | None = 0
    seconds: float = 60.0
    needs: Needs = Needs.NOTHING
    before: Before = Before.NOTHING
    then: Then = Then.NOTHING
    retried: bool = False
    says: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    ends: bool = False


def up(then: Then = Then.HEALTHY, needs: Needs = Needs.NOTHING) -> Row:
    """Build, start, wait."""
    return Row("docker-compose up -d --build", seconds=BUILD_SECONDS + START_SECONDS, needs=needs, then=then)


def healthz(needs: Needs = Needs.UP) -> Row:
    """Ask whether the bot is well, until it is."""
    command = "curl -fsS http://127.0.0.1:9754/healthz"
    return Row(command, seconds=START_SECONDS, needs=needs, retried=True, says=('"status":"ok"',))


def gmobot(arguments: str, **more: object) -> Row:
    """A command in the running container."""
    return Row(f"docker-compose exec bot gmobot {arguments}", seconds=30.0, needs=Needs.UP, **more)  # type: ignore[arg-type]


def release_check() -> Row:
    """Every stage, on little."""
    says = tuple(f"passed_stage={name}" for name in ("pre-commit", "pytest (quick)", "pytest (coverage)", "smoke_live_daemon"))
    return Row("bash scripts/release_check.sh", seconds=600.0, says=says, env=LIGHT)


PRINTF_KEY = "printf '%s' '<GMO_API_KEY>' > secrets/gmo_api_key"
PRINTF_SECRET = "printf '%s' '<GMO_API_SECRET>' > secrets/gmo_api_secret"
SMOKE = "bash scripts/smoke_live_daemon.sh"
RESTORE = "docker-compose run --rm --no-deps bot gmobot state restore <PATH>"
DOCTOR = Row("docker-compose run --rm bot gmobot doctor", seconds=90.0, says=("permission_close",))

TABLE: tuple[Row, ...] = (
    # 日常運用コマンド
    up(needs=Needs.DOWN),
    Row("docker-compose down", needs=Needs.UP, then=Then.GONE),
    Row("docker-compose ps", needs=Needs.UP, retried=True, seconds=START_SECONDS, says=("(healthy)",)),
    healthz(),
    # 設定と環境変数
    Row("docker-compose run --rm --no-deps bot gmobot config check"),
    Row("docker-compose run --rm --no-deps bot gmobot config show", says=("GMOBOT__HEALTH__HOST",)),
    up(),
    # Secretsファイル運用
    Row("mkdir -p secrets"),
    Row(PRINTF_KEY),
    Row(PRINTF_SECRET),
    Row("printf '%s' '<DISCORD_WEBHOOK_URL>' > secrets/discord_webhook_url"),
    up(),
    DOCTOR,
    # 実運用前スモーク検証
    Row(SMOKE, seconds=SMOKE_SECONDS, says=("passed_iteration=1/1",)),
    Row(
        f"{SMOKE} --simulate-failure", exit=None, seconds=SMOKE_SECONDS, says=("failed_iteration=1/1", "docker-compose logs --tail=200 bot")
    ),
    Row(f"SMOKE_REPEAT_COUNT=3 {SMOKE}", seconds=3 * SMOKE_SECONDS, says=("passed_iteration=3/3",)),
    # リリース前フルチェック
    release_check(),
    # 本番移行 Go/No-Go 判定
    Row("bash scripts/go_nogo.sh", seconds=1_200.0, needs=Needs.UP, says=("\nGO",), env=LIGHT),
    # 実取引を許す（武装）
    Row("cp configs/live.spot.yaml configs/production.yaml"),
    Row("echo 'GMOBOT_CONFIG=configs/production.yaml' >> .env"),
    DOCTOR,
    up(),
    gmobot("audit search --event decision", says=("decision",), retried=True),
    gmobot("audit search --event order_intent"),
    up(),
    gmobot("resume --acknowledge", says=("resume: done",)),
    gmobot("status", then=Then.SENDS_ORDERS),
    # 最小ロールバック手順
    Row("docker-compose down", before=Before.BAD_CHANGE, then=Then.GONE),
    Row("git checkout <stable_commit> -- configs docker-compose.yml scripts", then=Then.STABLE_FILES),
    up(),
    healthz(),
    Row(
        "docker-compose logs --tail=200 bot",
        before=Before.NEWER_DATABASE,
        retried=True,
        seconds=START_SECONDS,
        says=("was written by a newer gmobot", "gmobot state restore var/state/backups/"),
    ),
    Row("docker-compose stop bot"),
    Row(RESTORE, says=("the next start is halted",)),
    up(Then.HALTED),
    # 監査ログローテーション
    Row("export AUDIT_LOG_MAX_BYTES=1048576"),
    Row("export AUDIT_LOG_RETENTION=7"),
    Row("python scripts/run_live.py", seconds=START_SECONDS, needs=Needs.DOWN, ends=True),
    gmobot("audit verify", says=("chain whole",)),
    # 鍵ローテーション演習
    Row("bash scripts/rotate_secrets_check.sh", seconds=900.0, says=("rotation=ok",)),
    Row(PRINTF_KEY, needs=Needs.UP, before=Before.SECOND_KEY),
    Row(PRINTF_SECRET),
    Row("docker-compose kill -s HUP bot", then=Then.SAME_RUN_NEW_KEY),
    gmobot("status"),
    gmobot("audit search --event secret_loaded", says=("GMO_API_SECRET",)),
    # 監視運用
    Row("docker-compose --profile monitoring up -d", seconds=300.0, needs=Needs.UP, before=Before.NO_REGISTRY, then=Then.WATCHED),
    # ボットが動かないときの決済
    Row("docker-compose stop bot", before=Before.HOLDING),
    Row("docker-compose run --rm --no-deps bot gmobot flatten --direct", seconds=120.0, says=("flat",), then=Then.FLAT),
    # 停止を解く前に
    gmobot("status", says=("halted",)),
    gmobot("audit search --event error"),
    gmobot("audit search --event cash_flow"),
    # バックアップと復元
    gmobot("state backup", says=("var/state/backups/",)),
    gmobot("state verify", says=("holds together",)),
    Row("docker-compose stop bot"),
    Row(RESTORE, says=("the next start is halted",)),
    up(Then.HALTED),
    # アップグレード
    gmobot("state backup", says=("var/state/backups/",)),
    Row("git fetch --tags"),
    Row("git checkout <new_version>"),
    release_check(),
    up(Then.HALTED),
    healthz(),
    gmobot("status", says=("halted",)),
)

ASIDE: tuple[Row, ...] = (
    # What the document names in its tables and sentences only.
    gmobot("resume --acknowledge", says=("resume: done",)),
    gmobot("pause", says=("pause: done",)),
    gmobot("resume", says=("resume: done",)),
    Row("curl -fsS http://127.0.0.1:9754/metrics", needs=Needs.UP, says=("run_loop_total", 'monitor_status{status="active"}')),
    gmobot("audit tail", says=("decision",), retried=True),
    gmobot("explain <ORDER_ID>", says=("decision",)),
    gmobot("notify test", exit=6),
    Row("docker-compose restart bot", needs=Needs.UP, seconds=90.0, then=Then.HEALTHY),
    gmobot("halt", says=("halt: done",), then=Then.HALTED),
    gmobot("flatten", says=("flatten: done",), then=Then.FLAT),
    Row("docker-compose up -d", seconds=90.0),
    Row("docker-compose kill bot", needs=Needs.UP),  # What the document forbids: the next start copes with it all the same.
    Row("docker-compose up -d", seconds=90.0, then=Then.HALTED),
)
