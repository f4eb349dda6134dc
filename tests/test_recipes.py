"""The commands in the documentation and in the container recipes exist, and the images get every file they need."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from pathlib import Path

import click
import pytest

from posetrack_app.cli import posetrack
from posetrack_app.models import weights

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
RECIPES = [ROOT / "Dockerfile", ROOT / "Dockerfile.cuda"]
PROGRAM = re.compile(r"posetrack(:\w+|\.sif)?$")
"""The command, or an image of it."""


def blocks(page: Path) -> list[str]:
    return re.findall(r"^```\w*\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def commands(block: str) -> list[list[str]]:
    """The arguments of every posetrack command in a block of shell or YAML."""
    found = [json.loads(row) for row in re.findall(r"^ *args: (\[.*\])$", block, re.MULTILINE)]
    for line in block.replace("\\\n", " ").splitlines():
        if not re.search(r"(^|[ /])posetrack[ :.]", line) or line.startswith("|"):
            continue
        for part in re.split(r"&&|;|\|", line):
            words = shlex.split(part, comments=True)
            # The last one: `docker build -t posetrack .` has none that is followed by a command.
            places = [place for place, word in enumerate(words[:-1]) if PROGRAM.match(word)]
            runs = words and words[0] in ("posetrack", "docker", "apptainer", "srun")
            if places and runs and words[1:2] not in (["build"], ["save"]):
                found.append(words[places[-1] + 1 :])
    return found


def check(arguments: list[str]) -> None:
    """click.ClickException for an unknown command or option."""
    command: click.Command = posetrack
    context = click.Context(posetrack)
    while isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
        if arguments[0] not in command.commands and "add" in command.commands:
            arguments = ["add", *arguments]  # `posetrack edit TRACKS ...`
        name, found, arguments = command.resolve_command(context, list(arguments))
        assert found is not None, name
        command, context = found, click.Context(found, parent=context)
    command.make_parser(context).parse_args(list(arguments))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_in_the_documentation_exists(page: Path) -> None:
    for block in blocks(page):
        for arguments in commands(block):
            try:
                check(arguments)
            except click.ClickException as error:
                pytest.fail(f"{page.name}: posetrack {shlex.join(arguments)}: {error.format_message()}")


def test_the_commands_are_found_and_checked() -> None:
    page = "\n".join(blocks(ROOT / "docs" / "containers.md"))
    found = commands(page)
    assert ["run", "--list", "/data/lists/$(JOB_COMPLETION_INDEX).txt"] in [words[:3] for words in found]
    assert ["doctor"] in found
    assert len(found) == 7
    with pytest.raises(click.NoSuchOption):
        check(["run", "a.mp4", "--outt", "b"])
    with pytest.raises(click.UsageError):
        check(["runn", "a.mp4"])


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.name)
def test_the_recipe(recipe: Path) -> None:
    text = recipe.read_text()
    assert re.findall(r"^ENTRYPOINT (.*)$", text, re.MULTILINE) == ['["posetrack"]']
    assert "posetrack" in PROJECT["project"]["scripts"]
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE) == ["1000"], (
        "a number: Kubernetes checks that it is not root"
    )
    for extra in re.findall(r"/src\[(\w+)\]", text):
        assert extra in PROJECT["project"]["optional-dependencies"]
    known = {weights.FOLDER_VARIABLE, weights.MIRROR_VARIABLE, weights.OFFLINE_VARIABLE}
    assert set(re.findall(r"POSETRACK_\w+", text)) <= known
    for words in re.findall(r'^RUN (\["posetrack".*\])$', text, re.MULTILINE):
        check(json.loads(words)[1:])


def test_the_image_gets_every_file_of_the_package() -> None:
    """`.dockerignore` leaves out everything but what it names."""
    ignored, *rest = [
        line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"
    ]
    assert ignored == "*"
    kept = {line[1:] for line in rest if line[0] == "!"}
    assert all((ROOT / name).exists() for name in kept)
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = [
        "pyproject.toml",
        PROJECT["project"]["readme"],
        *PROJECT["project"]["license-files"],
        *wheel["packages"],
        *wheel["force-include"],
    ]
    assert {name.partition("/")[0] for name in needed} == kept
