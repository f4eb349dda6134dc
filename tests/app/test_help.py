"""The first lines that a newcomer reads."""

from __future__ import annotations

import click
import pytest

from posetrack_app.cli import posetrack


@pytest.mark.parametrize("name", [None, "dataset", "train", "weights"])
def test_every_command_says_in_one_whole_line_what_it_does(name: str | None) -> None:
    group = posetrack if name is None else posetrack.get_command(click.Context(posetrack), name)
    assert isinstance(group, click.Group)
    context = click.Context(group)
    for command in group.list_commands(context):
        found = group.get_command(context, command)
        assert found is not None
        assert not found.get_short_help_str(limit=80 - 6 - len("benchmark")).endswith("..."), command
