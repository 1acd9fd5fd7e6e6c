"""What a Markdown document promises: its command blocks, its code spans, its links and its anchors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[2]
SHELL = frozenset({"bash", "sh", "shell", "console"})
_PARSER = MarkdownIt("commonmark").enable("table")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the line it begins at."""

    language: str
    text: str
    line: int


class Document:
    """One Markdown file."""

    def __init__(self, path: Path, text: str | None = None) -> None:
        self.path = path
        self.text = path.read_text(encoding="utf-8") if text is None else text
        tokens = _PARSER.parse(self.text)
        self.blocks = [Block(token.info.split(" ")[0], token.content, _line(token)) for token in tokens if token.type == "fence"]
        self.spans = [(child.content, line) for child, line in _inline(tokens) if child.type == "code_inline"]
        self.links = [(str(child.attrs["href"]), line) for child, line in _inline(tokens) if child.type == "link_open"]
        self.anchors = list(_anchors(tokens))

    @property
    def name(self) -> str:
        """Path as an operator would say it."""
        return str(self.path.relative_to(ROOT)) if self.path.is_relative_to(ROOT) else self.path.name

    def commands(self) -> list[tuple[Block, str, int]]:
        """Return every command of every shell block, with the line it begins in; continued lines are one, here-documents none."""
        return [(block, *row) for block in self.blocks if block.language in SHELL for row in _commands(block)]


def documents() -> list[Path]:
    """Return every document of the repository."""
    found = [*ROOT.glob("*.md")]
    for folder in ("docs", "strategies", "examples", "deploy"):
        found += (ROOT / folder).rglob("*.md")
    return sorted(found)


def slug(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def _commands(block: Block) -> Iterator[tuple[str, int]]:
    waiting, begun, until = "", 0, ""
    for number, line in enumerate(block.text.splitlines(), start=block.line + 1):
        if until:
            until = "" if line.strip() == until else until
            continue
        begun = begun or number
        waiting += line.removeprefix("$ ")
        if waiting.endswith("\\"):
            waiting = waiting[:-1] + " "
            continue
        if waiting.strip() and not waiting.lstrip().startswith("#"):
            yield waiting.strip(), begun
        here = re.search(r"<<-?\s*['\"]?(\w+)", waiting)
        waiting, begun, until = "", 0, here[1] if here else ""


def _line(token: Token) -> int:
    return token.map[0] + 1 if token.map else 0


def _inline(tokens: list[Token]) -> Iterator[tuple[Token, int]]:
    for token in tokens:
        for child in token.children or ():
            yield child, _line(token)


def _anchors(tokens: list[Token]) -> Iterator[str]:
    seen: dict[str, int] = {}
    for before, token in pairwise(tokens):
        if before.type == "heading_open":
            name = slug("".join(child.content for child in token.children or ()))
            times = seen[name] = seen.get(name, -1) + 1
            yield f"{name}-{times}" if times else name
