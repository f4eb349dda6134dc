"""Contact sheets and clips of possible id switches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import clips
import cv2
import pytest
from click.testing import CliRunner
from fakes import people

from posetrack_app.cli import posetrack
from posetrack_app.core.errors import InputError
from posetrack_app.core.records import FrameInfo
from posetrack_app.core.skeletons import POSETRACK
from posetrack_app.drawing.draw import colour_of
from posetrack_app.formats import TracksWriter
from posetrack_app.jobs.render import render

FOUND = [
    {"frame": 6, "ids": [1, 2], "reason": "exchanged", "score": 0.8},
    {"frame": 10, "ids": [2], "reason": "jump", "score": 0.3},
]


def write_scene(folder: Path, found: Sequence[dict[str, Any]] | None = FOUND) -> tuple[Path, Path]:
    """A clip of 20 frames, in which each shows its number, and two people who move right."""
    seconds = clips.write_clip(folder / "in.mp4")
    info: dict[str, Any] = {} if found is None else {"possible_id_switches": list(found)}
    with TracksWriter(folder / "t.json", skeleton=POSETRACK, info=info) as writer:
        for index, at in enumerate(seconds):
            writer.write(FrameInfo(index, at), people({1: (10.0 + index, 5), 2: (90.0 + index, 40)}))
    return folder / "in.mp4", folder / "t.json"


def test_a_sheet_of_each(tmp_path: Path) -> None:
    video, tracks = write_scene(tmp_path)
    assert render(video, tracks, possible_id_switches=tmp_path / "out") == 2
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["000006_exchanged_1-2.png", "000010_jump_2.png"]
    sheet = cv2.imread(str(tmp_path / "out" / names[0]))
    assert sheet is not None
    rows, columns = (sheet.shape[0] - 22) / 2, sheet.shape[1] / 4
    for row in range(2):
        for column in range(4):
            top, left = int(22 + row * rows), int(column * columns)
            cell = sheet[top : top + int(rows) - 26, left : left + int(columns) - 4]
            for number in (1, 2):
                colour = colour_of(number)[::-1]
                assert (abs(cell.astype(int) - colour).max(axis=2) < 30).any(), (row, column, number)


def test_a_clip_of_each(tmp_path: Path) -> None:
    video, tracks = write_scene(tmp_path)
    assert render(video, tracks, possible_id_switches=tmp_path / "out", clip=True) == 2
    with av.open(str(tmp_path / "out" / "000010_jump_2.mp4")) as container:
        frames = list(container.decode(video=0))
    assert len(frames) == 20, "1.5 seconds on both sides, here the whole film"
    assert (frames[0].width, frames[0].height) <= (640, 480)


def test_only_the_chosen_people(tmp_path: Path) -> None:
    video, tracks = write_scene(tmp_path)
    assert render(video, tracks, possible_id_switches=tmp_path / "out", only_ids=[1]) == 1


def test_nothing_to_show(tmp_path: Path) -> None:
    video, tracks = write_scene(tmp_path, [])
    arguments = ["render", str(video), str(tracks), "--possible-id-switches", str(tmp_path / "out")]
    result = CliRunner().invoke(posetrack, arguments, catch_exceptions=False)
    assert result.output == f"{tmp_path / 'out'}: 0 possible id switches, so nothing is written\n"
    assert not (tmp_path / "out").exists()


def test_people_who_are_not_there_are_left_out(tmp_path: Path) -> None:
    video, tracks = write_scene(tmp_path, [*FOUND, {"frame": 4, "ids": [9], "reason": "new", "score": 0.1}])
    assert render(video, tracks, possible_id_switches=tmp_path / "out") == 2


def test_a_reason_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    video, tracks = write_scene(tmp_path, [{"frame": 4, "ids": [1], "reason": "/../../new", "score": 0.1}])
    render(video, tracks, possible_id_switches=tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["000004_-------new_1.png"]


def test_tracks_without_a_list_are_refused(tmp_path: Path) -> None:
    video, tracks = write_scene(tmp_path, None)
    with pytest.raises(InputError, match="has no list of possible id switches"):
        render(video, tracks, possible_id_switches=tmp_path / "out")


def test_an_existing_folder_is_refused(tmp_path: Path) -> None:
    video, tracks = write_scene(tmp_path)
    with pytest.raises(InputError, match="already exists; give the name of a new folder"):
        render(video, tracks, possible_id_switches=tmp_path)


def test_the_clip_option_needs_the_folder(tmp_path: Path) -> None:
    arguments = ["render", "in.mp4", "t.json", "--contact-sheet", "s.png", "--clip"]
    result = CliRunner().invoke(posetrack, arguments)
    assert "--clip goes with --possible-id-switches FOLDER" in result.output
