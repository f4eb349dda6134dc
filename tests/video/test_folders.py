"""A folder of images as a video."""

from __future__ import annotations

from pathlib import Path

import clips
import cv2
import pytest

from posetrack_app.core.errors import InputError
from posetrack_app.video import open_video


def test_a_folder_of_images_in_natural_order(tmp_path: Path) -> None:
    for number in (0, 1, 2, 10, 11):
        image = clips.numbered_image(number)
        cv2.imwrite(str(tmp_path / f"img{number}.png"), image[..., ::-1])
    (tmp_path / "notes.txt").write_text("no image")
    info, frames, losses = clips.read(tmp_path, fps=10.0)
    assert frames == [(0, 0.0, 0), (1, 0.1, 1), (2, 0.2, 2), (3, 0.3, 10), (4, 0.4, 11)]
    assert info.frame_rate == 10
    assert losses == [
        "the numbers of the images have gaps: img10.png follows img2.png; frames are counted without them"
    ]


@pytest.mark.parametrize(("fps", "rate"), [(None, 25.0), (30.0, 30.0), (0.5, 0.5)])
def test_the_frame_rate_gives_the_times(tmp_path: Path, fps: float | None, rate: float) -> None:
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), clips.numbered_image(number)[..., ::-1])
    info, frames, _ = clips.read(tmp_path, fps=fps)
    assert [seconds for _, seconds, _ in frames] == [number / rate for number in range(3)]
    assert (info.frame_rate, info.seconds) == (rate, 3 / rate)


def test_hidden_files_are_skipped(tmp_path: Path) -> None:
    """macOS adds a `._` file for each image on disks with other file systems."""
    cv2.imwrite(str(tmp_path / "img0.png"), clips.numbered_image(0)[..., ::-1])
    (tmp_path / "._img0.png").write_bytes(b"\0\5\26\7")
    _, frames, losses = clips.read(tmp_path)
    assert [(index, number) for index, _, number in frames] == [(0, 0)]
    assert losses == []


def test_a_folder_without_read_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: Path) -> None:  # root can read any folder
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(InputError, match="no permission to read this folder"):
        open_video(tmp_path)


def test_a_bad_image_is_a_gap(tmp_path: Path) -> None:
    """An image of another size keeps it and starts a new shot."""
    for number in range(4):
        size = (96, 64) if number != 2 else (64, 96)
        cv2.imwrite(str(tmp_path / f"{number}.png"), clips.numbered_image(number, *size)[..., ::-1])
    (tmp_path / "1.png").write_bytes(b"no image")
    with open_video(tmp_path) as video:
        frames = [(frame.info, clips.read_number(frame.image)) for frame in video]
    assert [(info.index, number) for info, number in frames] == [(0, 0), (2, 2), (3, 3)]
    assert [(info.size, info.is_cut) for info, _ in frames] == [
        ((96, 64), False),
        ((64, 96), True),
        ((96, 64), True),
    ]
    assert video.missing == [(1, 1)]
    assert "1.png" in video.losses[0]
    assert "at frame 2 from 96x64 to 64x96 pixels, and 1 more time later" in video.losses[1]


def test_an_image_that_cannot_be_opened_is_a_gap(tmp_path: Path) -> None:
    for number in range(5):
        cv2.imwrite(str(tmp_path / f"{number}.png"), clips.numbered_image(number)[..., ::-1])
    with open_video(tmp_path) as video:
        for name in ("1.png", "3.png"):
            (tmp_path / name).unlink()
        (tmp_path / "3.png").mkdir()  # root can read any file, but not this
        assert [frame.info.index for frame in video] == [0, 2, 4]
    assert video.losses == [f"frame {index} ({index}.png) could not be read" for index in (1, 3)]
    assert video.missing == [(1, 1), (3, 3)]


def test_a_folder_without_images(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="contains no images"):
        open_video(tmp_path)
    (tmp_path / "1.jpg").write_bytes(b"")
    with pytest.raises(InputError, match="cannot be read"):
        open_video(tmp_path)
