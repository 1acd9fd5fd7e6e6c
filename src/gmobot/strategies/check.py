"""What a strategy may not do, found in its source before the compiler stumbles over it.

Compiled and uncompiled runs must agree bit for bit, and a decision may depend on nothing but what it is
given. The rules hold for ``decide`` and for every function of the author's own that it calls. Each names
the author's line and what to write instead.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import itemgetter
from types import FunctionType, ModuleType
from typing import Any

from numba.core.dispatcher import Dispatcher

from gmobot.errors import StrategyError
from gmobot.strategies.sources import is_authors, is_frozen, plain_function, reachable

_BUILTINS = frozenset({"abs", "bool", "enumerate", "float", "int", "len", "max", "min", "range", "round", "zip"})
_MATH = frozenset(
    {"ceil", "copysign", "e", "exp", "fabs", "floor", "inf", "isfinite", "isinf", "isnan", "log", "nan", "pi", "sqrt", "trunc"}
)
_CALLS = {
    "print": "decisions are recorded with their reasons; use a reason code",
    "open": "a strategy reads no files; pass numbers as parameters",
    "input": "a strategy asks nobody; pass numbers as parameters",
    "sum": "write a loop: array reductions may round differently when compiled",
    "pow": "write x * x, or math.exp(y * math.log(x))",
}
_MODULES = {
    "random": "a decision must be repeatable: keep a counter in State",
    "secrets": "a decision must be repeatable: keep a counter in State",
    "time": "use bar.time: there is no other clock",
    "datetime": "use bar.time (nanoseconds UTC)",
    "os": "a strategy sees nothing outside its bar, state, parameters and position",
    "numpy": "write scalar arithmetic and math.sqrt: array reductions may round differently when compiled",
}
_STATE = "keep what you remember in State"
_EXPRESSION = "it makes a new object for every bar; use plain variables, a loop, or an indicator in State"
_NODES: dict[type[ast.AST], str] = {
    ast.Import: "import at the top of the file",
    ast.ImportFrom: "import at the top of the file",
    ast.Global: _STATE,
    ast.Nonlocal: _STATE,
    ast.Try: "exceptions cannot be caught in compiled code; test the condition first",
    ast.Raise: "an exception would stop the bot; return hold() instead",
    ast.Assert: "an exception would stop the bot; return hold() instead",
    ast.With: "there is nothing to open or lock in a decision",
    ast.Await: "a decision waits for nothing",
    ast.Yield: "return one decision per bar",
    ast.YieldFrom: "return one decision per bar",
    ast.JoinedStr: "text cannot be built in compiled code; use a reason code",
    ast.Lambda: "write a function at the top of the file, marked @compiled",
    ast.ClassDef: "write it at the top of the file",
    ast.List: _EXPRESSION,
    ast.Dict: _EXPRESSION,
    ast.Set: _EXPRESSION,
    ast.ListComp: _EXPRESSION,
    ast.DictComp: _EXPRESSION,
    ast.SetComp: _EXPRESSION,
    ast.GeneratorExp: _EXPRESSION,
}
_POWER = "** is not exact when compiled; write x * x, or math.exp(y * math.log(x))"
_NO_ANSWER = "end every path with return buy(...), return sell(...) or return hold()"


def check_source(decide: Callable[..., Any], fields: Sequence[tuple[str, ...]]) -> None:
    """Refuse what compiled strategies may not contain.

    Args:
        decide: The strategy's.
        fields: The names in its state, its bar and its parameters.

    Raises:
        StrategyError: With file, line and replacement.
    """
    start = plain_function(decide)
    if start is None:
        raise StrategyError(f"{decide!r}: decide must be a function written with def")
    for function in reachable(start):
        if function is start or is_authors(function.__code__.co_filename):
            _check(function, fields if function is start else None)


def _check(function: FunctionType, fields: Sequence[tuple[str, ...]] | None) -> None:
    file = function.__code__.co_filename
    try:
        lines, first = inspect.getsourcelines(function)
    except OSError:
        raise StrategyError(f"{file}: the source of {function.__name__} cannot be read; a strategy lives in a file") from None
    tree = ast.parse(textwrap.dedent("".join(lines))).body[0]
    if not isinstance(tree, ast.FunctionDef):
        raise StrategyError(f"{file}:{first}: {function.__name__} must be written with def")
    problems = [*_nodes(tree), *_names(tree, function)] + ([*_shape(tree), *_fields(tree, fields), *_writes(tree)] if fields else [])
    for line, advice in sorted(problems, key=itemgetter(0))[:1]:
        raise StrategyError(f"{file}:{first + line - 1}: {advice}")


def _nodes(tree: ast.FunctionDef) -> Iterator[tuple[int, str]]:
    """Yield constructs that are never allowed."""
    for node in _body(tree):
        if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Pow):
            yield node.lineno, _POWER
        elif isinstance(node, ast.FunctionDef):
            yield node.lineno, _NODES[ast.Lambda]
        elif isinstance(node, ast.expr | ast.stmt) and type(node) in _NODES:
            yield node.lineno, f"{_named(node)} is not for strategies: {_NODES[type(node)]}"


def _named(node: ast.AST) -> str:
    return {"JoinedStr": "an f-string", "List": "a list", "Dict": "a dict", "Set": "a set"}.get(
        type(node).__name__, type(node).__name__.removesuffix("From").lower()
    )


def _body(tree: ast.FunctionDef) -> Iterator[ast.AST]:
    return (node for statement in tree.body for node in ast.walk(statement))


def _names(tree: ast.FunctionDef, function: FunctionType) -> Iterator[tuple[int, str]]:
    """Yield names that mean something a strategy may not use, whatever they were imported as."""
    scope = function.__globals__
    local = set(function.__code__.co_varnames)
    for node in _body(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "round" and len(node.args) > 1:
            yield node.lineno, "round(x, digits) may differ when compiled; write math.floor(x * 100.0 + 0.5) / 100.0"
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and isinstance(scope.get(node.value.id), ModuleType):
            module: ModuleType = scope[node.value.id]
            advice = _module_advice(module.__name__, node.attr) or _value_advice(node.attr, getattr(module, node.attr, None))
            if advice:
                yield node.lineno, f"{node.value.id}.{node.attr} is not for strategies: {advice}"
        elif isinstance(node, ast.Name) and node.id not in local:
            advice = _name_advice(node.id, scope)
            if advice:
                yield node.lineno, f"{node.id} is not for strategies: {advice}"


def _name_advice(name: str, scope: Mapping[str, Any]) -> str:
    if name not in scope:
        if name in _BUILTINS or not hasattr(builtins, name):
            return ""
        return _CALLS.get(name, f"of Python's own functions there are {', '.join(sorted(_BUILTINS))}")
    value = scope[name]
    # random.random is a method of a hidden object, and has no module of its own.
    home = getattr(value, "__module__", None) or type(getattr(value, "__self__", None)).__module__
    if callable(value) and plain_function(value) is None:
        advice = _module_advice(home, getattr(value, "__name__", name))
        if advice:
            return advice
    return _value_advice(name, value)


def _module_advice(module: str, name: str) -> str:
    root = module.partition(".")[0]
    if root == "math" and name not in _MATH:
        return f"only {', '.join(sorted(_MATH))} of math are exact when compiled"
    return _MODULES.get(root, "")


def _value_advice(name: str, value: object) -> str:
    if isinstance(value, Dispatcher):
        options = value.targetoptions
        if options.get("fastmath") or options.get("parallel"):
            return "fastmath and parallel change results; mark it @compiled (from gmobot.core.compiled)"
        if value.stats.cache_path is not None:
            return "cache=True would keep old machine code of what it calls; mark it @compiled (from gmobot.core.compiled)"
        return ""
    if isinstance(value, FunctionType):
        return f"mark {name} with @compiled (from gmobot.core.compiled), so that it compiles too"
    if not is_frozen(value):
        return f"a {type(value).__name__} can change under compiled code; use a number, a tuple, a parameter, or State"
    return ""


def _writes(tree: ast.FunctionDef) -> Iterator[tuple[int, str]]:
    """Yield assignments to anything but the state."""
    read_only = {argument.arg for argument in tree.args.args[1:]}
    for node in _body(tree):
        if isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store):
            root: ast.expr = node
            while isinstance(root, ast.Attribute | ast.Subscript):
                root = root.value
            if isinstance(root, ast.Name) and root.id in read_only:
                yield node.lineno, f"{root.id} is read-only: {_STATE}"


def _fields(tree: ast.FunctionDef, fields: Sequence[tuple[str, ...]]) -> Iterator[tuple[int, str]]:
    """Yield fields that are not there. The compiler says it badly, and only of paths that a trial run does not take."""
    known = {argument.arg: names for argument, names in zip(tree.args.args, fields, strict=False)}
    for node in _body(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.attr not in known.get(node.value.id, (node.attr,)):
            names = ", ".join(known[node.value.id]) or "nothing"
            yield node.lineno, f"{node.value.id} has no {node.attr!r}; it has: {names}"


def _shape(tree: ast.FunctionDef) -> Iterator[tuple[int, str]]:
    """Yield a signature or an end that is not a decision's."""
    if len(tree.args.args) != 4 or tree.args.vararg or tree.args.kwarg or tree.args.kwonlyargs:
        yield tree.lineno, "write decide(state, bar, params, position), marked @staticmethod"
    for node in _body(tree):
        if isinstance(node, ast.Return) and (node.value is None or (isinstance(node.value, ast.Constant))):
            yield node.lineno, f"this path decides nothing: {_NO_ANSWER}"
    if not _always_returns(tree.body):
        yield tree.body[-1].lineno, f"decide can run past its end here: {_NO_ANSWER}"


def _always_returns(body: list[ast.stmt]) -> bool:
    last = body[-1]
    if isinstance(last, ast.If):
        return bool(last.orelse) and _always_returns(last.body) and _always_returns(last.orelse)
    if isinstance(last, ast.While):
        return isinstance(last.test, ast.Constant) and bool(last.test.value)
    return isinstance(last, ast.Return | ast.Raise)
