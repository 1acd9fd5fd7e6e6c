"""Putting a mutant into a process: in place of the running code, or through the import.

Replacing the code of functions takes a millisecond in a process that has imported and collected everything. What runs
at import (constants, defaults) has to be planted before it.
"""

from __future__ import annotations

import gc
import importlib.abc
import importlib.util
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

from tests.mutation.subjects import ROOT


class LiveFunctions:
    """Every function of the imported modules, wherever decorators, closures and plain copies of it are kept."""

    def __init__(self, files: Sequence[Path]) -> None:
        wanted = {str(path) for path in files}
        self._functions: dict[tuple[str, str, int], list[FunctionType]] = defaultdict(list)
        for thing in gc.get_objects():
            # Not isinstance: it would wake a weak proxy whose object is gone.
            if type(thing) is FunctionType and thing.__code__.co_filename in wanted:
                self._functions[_place(thing.__code__)].append(thing)

    def plant(self, sound: CodeType, mutated: CodeType) -> int:
        """Give the functions that differ between two versions of a module the second's code; return how many were reached."""
        reached = 0
        for old, new in _pairs(sound, mutated):
            if old != new:
                for function in self._functions.get(_place(old), ()):
                    function.__code__ = new
                    reached += 1
        return reached


def _place(code: CodeType) -> tuple[str, str, int]:
    return code.co_filename, code.co_qualname, code.co_firstlineno


def _pairs(old: CodeType, new: CodeType) -> Iterator[tuple[CodeType, CodeType]]:
    """Yield the functions of two versions of a module side by side."""
    others = {_place(code): code for code in new.co_consts if isinstance(code, CodeType)}
    for code in old.co_consts:
        if isinstance(code, CodeType) and _place(code) in others:
            yield code, others[_place(code)]
            yield from _pairs(code, others[_place(code)])


class MutatedImport(importlib.abc.MetaPathFinder):
    """Imports one module from other code than its file's."""

    def __init__(self, path: Path, code: CodeType) -> None:
        self._name = ".".join(path.relative_to(ROOT / "src").with_suffix("").parts)
        self._path = path
        self._code = code

    def install(self) -> None:
        """Stand before all other finders; the module must not have been imported yet."""
        assert self._name not in sys.modules
        sys.meta_path.insert(0, self)

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        return importlib.util.spec_from_file_location(fullname, self._path, loader=_Loader(self._code))


class _Loader(importlib.abc.Loader):
    def __init__(self, code: CodeType) -> None:
        self._code = code

    def exec_module(self, module: ModuleType) -> None:
        exec(self._code, vars(module))
