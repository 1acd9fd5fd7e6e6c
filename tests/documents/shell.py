"""Whether a command of a document can be run: program, options, files, services and targets are looked up, nothing is run.

A placeholder is written ``<LIKE_THIS>`` and stands for one word. What a command makes (``cp``'s target, ``>``) need not exist.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import typer
import yaml
from tests.documents.reader import ROOT
from typer.core import TyperGroup
from typer.main import get_command

from gmobot.cli.app import app
from gmobot.emulator.protocol.admin import ENDPOINTS, PREFIX
from gmobot.ops.audit import AuditEvent
from gmobot.secrets import SecretName
from gmobot.web.openapi import openapi

PLACEHOLDER = re.compile(r"<[A-Za-z][A-Za-z0-9_ -]*>")
_STAND_IN = "1"
"""Fits where a number is wanted and where a word is."""
_DISGUISED = re.compile(r"…|\.\.\.|\bYOUR[_-]|\bxxx+\b|\bFIXME\b|\bTODO\b", re.IGNORECASE)
_FOLDERS = tuple(f"{path.name}/" for path in ROOT.iterdir() if path.is_dir() and path.name not in ("var", "secrets"))
_ENDS = frozenset({"|", "||", "&&", ";", "&"})
_COMPOSE = frozenset({"up", "down", "ps", "logs", "exec", "run", "stop", "start", "restart", "kill", "build", "pull", "config"})
_TAKES_VALUE = frozenset({"-s", "--tail", "-e", "-u", "--user", "-f", "-n", "-p", "--profile", "-l", "--for", "--timeout", "-t"})
_PLAIN = frozenset(
    {
        "mkdir",
        "echo",
        "printf",
        "git",
        "docker",
        "pip",
        "chmod",
        "sleep",
        "sh",
        "cat",
        "ls",
        "openssl",
        "rm",
        "grep",
        "df",
        "du",
        "date",
        "timedatectl",
    }
)
"""Programs that are everybody's: only the files they are given are looked up."""
_SECRETS = frozenset(name.file_name for name in SecretName)
_ROUTES = frozenset({"/", *openapi()["paths"]})


def complaints(command: str) -> Iterator[str]:
    """Yield what is wrong with one command line."""
    try:
        lexer = shlex.shlex(PLACEHOLDER.sub(_STAND_IN, command), posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split = True
        words = list(lexer)
    except ValueError as error:
        yield f"cannot be read: {error}"
        return
    if disguised := _DISGUISED.search(" ".join(words)):
        yield f"{disguised[0]!r} looks like a placeholder: write it <LIKE_THIS>"
    simple: list[str] = []
    for word in [*words, ";"]:
        if word in _ENDS:
            yield from _simple(simple)
            simple = []
        else:
            simple.append(word)


def _simple(words: list[str]) -> Iterator[str]:
    """Look one program and its arguments over."""
    words, made = _without_redirections(words)
    if words and words[0] == "export":
        words = words[1:]
    while words and (assigned := re.match(r"([A-Za-z_]\w*)=", words[0])):
        if assigned[1] not in _known_variables():
            yield f"variable {assigned[1]}: nothing in scripts, Compose, Makefile or gmobot reads it"
        words = words[1:]
    if not words:
        return
    program, *arguments = words
    handler = _PROGRAMS.get(program.removeprefix(".venv/bin/"))
    if handler is None and program not in _PLAIN:
        yield f"{program}: a program this test knows nothing of"
    if handler is not None:
        yield from handler(arguments)
    for word in words[:-1] if program == "cp" else words:
        yield from _path(word, made)


def _without_redirections(words: list[str]) -> tuple[list[str], set[str]]:
    kept, made, rest = [], set(), iter(words)
    for word in rest:
        if word in (">", ">>", "2>", "&>", ">&"):
            made.add(next(rest, ""))
        elif word == "<<":
            next(rest, "")
        elif word != "<":
            kept.append(word)
    return kept, made


def _path(word: str, made: set[str]) -> Iterator[str]:
    word = word.rpartition("=")[2] if word.startswith("--") else word
    if word.startswith(_FOLDERS) and word not in made and not any(ROOT.glob(word.rstrip("/"))):
        yield f"{word}: no such file"
    yield from secret(word)


def secret(word: str) -> Iterator[str]:
    """Look the name of a secret's file up."""
    if word.startswith("secrets/") and word.removeprefix("secrets/") not in (*_SECRETS, "", "*"):
        yield f"{word}: no secret of that name"


def gmobot(arguments: list[str], *, whole: bool = True) -> Iterator[str]:
    """Look a ``gmobot`` command up; where it is not ``whole`` only its words and options are."""
    command: Any = get_command(app)
    name = "gmobot"
    while isinstance(command, TyperGroup) and arguments and not arguments[0].startswith("-"):
        found = command.commands.get(arguments[0])
        if found is None:
            yield f"{name} {arguments[0]}: no such command"
            return
        name, command, arguments = f"{name} {arguments[0]}", found, arguments[1:]
    if "--help" in arguments:
        return
    arguments = [argument for argument in arguments if argument != "--debug"]
    options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    for argument in arguments:
        if argument.startswith("-") and argument.partition("=")[0] not in options:
            yield f"{name} {argument}: no such option"
            return
    event = arguments[arguments.index("--event") + 1 :][:1] if "--event" in arguments else []
    if event and event[0] not in set(AuditEvent):
        yield f"{name} --event {event[0]}: no such event"
    if whole and not isinstance(command, TyperGroup):
        try:
            command.make_context(name, list(arguments))
        except typer.TyperException as error:
            yield f"{name}: {error}"


def _make(arguments: list[str]) -> Iterator[str]:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][\w-]*):", text, re.MULTILINE))
    variables = set(re.findall(r"^(\w+) \?=", text, re.MULTILINE)) | set(re.findall(r"\$\((\w+)\)", text))
    for argument in arguments:
        name, assigned, _ = argument.partition("=")
        if name not in (variables if assigned else targets):
            yield f"make {argument}: no such {'variable' if assigned else 'target'}"


