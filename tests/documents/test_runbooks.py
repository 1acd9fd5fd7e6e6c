"""Every alert has its page, every page its alert, and all pages have the same shape."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.documents.reader import ROOT, Document

FOLDER = ROOT / "docs" / "runbooks"
PAGES = sorted(path for path in FOLDER.glob("*.md") if path.name != "README.md")
SECTIONS = ["意味", "ボットが自分ですること", "最初に見る", "判断", "対処", "その後"]


def alerts() -> dict[str, Any]:
    """Return every alert by its name."""
    groups = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


def kebab(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()


def test_every_alert_has_its_page_and_every_page_its_alert() -> None:
    assert {path.stem for path in PAGES} == {kebab(name) for name in alerts()}


def test_every_alert_names_its_page() -> None:
    for name, rule in alerts().items():
        assert f"docs/runbooks/{kebab(name)}.md" in rule["annotations"].values(), name


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_has_the_common_shape(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    title = text.splitlines()[0].removeprefix("# ")
    assert kebab(title) == path.stem
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == SECTIONS
    assert re.search(r"^> EN: [A-Z][\x20-\x7e]+\.$", text, re.MULTILINE), "a summary in English"
    first_look = text.split("## 最初に見る")[1].split("## 判断")[0]
    assert Document(path, first_look).commands()
    assert text.split("## 判断")[1].split("## 対処")[0].count("\n| ") >= 3


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_tells_severity_and_duration_of_its_alert(path: Path) -> None:
    (rule,) = (rule for name, rule in alerts().items() if kebab(name) == path.stem)
    told = re.search(r"（重大度: `(\w+)`、続いた時間: `(\w+)`）", path.read_text(encoding="utf-8"))
    assert told is not None
    assert told.groups() == (rule["labels"]["severity"], rule.get("for", "0s"))


def test_the_index_lists_every_page_with_its_severity() -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[(\w+)\]\(([\w-]+)\.md\) \| `(\w+)` \|", text, re.MULTILINE)
    assert rows == [(name, kebab(name), rule["labels"]["severity"]) for name, rule in alerts().items()]
