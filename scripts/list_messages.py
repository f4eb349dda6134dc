"""Print every message that a user can meet as `file:line kind: text`, to read them in one pass.

python scripts/list_messages.py [FOLDER ...]

A message is a string in an exception, a log line, text of the command line, a summary, a finding of `posetrack doctor`
or a line about frames that could not be read. Values in a text are shown as {name}.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

ROOT = Path(__file__).parents[1]
FOLDERS = ("posetrack_app", "detectors/posetrack_detectors", "trackers/posetrack_trackers")
LOG_LEVELS = {"debug", "info", "warning", "error", "exception"}
TEXT_CALLS = {"echo", "Finding", "Argument", "secho", "BadParameter", "Progress"}
TEXT_FUNCTIONS = ("summary", "losses", "damage", "problem", "faults", "describe", "check", "warning")
"""A function with one of these words in its name returns or yields text for users."""

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


def main() -> None:
    for folder in sys.argv[1:] or FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            found = {(line, text): kind for line, kind, text in messages(ast.parse(path.read_text()))}
            for (line, text), kind in sorted(found.items()):
                print(f"{path.relative_to(ROOT)}:{line} {kind}: {text}")


def messages(tree: ast.Module) -> Iterator[tuple[int, str, str]]:
    """Line, kind and text of each message in a file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from _in_call(node)
        elif isinstance(node, Function):
            yield from _in_function(node)
        elif isinstance(node, ast.AugAssign) and "losses" in ast.unparse(node.target):
            yield from _texts(node.value, "loss")


def _in_call(call: ast.Call) -> Iterator[tuple[int, str, str]]:
    *owner, name = ast.unparse(call.func).split(".")
    is_log = name in LOG_LEVELS and owner and "log" in owner[-1].lower()
    is_loss = name in ("append", "extend") and owner and owner[-1].strip("_") in ("losses", "notes")
    if name.endswith(("Error", "Exit")) or name in TEXT_CALLS or is_log or is_loss:
        for argument in call.args:
            yield from _texts(argument, name)
    for keyword in call.keywords:
        if keyword.arg in ("help", "epilog"):
            yield from _texts(keyword.value, "help")


def _in_function(function: Function) -> Iterator[tuple[int, str, str]]:
    decorators = " ".join(ast.unparse(decorator) for decorator in function.decorator_list)
    if ".command" in decorators or ".group" in decorators:
        yield function.lineno, "command", " ".join((ast.get_docstring(function) or "").split())
    if any(word in function.name for word in TEXT_FUNCTIONS):
        for node in ast.walk(function):
            if isinstance(node, ast.Return | ast.Yield) and node.value is not None:
                yield from _texts(node.value, function.name)


def _texts(value: ast.expr, kind: str) -> Iterator[tuple[int, str, str]]:
    """The outermost strings in an expression that contain a word."""
    if isinstance(value, ast.JoinedStr):
        yield value.lineno, kind, _joined(value)
    elif isinstance(value, ast.Constant):
        if isinstance(value.value, str) and " " in value.value.strip():
            yield value.lineno, kind, value.value
    else:
        for child in ast.iter_child_nodes(value):
            if isinstance(child, ast.expr):
                yield from _texts(child, kind)


def _joined(value: ast.JoinedStr) -> str:
    pieces: list[str] = []
    for part in value.values:
        if isinstance(part, ast.Constant):
            pieces.append(str(part.value))
        elif isinstance(part, ast.FormattedValue):
            pieces.append(f"{{{ast.unparse(part.value)}}}")
    return "".join(pieces)


if __name__ == "__main__":
    main()
