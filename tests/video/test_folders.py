"""A folder of images as a video."""

from __future__ import annotations

from pathlib import Path

import clips
import cv2
import numpy as np
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


def test_images_of_other_kinds_are_counted_and_said(tmp_path: Path) -> None:
    """They are missing frames; a camera's raw file beside its JPEG is not."""
    for number in (1, 3, 4):
        cv2.imwrite(str(tmp_path / f"IMG_{number}.jpg"), clips.numbered_image(number)[..., ::-1])
    for name in ("IMG_2.HEIC", "IMG_5.heic", "IMG_4.CR2"):
        (tmp_path / name).write_bytes(b"no readable image")
    with open_video(tmp_path) as video:
        frames = [(frame.info.index, clips.read_number(frame.image)) for frame in video]
    assert frames == [(0, 1), (2, 3), (3, 4)]
    assert video.missing == [(1, 1), (4, 4)]
    assert video.losses == [
        "2 images of a kind that cannot be read (2 HEIC) count as missing frames; convert them to JPEG or PNG"
    ]


def test_a_folder_that_starts_with_an_image_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "1.heic").write_bytes(b"no readable image")
    with pytest.raises(InputError, match=r"1.heic: this image cannot be read; convert it"):
        open_video(tmp_path)
    (tmp_path / "2.avif").write_bytes(b"no readable image")
    with pytest.raises(
        InputError, match=r"its 2 images are of a kind that cannot be read \(1 HEIC, 1 AVIF\)"
    ):
        open_video(tmp_path)
    cv2.imwrite(str(tmp_path / "3.jpg"), clips.numbered_image(3)[..., ::-1])
    _, frames, _ = clips.read(tmp_path)
    assert frames == [(2, 0.08, 3)]


def test_only_the_first_image_of_an_animation_is_read(tmp_path: Path) -> None:
    for ending in ("webp", "png"):
        animation = cv2.Animation()
        animation.frames = [np.ascontiguousarray(clips.numbered_image(k)[..., ::-1]) for k in range(3)]
        animation.durations = [100] * 3
        assert cv2.imwriteanimation(str(tmp_path / f"a.{ending}"), animation)
    _, frames, losses = clips.read(tmp_path)
    assert [number for *_, number in frames] == [0, 0]
    assert losses == [
        f"a.{ending} is an animation: only its first image was read" for ending in ("png", "webp")
    ]
    with pytest.raises(InputError, match="cannot decode an animated WebP; convert it to a video"):
        open_video(tmp_path / "a.webp")
    assert len(clips.read(tmp_path / "a.png")[1]) == 3  # FFmpeg plays this one


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a0", "a1", "a2", "a3"], ""),
        (["0000", "0010", "0020", "0030"], ""),
        (["0000", "0010", "0020", "0050"], "0050.png follows 0020.png; "),
        (["a7", "a8", "a9", "a12", "a13", "a20"], "a12.png follows a9.png, and at 1 more place; "),
        (["a1", "a2", "b7", "b8"], ""),
        (["one", "two"], ""),
    ],
)
def test_gaps_in_the_numbering_are_said(tmp_path: Path, names: list[str], said: str) -> None:
    for name in names:
        cv2.imwrite(str(tmp_path / f"{name}.png"), clips.numbered_image(1)[..., ::-1])
    _, frames, losses = clips.read(tmp_path)
    assert len(frames) == len(names)
    assert bool(losses) == bool(said)
    assert all(said in loss and "numbers of the images have gaps" in loss for loss in losses)


def test_a_folder_of_something_else_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    cv2.imwrite(str(tmp_path / "frames" / "1.png"), clips.numbered_image(1)[..., ::-1])
    with pytest.raises(InputError, match="1 folder in it do, such as frames"):
        open_video(tmp_path)
    (tmp_path / "a.mp4").touch()
    with pytest.raises(InputError, match="contains no images, but 1 video; give one of them"):
        open_video(tmp_path)
    (tmp_path / "frames" / "a.mp4").touch()
    assert clips.read(tmp_path / "frames")[2] == [
        "1 video in this folder of images were not read, such as a.mp4"
    ]


def test_an_image_whose_name_looks_like_a_pattern(tmp_path: Path) -> None:
    """FFmpeg would read shot001.png instead."""
    cv2.imwrite(str(tmp_path / "shot%03d.png"), clips.numbered_image(5)[..., ::-1])
    cv2.imwrite(str(tmp_path / "shot001.png"), clips.numbered_image(7)[..., ::-1])
    assert [number for *_, number in clips.read(tmp_path / "shot%03d.png")[1]] == [5]
