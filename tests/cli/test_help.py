"""The help texts, and the messages that the command line shows."""

from __future__ import annotations

import ast
import logging
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import posetrack_app
from posetrack_app.cli import main, posetrack
from posetrack_app.core.config import presets_folder
from posetrack_app.core.errors import InputError

PACKAGE = Path(posetrack_app.__file__).parent


def commands(group: click.Group) -> Iterator[click.Command]:
    """All commands, also those of groups."""
    for command in group.commands.values():
        yield command
        if isinstance(command, click.Group):
            yield from commands(command)


@pytest.mark.parametrize("name", [None, "dataset", "train", "weights"])
def test_every_command_is_described_in_one_complete_line(name: str | None) -> None:
    group = posetrack if name is None else posetrack.commands[name]
    assert isinstance(group, click.Group)
    for command in group.commands.values():
        assert not command.get_short_help_str(limit=80 - 6 - len("benchmark")).endswith("..."), command.name


def test_the_help_of_preset_names_every_preset() -> None:
    presets = {file.stem for file in presets_folder().glob("*.toml")}
    found = [
        option for command in commands(posetrack) for option in command.params if option.name == "preset"
    ]
    assert len(found) == 3  # run, link, benchmark
    for option in found:
        assert isinstance(option, click.Option)
        text = str(option.help).partition(":")[2]
        assert set(re.findall(r"\w+", text)) - {"or"} == presets


def test_only_the_command_line_names_options() -> None:
    """Elsewhere a message must also make sense in Python; `InputError.option` adds the option."""
    options = {
        name
        for command in commands(posetrack)
        for parameter in command.params
        for name in parameter.opts
        if name.startswith("--")
    }
    option = re.compile(rf"({'|'.join(sorted(map(re.escape, options)))})(?![\w-])")
    for file in sorted(PACKAGE.rglob("*.py")):
        if file.parent.name != "cli":
            for text in _messages(file):
                assert not option.search(text) or "pip install" in text, f"{file}: {text}"


def _messages(file: Path) -> Iterator[str]:
    """All strings of a module except docstrings."""
    nodes = list(ast.walk(ast.parse(file.read_text())))
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def run_main(monkeypatch: pytest.MonkeyPatch, error: Exception | None) -> int:
    """The exit code of `main` if the command logs a message and then raises `error`."""

    def command(**_: object) -> None:
        logging.getLogger("posetrack").info("reading %s", "a.mp4")
        if error is not None:
            raise error

    monkeypatch.setattr(posetrack, "main", command)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["posetrack"])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (InputError("a.json already exists; overwrite it", option="force"), "a.json already exists; overwrite it (--force)"),
        (InputError("not a number", option="keypoint_threshold"), "not a number (--keypoint-threshold)"),
        (InputError("two\nlines"), r"two\nlines"),
        (click.UsageError("wrong option."), "wrong option; see posetrack --help"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, line: str
) -> None:
    assert run_main(monkeypatch, error) == 2
    assert capsys.readouterr().err == f"posetrack: reading a.mp4\nposetrack: {line}\n"


def test_log_messages_are_shown_on_standard_error_only_while_a_command_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    handlers = list(logging.getLogger("posetrack").handlers)
    assert run_main(monkeypatch, None) == 0
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "posetrack: reading a.mp4\n")
    assert logging.getLogger("posetrack").handlers == handlers
