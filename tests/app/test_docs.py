"""The README names every command, and its commands exist."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from posetrack_app.cli import posetrack

README = (Path(__file__).parents[2] / "README.md").read_text()
COMMANDS = sorted(posetrack.commands)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_stands_in_the_readme(name: str) -> None:
    assert f"`posetrack {name}" in README


@pytest.mark.parametrize("name", sorted(set(re.findall(r"posetrack ([a-z]+)\b(?=[ `])", README))))
def test_every_command_of_the_readme_exists(name: str) -> None:
    assert name in COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_explained(name: str) -> None:
    command = posetrack.commands[name]
    groups = command.commands.values() if isinstance(command, click.Group) else [command]
    for each in groups:
        assert each.help, each.name
        for option in each.params:
            assert isinstance(option, click.Argument) or option.help, f"{each.name} {option.name}"  # type: ignore[attr-defined]


def test_every_format_stands_on_its_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "formats.md").read_text()
    to = next(option for option in posetrack.commands["convert"].params if option.name == "to")
    for name in to.type.choices:  # type: ignore[attr-defined]
        assert f"| `{name}` |" in page
