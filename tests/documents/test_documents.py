"""Every document tells the truth: its commands exist, its blocks parse, its files are there, its links lead somewhere."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import yaml
from tests.documents import shell
from tests.documents.reader import ROOT, SHELL, Document, documents, slug

from gmobot.config import DATABASE, Config
from gmobot.live import backups, emergency
from gmobot.ops import artifacts

DOCUMENTS = documents()
_FILE = re.compile(r"(?:\.ci|[\w-]+)/[\w./*-]*\w/?|[\w./*-]+\.(?:py|md|sh|yml|yaml|toml|lock|sql)")
_FOLDERS = tuple(f"{path.name}/" for path in ROOT.iterdir() if path.is_dir() and path.name not in ("var", "secrets", "build", "dist"))
_HOMES = ("", "src/gmobot", "src/gmobot/venue", "src/gmobot/emulator", "tests/simulation", "deploy/kubernetes")
"""From where a document may name a file, beside its own folder."""
_USERS_OWN = frozenset({"strategies/breakout.py", "configs/production.yaml", "path/to/file.py"})
_MADE = frozenset(
    {f"var/artifacts/{name}" for name in (artifacts.PROGRESS, artifacts.COMPLETE)}
    | {f"var/state/{name}" for name in (DATABASE, emergency.NAME, backups.FOLDER)}
    | {f"var/{folder}" for folder in ("", "artifacts", "logs", "state", "logs/audit_events.jsonl", "logs/gmobot.log")}
)
"""What the bot makes in ``var/``."""


def wrong(document: Document) -> Iterator[str]:
    """Yield everything that does not hold in a document."""
    for block, command, line in document.commands():
        yield from (f"line {line}: {text}" for text in shell.complaints(command))
        if command == next((row for row, _ in _lines(block.text)), None):
            yield from (f"line {block.line}: bash -n: {text}" for text in _unparsable(block.text))
    for block in document.blocks:
        yield from (f"line {block.line}: {text}" for text in _unreadable(block.language, block.text))
    for text, line in document.spans:
        yield from (f"line {line}: `{text}`: {complaint}" for complaint in _span(document, text))
    yield from _keys(document)
    for href, line in document.links:
        yield from (f"line {line}: link {href}: {complaint}" for complaint in _link(document, href))


def _lines(text: str) -> Iterator[tuple[str, int]]:
    for number, line in enumerate(text.splitlines()):
        if line.strip() and not line.lstrip().startswith("#"):
            yield line.strip(), number


def _unparsable(text: str) -> Iterator[str]:
    script = shell.PLACEHOLDER.sub("placeholder", text)
    done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        yield done.stderr.strip()


def _unreadable(language: str, text: str) -> Iterator[str]:
    try:
        if language in ("yaml", "yml"):
            list(yaml.safe_load_all(text))
        elif language == "json":
            [json.loads(line) for line in ([text] if text.lstrip().startswith("{\n") else text.splitlines())]
    except (yaml.YAMLError, ValueError) as error:
        yield f"is not {language}: {error}"


def _span(document: Document, text: str) -> Iterator[str]:
    """Look a code span over: a command in prose may be shortened, a file must be there."""
    words = text.replace("[", "").replace("]", "").split()
    if len(words) > 1 and words[0] == "gmobot":
        for choice in product(*(word.split("|") for word in words[1:])):
            yield from shell.gmobot([word for word in choice if not word.startswith("…")], whole=False)
    elif len(words) > 1 and words[0] in ("make", "docker-compose", "bash", "python", "curl"):
        yield from shell.complaints(text)
    elif text.startswith("var/"):
        if text.rstrip("/") not in {name.rstrip("/") for name in _MADE}:
            yield "the bot makes no such file"
    elif text.startswith("secrets/"):
        yield from shell.secret(text)
    elif _FILE.fullmatch(text) and (text.startswith(_FOLDERS) or "." in text) and text not in _USERS_OWN:
        yield from _file(document, text)


def _file(document: Document, text: str) -> Iterator[str]:
    """A path from the root, from one of the rooms or from the document; a bare name may lie anywhere."""
    pattern = text.rstrip("/").replace("NNNN", "????")
    near = any(any((ROOT / home).glob(pattern)) for home in (*_HOMES, str(document.path.parent)))
    anywhere = "/" not in text and any(any((ROOT / folder).rglob(pattern)) for folder in _FOLDERS if folder[0] != ".")
    if not near and not anywhere:
        yield "no such file"


def _keys(document: Document) -> Iterator[str]:
    """Keys of the configuration exist, and a default that is told is the default."""
    known = dict(_defaults(Config().model_dump()))
    sections = {key.partition(".")[0] for key in known}
    for key, line in document.spans:
        section, _, name = key.partition(".")
        module = ROOT / "src" / "gmobot" / section / name
        is_module = name == "py" or module.is_dir() or module.with_suffix(".py").exists()
        is_artifact = section == "risk" and name in artifacts.RiskProgress.__struct_fields__
        looks_like_one = re.fullmatch(r"[a-z]+\.[a-z_]+", key) and section in sections
        if looks_like_one and key not in known and not is_module and not is_artifact:
            yield f"line {line}: `{key}`: no such key"
    told = [(key, value) for key, value in re.findall(r"`([a-z]+\.[a-z_]+)`（初期値([\d.]+)", document.text)]
    told += [
        (key, value + "0" * 6 * (unit == "MB"))
        for value, unit, key in re.findall(r"([\d.]+)(秒|分|MB)（`([a-z]+\.[a-z_]+)`", document.text)
    ]
    for key, value in told:
        if key in known and float(value) != float(known[key]):
            yield f"`{key}`: {value} is told, the default is {float(known[key]):g}"


def _defaults(section: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in section.items():
        if isinstance(value, dict):
            yield from _defaults(value, f"{prefix}{name}.")
        elif prefix:
            yield prefix + name, value


def _link(document: Document, href: str) -> Iterator[str]:
    if re.match(r"[a-z]+:", href):
        return
    path, _, anchor = unquote(href).partition("#")
    target = (document.path.parent / path).resolve() if path else document.path
    if path and not target.exists():
        yield "leads nowhere"
    elif anchor and anchor not in (document if target == document.path else Document(target)).anchors:
        yield "no such heading"


@pytest.mark.parametrize("path", DOCUMENTS, ids=[str(path.relative_to(ROOT)) for path in DOCUMENTS])
def test_a_document_tells_the_truth(path: Path) -> None:
    assert not list(wrong(Document(path)))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("```bash\ngmobot fly\n```", "gmobot fly: no such command"),
        ("```bash\n.venv/bin/gmobot doctor --fly\n```", "no such option"),
        ("```bash\ngmobot explain\n```", "gmobot explain: Missing"),
        ("```bash\ngmobot audit tail --count many\n```", "valid integer"),
        ("```bash\ngmobot audit search --event flown\n```", "no such event"),
        ("```bash\nmake fly\n```", "make fly: no such target"),
        ("```bash\nmake test WINGS=2\n```", "no such variable"),
        ("```bash\nbash scripts/fly.sh\n```", "no such script"),
        ("```bash\nbash scripts/smoke_live_daemon.sh --fly\n```", "no such option"),
        ("```bash\npython scripts/fly.py\n```", "no such file"),
        ("```bash\npython -m tests.fly\n```", "no such module"),
        ("```bash\ngmobot run --config configs/fly.yaml\n```", "configs/fly.yaml: no such file"),
        ("```bash\ndocker-compose --profile fly up -d\n```", "no such profile"),
        ("```bash\ndocker-compose logs --tail=200 bird\n```", "no such service"),
        ("```bash\ndocker-compose exec bot gmobot fly\n```", "gmobot fly: no such command"),
        ("```bash\ndocker-compose fly\n```", "no such command"),
        ("```bash\nkubectl exec deployment/gmobot -- gmobot fly\n```", "gmobot fly: no such command"),
        ("```bash\nkubectl apply -f deploy/kubernetes/fly.yaml\n```", "no such file"),
        ("```bash\ncurl http://127.0.0.1:9754/fly\n```", "no such address"),
        ("```bash\ncurl http://127.0.0.1:9999/\n```", "no such port"),
        ("```bash\nWING_COUNT=2 bash scripts/smoke_live_daemon.sh\n```", "variable WING_COUNT"),
        ("```bash\nprintf x > secrets/gmo_api_key\ncat secrets/wing\n```", "no secret of that name"),
        ("```bash\ngmobot state restore var/state/backups/….db\n```", "looks like a placeholder"),
        ("```bash\nflap --hard\n```", "a program this test knows nothing of"),
        ("```bash\ngmobot status && gmobot fly\n```", "gmobot fly"),
        ("```bash\ncat > x <<'X'\nflap\nX\ngmobot fly\n```", "line 5: gmobot fly"),
        ("```bash\nif true; then echo x\n```", "bash -n"),
        ("```yaml\na: [\n```", "is not yaml"),
        ("```json\n{\n```", "is not json"),
        ("`gmobot state backup|fly`", "no such command"),
        ("`docker-compose stop bird`", "no such service"),
        ("`scripts/fly.sh`", "no such file"),
        ("`live/fly.py`", "no such file"),
        ("`fly.py`", "no such file"),
        ("`var/artifacts/fly.json`", "the bot makes no such file"),
        ("`secrets/fly`", "no secret of that name"),
        ("`feed.wings`", "no such key"),
        ("`feed.silence_seconds`（初期値16秒）", "the default is 15"),
        ("5分（`maintenance.max_minutes`）", "the default is 240"),
        ("[x](fly.md)", "leads nowhere"),
        ("# Sky\n[x](#fly)", "no such heading"),
        ("[x](../README.md#fly)", "no such heading"),
    ],
)
def test_what_is_not_true_is_found(text: str, complaint: str) -> None:
    found = list(wrong(Document(ROOT / "docs" / "sample.md", text)))
    assert [row for row in found if complaint in row], found


def test_what_is_true_is_not_complained_of() -> None:
    text = (
        "# ボットの 決済（緊急）\n[a](#ボットの-決済緊急) [b](../README.md) [c](https://example.com/x)\n\n"
        "```bash\n# a comment … \nSMOKE_REPEAT_COUNT=3 bash scripts/smoke_live_daemon.sh\n"
        "git checkout <stable_commit> -- configs docker-compose.yml scripts\n"
        "docker-compose run --rm --no-deps bot \\\n    gmobot state restore <PATH>\n"
        "cat > secrets/gmo_api_key <<'KEY'\nfly away\nKEY\n"
        "printf '%s' '<GMO_API_KEY>' > secrets/gmo_api_key\ngmobot explain <ORDER_ID> | grep fill\n```\n"
    )
    assert not list(wrong(Document(ROOT / "docs" / "sample.md", text)))


def test_the_reader_reads_what_there_is() -> None:
    assert {"README.md", "README.ja.md", "CONTRIBUTING.md", "operations.md", "kubernetes.md"} <= {path.name for path in DOCUMENTS}
    commands = [command for path in DOCUMENTS for _, command, _ in Document(path).commands()]
    assert len(commands) > 120
    assert slug("一次切り分け（短縮版）") == "一次切り分け短縮版"
    assert frozenset({"bash", "sh"}) <= SHELL
