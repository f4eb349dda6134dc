"""No command overwrites an existing file without --force, or its own input at all."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

import clips
import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from posetrack_app.cli import posetrack
from posetrack_app.core.errors import InputError
from posetrack_app.core.records import Detections, FrameInfo
from posetrack_app.core.skeletons import POSETRACK
from posetrack_app.formats import TracksWriter, read_tracks
from posetrack_app.jobs.convert import convert
from posetrack_app.jobs.render import render

OTHER_NAMES = {
    "run csv": (["run", "clip.mp4", "--out", "x.csv"], r"x.csv: tracks are .* JSON; write x.json, then make csv of it "
                                                       "with posetrack convert", "out"),
    "run mp4": (["run", "clip.mp4", "--out", "x.MP4"], "and draw a video with posetrack render", "out"),
    "link txt": (["link", "tracks.json", "--out", "x.txt"], "make mot of it with posetrack convert", "out"),
    "link smooth": (["link", "tracks.json", "--out", "x.json", "--smooth", "savgol"], "part of the second pass",
                    "second_pass"),
    "convert": (["convert", "tracks.json", "--to", "coco", "--out", "x.csv"], "is read as a table", "to"),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_a_name_for_something_else_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_person(Path("tracks.json"))
    arguments, message, option = OTHER_NAMES[name]
    with pytest.raises(InputError, match=message) as refusal:
        CliRunner().invoke(posetrack, arguments, catch_exceptions=False, standalone_mode=False)
    assert refusal.value.option == option
    assert sorted(file.name for file in tmp_path.iterdir()) == ["tracks.json"]


COMMANDS = {
    "convert": ("convert", "tracks.json", "--to", "csv", "--out", "out"),
    "link": ("link", "tracks.json", "--out", "out"),
    "itself": ("link", "tracks.json", "--out", "tracks.json"),
    "render": ("render", "clip.mp4", "tracks.json", "--out", "out.mp4"),
    "contact sheet": ("render", "clip.mp4", "tracks.json", "--contact-sheet", "out.png"),
    "export": ("export", "embedded-pose", "--out", "out"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_an_existing_file_is_kept_unless_force_is_given(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "export":
        pytest.importorskip("onnxruntime", reason="exporting needs posetrack-app[export]")
    monkeypatch.chdir(tmp_path)
    clips.write_clip(Path("clip.mp4"), times=3)
    write_person(Path("tracks.json"))
    command = COMMANDS[name]
    out = Path(command[-1])
    if not out.exists():
        out.write_bytes(b"precious")
    before = out.read_bytes()
    message = rf"^{out} already exists; choose another name or overwrite it$"
    with pytest.raises(InputError, match=message) as refusal:
        CliRunner().invoke(posetrack, command, catch_exceptions=False, standalone_mode=False)
    assert refusal.value.option == "force"
    assert out.read_bytes() == before
    forced = CliRunner().invoke(
        posetrack, [*command, "--force"], catch_exceptions=False, standalone_mode=False
    )
    assert forced.exit_code == 0
    assert out.read_bytes() != before


@pytest.mark.skipif(sys.platform == "win32", reason="needs pipes and links")
@pytest.mark.parametrize("ending", ["csv", "mp4"])
def test_links_are_followed_and_pipes_are_refused(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    clips.write_clip(Path("clip.mp4"), times=3)
    write_person(Path("tracks.json"))
    Path("elsewhere").mkdir()
    Path(f"link.{ending}").symlink_to(f"elsewhere/real.{ending}")
    os.mkfifo(f"pipe.{ending}")
    write = partial(render, "clip.mp4") if ending == "mp4" else partial(convert, to="csv")
    write("tracks.json", out=f"link.{ending}")
    assert Path(f"link.{ending}").is_symlink()
    assert Path(f"elsewhere/real.{ending}").stat().st_size > 100
    with pytest.raises(InputError, match=f"pipe.{ending} is a device or a pipe"):
        write("tracks.json", out=f"pipe.{ending}")
    assert Path(f"pipe.{ending}").is_fifo()
    assert not [file for file in Path("elsewhere").iterdir() if file.name.startswith(".")]


OWN_INPUTS = {
    "clip.mp4": ("clip.mp4", "the video itself"),
    "link.mp4": ("clip.mp4", "the video itself"),
    "link.png": ("clip.mp4", "the video itself"),
    "o.partial.mp4": ("o.partial.mp4", "the video itself"),
    "tracks.json": ("clip.mp4", "the tracks file itself"),
    "images/1.png": ("images", "an image of the video"),
}


@pytest.mark.parametrize("force", [True, False])
@pytest.mark.parametrize("target", OWN_INPUTS)
def test_render_never_overwrites_its_inputs(
    target: str, force: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("clip.mp4", "o.partial.mp4"):
        clips.write_clip(Path(name), times=3)
    write_person(Path("tracks.json"))
    Path("images").mkdir()
    for number in range(3):
        cv2.imwrite(f"images/{number}.png", clips.numbered_image(number))
    Path("link.mp4").symlink_to("clip.mp4")
    Path("link.png").symlink_to("clip.mp4")
    before = Path(target).read_bytes()
    video, what = OWN_INPUTS[target]
    option = "--contact-sheet" if target.endswith(".png") else "--out"
    written = "o.mp4" if "partial" in target else target  # a failed run keeps o.partial.mp4
    command = ["render", video, "tracks.json", option, written, *(["--force"] if force else [])]
    with pytest.raises(InputError, match=rf"^{target} is {what}"):
        CliRunner().invoke(posetrack, command, catch_exceptions=False, standalone_mode=False)
    out, sheet = (None, tmp_path / written) if option == "--contact-sheet" else (tmp_path / written, None)
    for tracks in ("tracks.json", read_tracks(Path("tracks.json"))):
        with pytest.raises(InputError, match=rf"{target} is {what}"):
            render(tmp_path / video, tracks, out, contact_sheet=sheet, force=force)
    assert Path(target).read_bytes() == before
    assert Path(target).is_symlink() == target.startswith("link")


def write_person(path: Path) -> None:
    keypoints = np.random.default_rng(0).uniform(20, 90, (1, 17, 2))
    with TracksWriter(path, skeleton=POSETRACK, info={}) as writer:
        for index in range(3):
            found = Detections.detected(np.array([[10.0, 10, 100, 100]]), np.ones(1))
            poses = found.with_keypoints(keypoints + index, np.ones((1, 17)))
            writer.write(FrameInfo(index, index / 25), poses.with_ids(np.array([7])))
