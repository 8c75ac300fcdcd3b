#!/usr/bin/env python3
"""Usage: no_text_matching.py [FILE...]   Fail where code decides on the words of an exception.

Words change with releases, languages and device names, so errors are told apart by type and number.
Errors of other people's backends have nothing else: only
`proxyconn/failures/foreign_errors.py` may read them.

Found are comparisons, string tests, regular expressions and look-ups on `str(error)`, on
`repr(error)`, on an f-string with the error, on `error.args` or `error.message`, also by way of a
local name. An error is the name of an `except` clause, or a parameter annotated with, or named
like, an exception.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("proxyconn", "backends", "proto")
ALLOWED = ROOT / "proxyconn" / "failures" / "foreign_errors.py"

TEXT_FUNCTIONS = {"str", "repr", "format", "ascii"}
TEXT_ATTRIBUTES = {"args", "message", "msg", "strerror", "details"}
TESTS = {"startswith", "endswith", "find", "rfind", "index", "rindex", "count"}
CHANGES = {"lower", "upper", "casefold", "strip", "split", "partition", "replace", "join", "format"}
PATTERNS = {"match", "search", "fullmatch", "findall", "finditer"}
ERROR_NAMES = {"err", "error", "exc", "ex", "exception"}
Function = ast.FunctionDef | ast.AsyncFunctionDef


class Finder(ast.NodeVisitor):
    """Collects the lines of one function (or module) that decide on an error's text."""

    def __init__(self, errors: set[str]) -> None:
        self.errors = errors
        self.texts: set[str] = set()
        self.lines: set[int] = set()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Look into a function."""
        self.enter(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        """Look into a coroutine function."""
        self.enter(node)

    def enter(self, node: Function) -> None:
        """Look into a nested function with its own parameters added."""
        inner = Finder(self.errors | error_parameters(node))
        inner.texts = set(self.texts)
        for statement in node.body:
            inner.visit(statement)
        self.lines |= inner.lines

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        """Remember the name of the caught error."""
        if node.name:
            self.errors = self.errors | {node.name}
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        """Follow text into local names."""
        self.generic_visit(node)
        if self.is_text(node.value):
            self.texts |= {one.id for one in node.targets if isinstance(one, ast.Name)}

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        """Follow text into names assigned within an expression."""
        self.generic_visit(node)
        if self.is_text(node.value):
            self.texts.add(node.target.id)

    def visit_Compare(self, node: ast.Compare) -> None:
        """Find comparisons and memberships."""
        self.judge(node, [node.left, *node.comparators])

    def visit_Match(self, node: ast.Match) -> None:
        """Find match statements."""
        self.judge(node, [node.subject])

    def visit_Subscript(self, node: ast.Subscript) -> None:
        """Find look-ups by text in a table."""
        self.judge(node, [node.slice])

    def visit_Call(self, node: ast.Call) -> None:
        """Find string tests, patterns, and look-ups with get()."""
        suspects: list[ast.expr] = []
        if isinstance(node.func, ast.Attribute):
            if node.func.attr in TESTS:
                suspects.append(node.func.value)
            if node.func.attr in PATTERNS | {"get"}:
                suspects.extend(node.args)
        self.judge(node, suspects)

    def judge(self, node: ast.expr | ast.stmt, suspects: list[ast.expr]) -> None:
        """Note the line if any of the deciding expressions is an error's text."""
        if any(self.is_text(one) for one in suspects):
            self.lines.add(node.lineno)
        self.generic_visit(node)

    def is_error(self, node: ast.expr) -> bool:
        """Tell whether an expression is an error in hand, or its cause or context."""
        if isinstance(node, ast.Attribute) and node.attr in {"__cause__", "__context__"}:
            return self.is_error(node.value)
        return isinstance(node, ast.Name) and node.id in self.errors

    def is_text(self, node: ast.expr) -> bool:
        """Tell whether an expression holds the text of an error."""
        match node:
            case ast.Name(id=name):
                return name in self.texts
            case ast.JoinedStr(values=values):
                formatted = [one.value for one in values if isinstance(one, ast.FormattedValue)]
                return any(self.is_error(one) or self.is_text(one) for one in formatted)
            case ast.Attribute(value=value, attr=attribute):
                return attribute in TEXT_ATTRIBUTES and self.is_error(value)
            case ast.Subscript(value=value) | ast.NamedExpr(value=value):
                return self.is_text(value)
            case ast.Call(func=ast.Name(id=name), args=[argument, *_]):
                return name in TEXT_FUNCTIONS and (
                    self.is_error(argument) or self.is_text(argument)
                )
            case ast.Call(func=ast.Attribute(value=value, attr=method), args=arguments):
                changed = method in CHANGES
                return changed and any(self.is_text(one) for one in (value, *arguments))
        return False


def error_parameters(function: Function) -> set[str]:
    """Return the parameters of a function that are exceptions."""
    arguments = function.args
    found = set()
    for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
        annotation = ast.unparse(one.annotation) if one.annotation else ""
        typed = (
            any(word in annotation for word in ("Exception", "Error")) and "type[" not in annotation
        )
        if typed or (not annotation and one.arg in ERROR_NAMES):
            found.add(one.arg)
    return found


def decisions(source: str) -> list[int]:
    """Return the lines of a module that decide on the text of an exception."""
    finder = Finder(set())
    finder.visit(ast.parse(source))
    return sorted(finder.lines)


def modules() -> Iterator[Path]:
    """Yield the modules of our packages that must not read error texts."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if path != ALLOWED:
                yield path


def main(arguments: list[str]) -> int:
    """Print every finding; return the exit status."""
    status = 0
    for path in [Path(one) for one in arguments] or modules():
        for line in decisions(path.read_text(encoding="utf-8")):
            print(f"{path}:{line}: decides on the text of an exception")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