def _python(arguments: list[str]) -> Iterator[str]:
    if arguments[:1] == ["-m"] and arguments[1].startswith("tests."):
        module = ROOT / arguments[1].replace(".", "/")
        if not (module.with_suffix(".py").exists() or (module / "__main__.py").exists()):
            yield f"python -m {arguments[1]}: no such module"
    elif arguments[:1] and not arguments[0].startswith("-") and not (ROOT / arguments[0]).exists():
        yield f"python {arguments[0]}: no such file"


def _bash(arguments: list[str]) -> Iterator[str]:
    if not arguments or not (ROOT / arguments[0]).is_file():
        yield f"bash {' '.join(arguments)}: no such script"
    for option in (argument for argument in arguments[1:] if argument.startswith("--")):
        if option not in (ROOT / arguments[0]).read_text(encoding="utf-8"):
            yield f"{arguments[0]} {option}: no such option"


def _compose(arguments: list[str]) -> Iterator[str]:
    services = _compose_file()["services"]
    profiles = {profile for service in services.values() for profile in service.get("profiles", ())}
    while arguments[:1] == ["--profile"]:
        if arguments[1] not in profiles:
            yield f"docker-compose --profile {arguments[1]}: no such profile"
        arguments = arguments[2:]
    if not arguments or arguments[0] not in _COMPOSE:
        yield f"docker-compose {' '.join(arguments[:1])}: no such command"
        return
    verb, rest = arguments[0], list(_operands(arguments[1:]))
    named = rest[:1] if verb in ("exec", "run") else rest
    for service in named:
        if service not in services:
            yield f"docker-compose {verb} {service}: no such service"
    if verb in ("exec", "run"):
        if not named:
            yield f"docker-compose {verb}: of which service?"
        inner = arguments[arguments.index(rest[0]) + 1 :] if rest else []
        if inner:
            yield from _simple(inner)


def _operands(arguments: list[str]) -> Iterator[str]:
    rest = iter(arguments)
    for argument in rest:
        if argument in _TAKES_VALUE:
            next(rest, None)
        elif not argument.startswith("-"):
            yield argument


def _curl(arguments: list[str]) -> Iterator[str]:
    for url in (argument for argument in arguments if argument.startswith("http://127.0.0.1:")):
        port, _, path = url.removeprefix("http://127.0.0.1:").partition("/")
        known = {"9754": _ROUTES, "9755": {PREFIX + path for _, path in ENDPOINTS}}.get(port)
        if known is None:
            if f":-{port}}}:" not in str(_compose_file()):
                yield f"curl {url}: Compose publishes no such port"
        elif f"/{path}".partition("?")[0] not in known:
            yield f"curl {url}: no such address"


def _kubectl(arguments: list[str]) -> Iterator[str]:
    if "--" in arguments:
        yield from _simple(arguments[arguments.index("--") + 1 :])


_PROGRAMS: dict[str, Callable[[list[str]], Iterator[str]]] = {
    "gmobot": gmobot,
    "make": _make,
    "python": _python,
    "python3": _python,
    "bash": _bash,
    "docker-compose": _compose,
    "curl": _curl,
    "kubectl": _kubectl,
    ".ci/with_docker.sh": _simple,
    "cp": lambda _: iter(()),
    "pre-commit": lambda _: iter(()),
}


@cache
def _compose_file() -> Any:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))


@cache
def _known_variables() -> frozenset[str]:
    """Every name in capitals that a script, Compose, the Makefile, a test or gmobot itself mentions."""
    files = [ROOT / "docker-compose.yml", ROOT / "Makefile", *(ROOT / "scripts").iterdir(), *(ROOT / "src").rglob("*.py")]
    files += (file for file in (ROOT / "tests").rglob("*.py") if file.parent.name != "documents")
    return frozenset(name for file in files if file.is_file() for name in re.findall(r"\b[A-Z][A-Z0-9_]{2,}\b", file.read_text("utf-8")))
