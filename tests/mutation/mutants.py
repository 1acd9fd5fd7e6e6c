"""Mutants: one small wrong edit each, made in the syntax tree.

An edit knows how to make itself and how to take itself back, so that one tree serves all mutants of a file.
Annotations, docstrings, log lines and texts for people are left alone: no test should pin down their wording.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any

_COMPARE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_TURNED = (ast.Eq, ast.NotEq, ast.Is, ast.IsNot, ast.In, ast.NotIn)
"""Comparisons whose swap is their negation already."""
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
_CALLS = {"min": "max", "max": "min", "any": "all", "all": "any"}
_OTHER: dict[type[ast.stmt], type[ast.stmt]] = {
    ast.Delete: ast.Pass,
    ast.Raise: ast.Pass,
    ast.Continue: ast.Break,
    ast.Break: ast.Continue,
}
_QUIET = {"log", "logger"}


@dataclass(frozen=True, slots=True)
class Edit:
    """``holder.field`` (or ``holder.field[index]``) becomes ``new``."""

    holder: ast.AST
    field: str
    index: int | None
    new: Any

    def swap(self) -> Edit:
        """Make the edit; return the one that takes it back."""
        place = getattr(self.holder, self.field)
        if self.index is None:
            setattr(self.holder, self.field, self.new)
            return Edit(self.holder, self.field, None, place)
        old = place[self.index]
        place[self.index] = self.new
        return Edit(self.holder, self.field, self.index, old)


@dataclass(frozen=True, slots=True)
class Mutant:
    """One wrong edit of a file.

    Attributes:
        lines: First and last line of the statement, or of the head of a compound one: what a test must have run.
        change: Before and after, as source text, of the smallest part that shows it.
        within: Qualified name of the function; empty for the module's and classes' own level.
        nth: Counts mutants of the same function and change, so that a name means one of them.
    """

    path: Path
    line: int
    lines: tuple[int, int]
    change: str
    within: str
    nth: int
    edit: Edit

    @property
    def name(self) -> str:
        """What tells this mutant from all others of its file, wherever its line moves."""
        again = f" #{self.nth + 1}" if self.nth else ""
        return f"{self.within or 'module'}: {self.change}{again}"


class Source:
    """A file, its tree and its mutants."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        self.mutants = tuple(_Finder(path).found(self.tree))

    def compiled(self, mutant: Mutant) -> CodeType:
        """Return the module's code with the mutant in it."""
        back = mutant.edit.swap()
        try:
            return compile(ast.fix_missing_locations(self.tree), str(self.path), "exec", dont_inherit=True)
        finally:
            back.swap()

    def sound(self) -> CodeType:
        """Return the module's code without any mutant."""
        return compile(self.tree, str(self.path), "exec", dont_inherit=True)


