"""For scripts/fuzz/fuzz.py: run a command in this process, and judge its result."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable
from pathlib import Path

from posetrack_app import cli
from posetrack_app.core.json_file import load_json
from posetrack_app.core.records import FrameInfo
from posetrack_app.core.skeletons import POSETRACK
from posetrack_app.formats import TracksWriter
from posetrack_app.formats.tracks_json.validate import find_faults
from posetrack_app.jobs.synthetic_video import SyntheticVideo
from posetrack_app.video import open_video


class FaultError(Exception):
    """posetrack did not handle a damaged file correctly; the text says how."""


def posetrack(*arguments: object) -> int:
    """Run the command line in this process. Gives 0, or 2 after one line of error; anything else is a fault."""
    stderr = io.StringIO()
    before = sys.argv
    sys.argv = ["posetrack", *(str(argument) for argument in arguments)]
    try:
        with contextlib.redirect_stderr(stderr), contextlib.redirect_stdout(io.StringIO()):
            cli.main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    finally:
        sys.argv = before
    lines = [line for line in stderr.getvalue().splitlines() if line.startswith(("posetrack:", "Error:"))]
    if code not in (0, 2):
        raise FaultError(f"exit code {code}: {stderr.getvalue()[-500:]}")
    errors = [line for line in lines if " are kept in " not in line]
    if code == 2 and (len(errors) != 1 or stderr.getvalue().count("\n") > len(lines)):
        raise FaultError(f"not one line of error: {stderr.getvalue()[-500:]!r}")
    return code


OLD = b"an earlier output"


def with_old(target: Path) -> Path:
    """Write an earlier output to `target`."""
    target.write_bytes(OLD)
    return target


def judge_output(code: int, target: Path, readable: Callable[[Path], object]) -> None:
    """After success the new file must be readable; after an error the earlier one must be unchanged."""
    if code == 0:
        if target.is_file() and target.read_bytes() == OLD:
            raise FaultError(f"reported success, but did not write {target.name}")
        readable(target)
    elif target.is_file() and target.read_bytes() != OLD:
        raise FaultError(f"failed, and the earlier {target.name} is lost")


def judge_folder(folder: Path, expected: set[str]) -> None:
    """Nothing but the `expected` files may be in the folder."""
    left = {path.name for path in folder.iterdir()} - expected
    if left:
        raise FaultError(f"left behind: {', '.join(sorted(left))}")


def must_be_valid(path: Path) -> None:
    faults = find_faults(load_json(path))
    if faults:
        raise FaultError(f"wrote a file that is not valid: {faults[0]}")


def count_frames(path: Path) -> None:
    with open_video(path) as video:
        if sum(1 for _ in video) == 0:
            raise FaultError("wrote a video without frames")


def write_true_tracks(path: Path, video: SyntheticVideo) -> None:
    """The true tracks of a synthetic video."""
    info = {"video": {"file": "f.mp4", "frame_rate": 30.0}}
    with TracksWriter(path, skeleton=POSETRACK, info=info) as writer:
        for index, (seconds, people) in enumerate(zip(video.seconds, video.people, strict=True)):
            writer.write(FrameInfo(index, seconds), people)
