"""What a strategy may not do, found in its source before the compiler stumbles over it.

Compiled and uncompiled runs must agree bit for bit, and a decision may depend on nothing but what it is
given. Each rule names the author's own line and what to write instead.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

from gmobot.errors import StrategyError

_CALLS = {
    "print": "decisions are recorded with their reasons; use a reason code instead of print",
    "open": "a strategy reads no files; pass numbers as parameters",
    "input": "a strategy asks nobody",
    "sum": "write a loop: array reductions may round differently when compiled",
    "pow": "write x * x, or math.exp(y * math.log(x))",
    "eval": "write the expression itself",
    "exec": "write the statements themselves",
}
_MODULES = {
    "random": "a decision must be repeatable: keep a counter in State",
    "time": "use bar.time: there is no other clock",
    "datetime": "use bar.time (nanoseconds UTC)",
    "os": "a strategy sees nothing outside its bar, state, parameters and position",
    "np": "write scalar arithmetic: array reductions may round differently when compiled",
    "numpy": "write scalar arithmetic: array reductions may round differently when compiled",
}
_NODES: dict[type[ast.AST], str] = {
    ast.Pow: "** is not exact when compiled; write x * x, or math.exp(y * math.log(x))",
    ast.Import: "import at the top of the file",
    ast.ImportFrom: "import at the top of the file",
    ast.Global: "keep what you remember in State",
    ast.Nonlocal: "keep what you remember in State",
    ast.Try: "exceptions cannot be caught in compiled code; test the condition first",
    ast.Await: "a decision waits for nothing",
    ast.Yield: "return one decision per bar",
    ast.JoinedStr: "text cannot be built in compiled code; use a reason code",
}


def check_source(decide: Callable[..., Any]) -> None:
    """Refuse what compiled strategies may not contain.

    Raises:
        StrategyError: With file, line and replacement.
    """
    lines, first = inspect.getsourcelines(decide)
    tree = ast.parse(textwrap.dedent("".join(lines)))
    file = inspect.getsourcefile(decide)
    for line, advice in _problems(tree):
        raise StrategyError(f"{file}:{first + line - 1}: {advice}")


def _problems(tree: ast.AST) -> Iterator[tuple[int, str]]:
    line = 1
    for node in ast.walk(tree):
        line = getattr(node, "lineno", line)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
            yield node.lineno, _NODES[ast.Pow]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _CALLS:
            yield node.lineno, f"{node.func.id}() is not for strategies; {_CALLS[node.func.id]}"
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in _MODULES:
            yield node.lineno, f"{node.value.id}.{node.attr} is not for strategies; {_MODULES[node.value.id]}"
        elif type(node) in _NODES:
            yield line, _NODES[type(node)]