class _Finder:
    """Walks a tree and makes mutants of it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: dict[tuple[str, str], int] = {}

    def found(self, tree: ast.Module) -> Iterator[Mutant]:
        yield from self._body(tree, "body", (), in_function=False)

    def _body(self, holder: ast.AST, field: str, scope: tuple[str, ...], *, in_function: bool) -> Iterator[Mutant]:
        statements: list[ast.stmt] = getattr(holder, field)
        for index, statement in enumerate(statements):
            if _is_text(statement):
                continue
            for new in _instead(statement) if in_function else ():
                yield self._mutant(statement, scope, Edit(holder, field, index, new), statement, new)
            yield from self._statement(statement, scope, in_function=in_function)

    def _statement(self, statement: ast.stmt, scope: tuple[str, ...], *, in_function: bool) -> Iterator[Mutant]:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from self._expressions(statement, statement.args, scope, in_function=in_function)
            inner = (*scope, statement.name)
            yield from self._body(statement, "body", inner, in_function=True)
        elif isinstance(statement, ast.ClassDef):
            yield from self._body(statement, "body", (*scope, statement.name), in_function=False)
        else:
            if not _is_quiet(statement):
                yield from self._expressions(statement, statement, scope, in_function=in_function)
            for field in ("body", "orelse", "finalbody"):
                if getattr(statement, field, None):
                    yield from self._body(statement, field, scope, in_function=in_function)
            for handler in getattr(statement, "handlers", ()):
                yield from self._body(handler, "body", scope, in_function=in_function)
            for case in getattr(statement, "cases", ()):
                yield from self._body(case, "body", scope, in_function=in_function)

    def _expressions(self, statement: ast.stmt, node: ast.AST, scope: tuple[str, ...], *, in_function: bool) -> Iterator[Mutant]:
        where = scope if in_function else ()
        for holder, field, index, child in _children(node):
            for new in _variants(child, holder, field):
                yield self._mutant(statement, where, Edit(holder, field, index, new), child, new)
            yield from self._expressions(statement, child, scope, in_function=in_function)
        if isinstance(node, ast.comprehension):
            for index in range(len(node.ifs)):
                new = ast.Constant(value=True)
                yield self._mutant(statement, where, Edit(node, "ifs", index, new), node.ifs[index], new)

    def _mutant(self, statement: ast.stmt, scope: tuple[str, ...], edit: Edit, old: ast.AST, new: ast.AST) -> Mutant:
        within = ".".join(scope)
        change = f"{_shown(old)} → {_shown(new)}"
        nth = self._seen[within, change] = self._seen.get((within, change), -1) + 1
        line = getattr(old, "lineno", statement.lineno)
        return Mutant(self._path, line, _head(statement), change, within, nth, edit)


def _head(statement: ast.stmt) -> tuple[int, int]:
    """Return the lines that run when the statement is reached."""
    body = getattr(statement, "body", None)
    last = body[0].lineno - 1 if body else statement.end_lineno or statement.lineno
    return statement.lineno, max(last, statement.lineno)


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _is_quiet(statement: ast.stmt) -> bool:
    """Whether a statement only tells the log."""
    if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)):
        return False
    called = statement.value.func
    owner = called.value if isinstance(called, ast.Attribute) else None
    name = owner.id if isinstance(owner, ast.Name) else owner.attr if isinstance(owner, ast.Attribute) else ""
    return name.lstrip("_") in _QUIET


def _instead(statement: ast.stmt) -> Iterator[ast.stmt]:
    """Yield what a whole statement becomes, one at a time."""
    if isinstance(statement, ast.Expr):
        if isinstance(statement.value, ast.Call | ast.Await) and not _is_quiet(statement):
            yield _at(statement, ast.Pass())
    elif isinstance(statement, ast.Assign):
        if any(isinstance(target, ast.Attribute | ast.Subscript) for target in statement.targets):
            yield _at(statement, ast.Pass())
    elif isinstance(statement, ast.AugAssign):
        yield _at(statement, ast.Pass())
        if type(statement.op) in _ARITHMETIC:
            yield _at(statement, ast.AugAssign(target=statement.target, op=_ARITHMETIC[type(statement.op)](), value=statement.value))
    elif type(statement) in _OTHER:
        yield _at(statement, _OTHER[type(statement)]())
    elif isinstance(statement, ast.Return):
        if statement.value is None:
            yield _at(statement, ast.Pass())
        elif not isinstance(statement.value, ast.Constant):
            yield _at(statement, ast.Return(value=ast.Constant(value=None)))


def _at(old: ast.stmt, new: ast.stmt) -> ast.stmt:
    return ast.copy_location(new, old)


_SKIPPED = {"annotation", "returns", "decorator_list", "type_params", "type_comment", "body", "orelse", "finalbody", "handlers", "cases"}


def _children(node: ast.AST) -> Iterator[tuple[ast.AST, str, int | None, ast.AST]]:
    """Yield the expressions directly below a node, with their places; not annotations, texts nor blocks of statements."""
    skipped = _SKIPPED if isinstance(node, ast.stmt) else {"annotation"}
    for field, value in ast.iter_fields(node):
        if field in skipped:
            continue
        for index, child in enumerate(value) if isinstance(value, list) else ((None, value),):
            if isinstance(child, ast.AST) and not isinstance(child, ast.JoinedStr | ast.expr_context | ast.stmt | ast.operator | ast.cmpop):
                yield node, field, index, child


def _variants(node: ast.AST, holder: ast.AST, field: str) -> Iterator[ast.AST]:
    """Yield what an expression becomes, one at a time."""
    if field == "test" and isinstance(node, ast.expr) and isinstance(holder, ast.If | ast.While | ast.IfExp) and not _turns_itself(node):
        yield ast.UnaryOp(op=ast.Not(), operand=node)
    if isinstance(node, ast.Compare):
        yield from _compared(node)
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(op=ast.Or() if isinstance(node.op, ast.And) else ast.And(), values=node.values)
        for index in range(len(node.values)):
            rest = node.values[:index] + node.values[index + 1 :]
            yield rest[0] if len(rest) == 1 else ast.BoolOp(op=node.op, values=rest)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        yield node.operand
    elif isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC and not _adds_text(node):
        yield ast.BinOp(left=node.left, op=_ARITHMETIC[type(node.op)](), right=node.right)
    elif isinstance(node, ast.Constant):
        yield from _constants(node)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _CALLS:
        other = ast.Name(id=_CALLS[node.func.id], ctx=ast.Load())
        yield ast.Call(func=other, args=node.args, keywords=node.keywords)


def _turns_itself(node: ast.AST) -> bool:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return True
    return isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.ops[0], _TURNED)


def _compared(node: ast.Compare) -> Iterator[ast.AST]:
    for index, op in enumerate(node.ops):
        ops = [*node.ops]
        ops[index] = _COMPARE[type(op)]()
        yield ast.Compare(left=node.left, ops=ops, comparators=node.comparators)


def _constants(node: ast.Constant) -> Iterator[ast.AST]:
    if isinstance(node.value, bool):
        yield ast.Constant(value=not node.value)
    elif isinstance(node.value, int | float):
        yield ast.Constant(value=node.value + 1)
        if node.value != 0:
            yield ast.Constant(value=node.value - 1)


def _adds_text(node: ast.BinOp) -> bool:
    parts = (node.left, node.right)
    return any(isinstance(part, ast.JoinedStr) or (isinstance(part, ast.Constant) and isinstance(part.value, str)) for part in parts)


def _shown(node: ast.AST) -> str:
    """Return one line of source for a node."""
    text = " ".join(ast.unparse(ast.fix_missing_locations(node)).split())
    return text if len(text) <= 90 else f"{text[:60]} … {text[-25:]}"
