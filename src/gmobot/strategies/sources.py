"""What a compiled strategy is made of: every function it reaches, every file those come from.

Two views make one fingerprint. The *functions as loaded* (their byte code and the global constants that
the compiler freezes) say exactly what will be compiled, even if a file was edited since it was imported.
The *files* (the strategy's and what it imports of the author's own, all of ``core``, all of this room)
catch what byte code does not show.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

import numba
import numpy as np
from numba.core.dispatcher import Dispatcher

import gmobot.core
from gmobot.core.compiled import global_names

_FOREIGN = tuple(Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib"))
_OURS = Path(gmobot.core.__file__).resolve().parents[1]
_FROZEN = (int, float, str, bytes, Enum, np.dtype, np.generic, type(None))


def plain_function(value: object) -> FunctionType | None:
    """Return the Python function in a compiled or plain one, else ``None``."""
    value = getattr(value, "py_func", value) if isinstance(value, Dispatcher) else value
    return value if isinstance(value, FunctionType) else None


def reachable(start: FunctionType) -> list[FunctionType]:
    """Return a function and all functions it can call, itself first."""
    found = {start: None}
    waiting = [start]
    while waiting:
        for _, value in globals_of(waiting.pop()):
            function = plain_function(value)
            if function is not None and function not in found:
                found[function] = None
                waiting.append(function)
    return list(found)


def globals_of(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """Yield the globals that a function looks up, and what it takes out of modules among them."""
    names = sorted(set(global_names(function.__code__)))
    scope = function.__globals__ | dict(zip(function.__code__.co_freevars, _cells(function), strict=True))
    for name in [*names, *function.__code__.co_freevars]:
        if name in scope:
            value = scope[name]
            yield name, value
            if isinstance(value, ModuleType):
                yield from ((f"{name}.{part}", getattr(value, part)) for part in names if hasattr(value, part))


def _cells(function: FunctionType) -> list[Any]:
    return [cell.cell_contents for cell in function.__closure__ or ()]


def is_frozen(value: object) -> bool:
    """Return whether a global is of a kind that cannot change under compiled code."""
    if isinstance(value, tuple):
        return all(is_frozen(item) for item in value)
    callable_or_module = isinstance(value, ModuleType | type | BuiltinFunctionType) or plain_function(value) is not None
    return callable_or_module or isinstance(value, _FROZEN) or getattr(value, "__module__", None) == "typing"


def fingerprint(decide: FunctionType, file: Path, texts: Iterable[str]) -> str:
    """Return the hash of everything a strategy's machine code follows from, the machine apart."""
    digest = hashlib.sha256(_BASE.encode())
    for function in reachable(decide):
        digest.update(f"{function.__qualname__} {_code(function.__code__)} {function.__defaults__}".encode())
        for name, value in globals_of(function):
            if isinstance(value, (*_FROZEN, tuple)):
                digest.update(f"{name}={value!r}".encode())
            elif isinstance(value, Dispatcher):
                digest.update(f"{name} {sorted(value.targetoptions.items())}".encode())
    for path in own_files(file):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    for text in texts:
        digest.update(hashlib.sha256(text.encode()).digest())
    return digest.hexdigest()[:24]


def _code(code: CodeType) -> str:
    constants = [_code(item) if isinstance(item, CodeType) else _constant(item) for item in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {code.co_varnames} {code.co_freevars} {constants}"


def _constant(item: object) -> str:
    # The order in which a set is shown changes from process to process.
    return f"frozenset{sorted(map(repr, item))}" if isinstance(item, frozenset) else repr(item)


def own_files(start: Path) -> list[Path]:
    """Return a Python file and every file it imports, directly or not, that no package manager owns."""
    waiting, found = [start.resolve()], {start.resolve()}
    while waiting:
        path = waiting.pop()
        for imported in files_imported(path.read_text(encoding="utf-8"), _package_of(path)):
            if imported not in found:
                found.add(imported)
                waiting.append(imported)
    return sorted(found)


def files_imported(text: str, package: str = "") -> Iterator[Path]:
    """Yield the files that a module's text imports and that are the author's or ours."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parts, *([node.module] if node.module else [])])
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        else:
            continue
        yield from (path for name in names if (path := _file_of(name)) is not None)


def _package_of(path: Path) -> str:
    return next((module.__package__ or "" for module in list(sys.modules.values()) if getattr(module, "__file__", None) == str(path)), "")


def _file_of(name: str) -> Path | None:
    try:
        origin = getattr(sys.modules.get(name), "__file__", None) or getattr(importlib.util.find_spec(name), "origin", None)
    except (ImportError, ValueError, AttributeError):
        return None
    if origin is None or not origin.endswith(".py"):
        return None
    path = Path(origin).resolve()
    return path if path.is_relative_to(_OURS) or not any(path.is_relative_to(root) for root in _FOREIGN) else None


def is_authors(file: str) -> bool:
    """Return whether code is of the author's own, neither the core's nor a package's."""
    path = Path(file).resolve()
    return not any(path.is_relative_to(root) for root in (*_FOREIGN, _OURS / "core"))


def _hash_base() -> str:
    digest = hashlib.sha256(f"{numba.__version__} {np.__version__} {sys.version}".encode())
    for folder in (Path(gmobot.core.__file__).parent, Path(__file__).parent):
        for path in sorted(folder.glob("*.py")):
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


# Taken when this module is imported, right after the core: what is read is what was loaded.
_BASE = _hash_base()
