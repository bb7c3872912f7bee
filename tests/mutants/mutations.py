"""Every small change that is made to a file, as text: what stands around it stays as it is, byte for byte.

Changed are conditions, bounds, arithmetic, numbers, texts, constants, what is returned, and statements are left out.
Left alone are annotations, docstrings, assertions, what an error says, and f-strings: nobody should test their wording.

Pure: no I/O.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.Is: "is not",
    ast.IsNot: "is",
    ast.In: "not in",
    ast.NotIn: "in",
}
OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "//",
    ast.FloorDiv: "*",
    ast.Div: "*",
    ast.Mod: "*",
    ast.LShift: ">>",
    ast.RShift: "<<",
    ast.BitAnd: "|",
    ast.BitOr: "&",
}
NAMES = {"min": "max", "max": "min", "all": "any", "any": "all"}


@dataclass(frozen=True, slots=True)
class Mutant:
    """`new` in the place of the bytes `start` to `end` of a file.  `function` is None outside of functions."""

    line: int
    function: str | None
    what: str
    start: int
    end: int
    new: bytes

    def applied(self, source: bytes) -> bytes:
        return source[: self.start] + self.new + source[self.end :]


class _Finder:
    def __init__(self, source: bytes) -> None:
        self.source = source
        self.found: list[Mutant] = []
        self._starts = [0]
        for line in source.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))

    def visit(self, node: ast.AST, owner: tuple[str, ...], function: str | None) -> None:
        """`owner`: the names of the classes around the node; `function`: the outermost function around it."""
        if isinstance(node, ast.Assert | ast.JoinedStr | ast.Import | ast.ImportFrom):
            return
        if isinstance(node, ast.Raise):
            self._replace(node, b"pass", "raise left out", function)
            return
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            return
        self._mutate(node, function)
        for child in self._children(node):
            if _is_coding(node) and isinstance(child, ast.Constant):
                continue
            inner, around = function, owner
            if isinstance(node, ast.ClassDef) and child in node.body:
                around = (*owner, node.name)
            if isinstance(node, ast.FunctionDef) and child in node.body and function is None:
                inner = ".".join((*owner, node.name))
            self.visit(child, around, inner)

    def _children(self, node: ast.AST) -> Iterator[ast.AST]:
        annotations = [getattr(node, name, None) for name in ("annotation", "returns")]
        for child in ast.iter_child_nodes(node):
            is_docstring = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
            if child not in annotations and not is_docstring:
                yield child

    def _mutate(self, node: ast.AST, function: str | None) -> None:
        if isinstance(node, ast.Compare):
            self._compare(node, function)
        elif isinstance(node, ast.BoolOp):
            self._bool_op(node, function)
        elif isinstance(node, ast.BinOp | ast.AugAssign):
            self._arithmetic(node, function)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            self._replace(node, self._text(node.operand), "not left out", function)
        elif isinstance(node, ast.Constant):
            self._constant(node, function)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in NAMES:
            new = NAMES[node.func.id]
            self._replace(node.func, new.encode(), f"{node.func.id} → {new}", function)
        elif function is not None:
            self._statement(node, function)
        if isinstance(node, ast.If | ast.While | ast.IfExp) and not isinstance(node.test, ast.Compare | ast.UnaryOp):
            self._replace(node.test, b"(not (%b))" % self._text(node.test), "condition inverted", function)
        for condition in getattr(node, "ifs", []):
            self._replace(condition, b"(True or %b)" % self._text(condition), "filter left out", function)

    def _compare(self, node: ast.Compare, function: str | None) -> None:
        left = node.left
        for operator, right in zip(node.ops, node.comparators, strict=True):
            new = COMPARISONS[type(operator)]
            old = self.source[self._end(left) : self._start(right)]
            text = old.strip(b" ()\n")
            if text and b"\n" not in old:
                at = self._end(left) + old.index(text)
                self._add(right, at, at + len(text), new.encode(), f"{text.decode()} → {new}", function)
            left = right

    def _bool_op(self, node: ast.BoolOp, function: str | None) -> None:
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        words = [self._text(value) for value in node.values]
        joined = b" %b " % new.encode()
        self._replace(node, b"(%b)" % joined.join(b"(%b)" % word for word in words), f"{old} → {new}", function)

    def _arithmetic(self, node: ast.BinOp | ast.AugAssign, function: str | None) -> None:
        new = OPERATORS.get(type(node.op))
        left, right = (node.left, node.right) if isinstance(node, ast.BinOp) else (node.target, node.value)
        is_text = any(isinstance(each, ast.Constant | ast.JoinedStr) and not _is_number(each) for each in (left, right))
        if new is None or is_text:
            return
        text = f"({self._text(left).decode()}) {new} ({self._text(right).decode()})"
        if isinstance(node, ast.AugAssign):
            text = f"{self._text(left).decode()} {new}= {self._text(right).decode()}"
        self._replace(node, text.encode(), f"arithmetic: {new}", function)

    def _constant(self, node: ast.Constant, function: str | None) -> None:
        if isinstance(node.value, bool):
            self._replace(node, str(not node.value).encode(), f"{node.value} → {not node.value}", function)
        elif _is_number(node):
            self._replace(node, b"(%b + 1)" % self._text(node), f"{node.value} → {node.value} + 1", function)
        elif isinstance(node.value, str | bytes) and b"\n" not in self._text(node):
            text = self._text(node)
            if not text.endswith((b"'''", b'"""')):
                self._replace(node, text[:-1] + b"~" + text[-1:], "text changed", function)

    def _statement(self, node: ast.AST, function: str) -> None:
        if isinstance(node, ast.Return) and node.value is not None and not _is_none(node.value):
            self._replace(node, b"return None", "returns None", function)
        elif isinstance(node, ast.Break | ast.Continue):
            new = "continue" if isinstance(node, ast.Break) else "break"
            self._replace(node, new.encode(), f"→ {new}", function)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            self._replace(node, b"pass", "call left out", function)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute | ast.Subscript):
            self._replace(node, b"pass", "assignment left out", function)
        elif isinstance(node, ast.Delete):
            self._replace(node, b"pass", "deletion left out", function)

    def _start(self, node: ast.expr | ast.stmt) -> int:
        return self._starts[node.lineno - 1] + node.col_offset

    def _end(self, node: ast.expr | ast.stmt) -> int:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._starts[node.end_lineno - 1] + node.end_col_offset

    def _text(self, node: ast.expr | ast.stmt) -> bytes:
        return self.source[self._start(node) : self._end(node)]

    def _replace(self, node: ast.expr | ast.stmt, new: bytes, what: str, function: str | None) -> None:
        start, end = self._start(node), self._end(node)
        # Lines below keep their numbers.
        missing = self.source[start:end].count(b"\n") - new.count(b"\n")
        self._add(node, start, end, new + b" \\\n" * missing if missing else new, what, function)

    def _add(
        self, node: ast.expr | ast.stmt, start: int, end: int, new: bytes, what: str, function: str | None
    ) -> None:
        mutant = Mutant(node.lineno, function, what, start, end, new)
        try:
            compile(mutant.applied(self.source), "mutant", "exec")
        except SyntaxError:
            return
        self.found.append(mutant)


def _is_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool)


def _is_coding(node: ast.AST) -> bool:
    """Codecs are found by many spellings of a name."""
    return (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("encode", "decode")
    )


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def mutants(source: bytes) -> list[Mutant]:
    """All changes of a file, in the order of their places."""
    finder = _Finder(source)
    finder.visit(ast.parse(source), (), None)
    unique = {(each.start, each.end, each.new): each for each in finder.found}
    return sorted(unique.values(), key=lambda each: (each.start, each.end))
