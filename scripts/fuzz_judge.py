"""For scripts/fuzz.py: run a command in this process, and judge how it took what it was given."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from posetrack_app.formats.json_file import load_json
from posetrack_app.formats.validate import find_faults


class FaultError(Exception):
    """posetrack did not take a damaged file well; says how."""


def posetrack(*arguments: object) -> int:
    """Run the command line in this process: 0, or 2 with one line of error; anything else is a fault."""
    from posetrack_app import cli

    said = io.StringIO()
    before = sys.argv
    sys.argv = ["posetrack", *(str(argument) for argument in arguments)]
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            cli.main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    finally:
        sys.argv = before
    lines = [line for line in said.getvalue().splitlines() if line.startswith(("posetrack:", "Error:"))]
    if code not in (0, 2):
        raise FaultError(f"exit code {code}: {said.getvalue()[-500:]}")
    errors = [line for line in lines if " are kept in " not in line]
    if code == 2 and (len(errors) != 1 or said.getvalue().count("\n") > len(lines)):
        raise FaultError(f"not one line of error: {said.getvalue()[-500:]!r}")
    return code


OLD = b"what was here before"


def with_old(target: Path) -> Path:
    target.write_bytes(OLD)
    return target


def judge_output(code: int, target: Path, readable: Callable[[Path], object]) -> None:
    """After success the new file must be whole, after an error the older one must still be there."""
    if code == 0:
        if target.is_file() and target.read_bytes() == OLD:
            raise FaultError(f"said it wrote {target.name} but did not")
        readable(target)
    elif target.is_file() and target.read_bytes() != OLD:
        raise FaultError(f"failed, and the older {target.name} is lost")


def judge_folder(folder: Path, expected: set[str]) -> None:
    left = {path.name for path in folder.iterdir()} - expected
    if left:
        raise FaultError(f"left behind: {', '.join(sorted(left))}")


def must_be_valid(path: Path) -> None:
    faults = find_faults(load_json(path))
    if faults:
        raise FaultError(f"wrote a file that is not valid: {faults[0]}")


def count_frames(path: Path) -> None:
    from posetrack_app.video import open_video

    with open_video(path) as video:
        if sum(1 for _ in video) == 0:
            raise FaultError("wrote a video without frames")


def short_film(frames: int) -> Any:
    from posetrack_app.synthetic import make_film

    film = make_film()
    return replace(
        film, milliseconds=film.milliseconds[:frames], people=film.people[:frames], shots=film.shots[:frames]
    )


def write_film_tracks(path: Path, film: Any) -> None:
    from posetrack_app.formats import TracksWriter
    from posetrack_app.skeleton import POSETRACK

    with TracksWriter(
        path, skeleton=POSETRACK, info={"video": {"file": "f.mp4", "frame_rate": 30.0}}
    ) as writer:
        for index, (seconds, people) in enumerate(zip(film.seconds, film.people, strict=True)):
            writer.write(index, seconds, people)
