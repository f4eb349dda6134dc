"""The documentation is complete: commands, options, settings and formats."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields, is_dataclass
from pathlib import Path

import click
import pytest

from posetrack_app.cli import posetrack
from posetrack_app.core.choices import FORMATS
from posetrack_app.core.config import Config

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
SETTINGS = (ROOT / "configs" / "default.toml").read_text()
COMMANDS = sorted(posetrack.commands)
SECTIONS = [field.name for field in fields(Config) if is_dataclass(getattr(Config(), field.name))]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_readme(name: str) -> None:
    assert f"`posetrack {name}" in README


@pytest.mark.parametrize("name", sorted(set(re.findall(r"posetrack ([a-z]+)\b(?=[ `])", README))))
def test_every_command_in_the_readme_exists(name: str) -> None:
    assert name in COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_a_help_text(name: str) -> None:
    command = posetrack.commands[name]
    group = command.commands.values() if isinstance(command, click.Group) else [command]
    for each in group:
        assert each.help, each.name
        for parameter in each.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{each.name} {parameter.name}"


def test_every_format_is_on_its_page() -> None:
    page = (ROOT / "docs" / "formats.md").read_text()
    for name in FORMATS:
        assert f"| `{name}` |" in page, name


def test_every_setting_is_in_the_default_settings() -> None:
    settings = tomllib.loads(SETTINGS)
    assert list(settings) == [field.name for field in fields(Config)]
    for name in SECTIONS:
        assert list(settings[name]) == [field.name for field in fields(getattr(Config(), name))]


def test_every_setting_is_explained() -> None:
    """By a comment on its line, on the line before it, or for "enabled" on that of its section."""
    comment = ""
    for line in SETTINGS.splitlines():
        text, _, own_comment = line.partition("#")
        assert not text.strip() or own_comment.strip() or comment.strip(), line
        comment = own_comment


@pytest.mark.parametrize("name", SECTIONS)
def test_every_section_is_explained(name: str) -> None:
    assert re.search(rf"^\[{name}\] +# \S+", SETTINGS, re.MULTILINE)
