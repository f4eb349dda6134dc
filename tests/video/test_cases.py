"""Inputs of public bug reports of other tools; `cases/` holds those that a script here cannot make.

Every image of the cases shows its own number: 8 bits, lowest first, as blocks in the top strip.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import clips
import cv2
import numpy as np
import pytest
from fakes import BoxEstimator
from numpy.typing import NDArray

from posetrack_app.core.config import load_config
from posetrack_app.core.errors import InputError
from posetrack_app.core.json_file import load_json
from posetrack_app.core.protocols import Networks
from posetrack_app.core.skeletons import POSETRACK
from posetrack_app.drawing.overlay import letterboxed
from posetrack_app.formats import read_tracks
from posetrack_app.formats.tracks_json.validate import find_faults
from posetrack_app.jobs.render import render
from posetrack_app.jobs.track import track_video
from posetrack_app.video import open_video

CASES = Path(__file__).parent / "cases"


def number_of(image: NDArray[np.uint8]) -> int:
    """The number that an image of the cases shows; it must be 384 x 288."""
    return sum(1 << bit for bit in range(8) if image[12, 48 * bit + 24].mean() > 127)


def read(path: Path, **span: Any) -> tuple[list[tuple[float, int]], Any]:
    """([(seconds, number)], the reader) of a case."""
    with open_video(path, **span) as video:
        return [(round(frame.info.seconds, 4), number_of(frame.image)) for frame in video], video


@pytest.mark.parametrize("ending", ["avi", "mov"])
def test_a_camera_film_with_exif(ending: str) -> None:
    """PyAV lists FFmpeg's side data up to version 7, and raises ValueError for EXIF."""
    frames, video = read(CASES / f"V50_camera_exif.{ending}")
    assert frames == [(round(k / 10, 4), k) for k in range(6)]
    assert video.losses == []


def test_a_single_image_is_turned_as_in_a_folder(tmp_path: Path) -> None:
    """All eight orientations of EXIF."""
    picture = cv2.imread(str(CASES / "single_exif6.jpg"), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    assert picture is not None
    encoded = cv2.imencode(".jpg", cv2.resize(picture, (96, 72)))[1].tobytes()
    for orientation in range(1, 9):
        folder = tmp_path / str(orientation)
        folder.mkdir()
        exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01" + bytes([0, orientation]) + bytes(6)
        segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
        (folder / "a.jpg").write_bytes(encoded[:2] + segment + encoded[2:])
        with open_video(folder / "a.jpg") as single, open_video(folder) as images:
            one, other = next(iter(single)).image, next(iter(images)).image
        assert one.shape == other.shape == ((96, 72, 3) if orientation > 4 else (72, 96, 3))
        assert np.abs(one.astype(int) - other).mean() < 3, orientation


def test_the_single_image_of_a_phone_is_upright() -> None:
    with open_video(CASES / "single_exif6.jpg") as video:
        assert (video.info.width, video.info.height, video.info.rotation) == (288, 384, 90)


@pytest.mark.parametrize(("name", "rate"), [("V02_raw30.h264", 30.0), ("V02_raw15.hevc", 15.0)])
def test_a_raw_stream_says_its_rate(name: str, rate: float) -> None:
    frames, video = read(CASES / name)
    assert [number for _, number in frames] == list(range(60))
    assert np.allclose([seconds for seconds, _ in frames], np.arange(60) / rate, atol=1e-4)
    assert video.info.seconds == pytest.approx(60 / rate)
    assert video.losses == []


def test_a_raw_stream_without_a_rate_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "clip.mjpeg"
    path.write_bytes(
        b"".join(cv2.imencode(".jpg", clips.numbered_image(k)[..., ::-1])[1].tobytes() for k in range(5))
    )
    assert clips.read(path)[2] == ["the stream does not say its frame rate; 25 frames per second are assumed"]
    info, frames, losses = clips.read(path, fps=10)
    assert [(seconds, number) for _, seconds, number in frames] == [(k / 10, k) for k in range(5)]
    assert (info.frame_rate, losses) == (10, [])


@pytest.mark.parametrize("b_frames", ["0", "2"])
def test_packets_without_times_at_the_start(tmp_path: Path, b_frames: str) -> None:
    """A broadcast that was cut: they lie at the usual distance before the first known time."""
    path = tmp_path / "clip.ts"
    clips.write_clip(path, times=30, options={"bf": b_frames, "g": "10"})
    content = bytearray(path.read_bytes())
    cleared = 0
    for start in range(0, len(content), 188):
        payload = start + 4 + (1 + content[start + 4] if content[start + 3] & 0x20 else 0)
        is_start = content[start + 1] & 0x40 and content[payload : payload + 3] == b"\0\0\1"
        if is_start and 0xE0 <= content[payload + 3] <= 0xEF and cleared < 6:
            content[payload + 7] &= 0x3F  # no time stamps
            cleared += 1
    path.write_bytes(content)
    _, frames, losses = clips.read(path)
    assert [(index, number) for index, _, number in frames] == [(k, k) for k in range(30)]
    assert np.allclose([seconds for _, seconds, _ in frames], np.arange(30) / 25, atol=1e-3)
    assert losses == []
    assert clips.read(path, start=0.4)[1] == frames[10:]


def test_times_that_cannot_be_true_are_reported(tmp_path: Path) -> None:
    clips.write_clip(tmp_path / "fast.mkv", times=list(range(20)))
    assert clips.read(tmp_path / "fast.mkv")[2] == [
        "19 frames of 20 follow the one before by a millisecond or less: the times of this video are not reliable"
    ]
    times = [40 * k + (7_200_000 if k > 9 else 0) for k in range(20)]
    clips.write_clip(tmp_path / "jump.mkv", times=times)
    assert clips.read(tmp_path / "jump.mkv")[2] == [
        "after frame 9 the times jump by 7200 s; they may be wrong"
    ]


def test_xvid_with_dropped_chunks_and_b_frames() -> None:
    """The chunks of an AVI are its clock, 0.1 s each; an image is put out one chunk after its own."""
    frames, video = read(CASES / "V03_dropped_xvid_b.avi")
    # Chunks 10 to 14 and 30 are empty; frames 15 and 31 were decoded without the frames they need.
    numbers = [*range(9), 15, *range(16, 29), 31, *range(32, 59)]
    expected = [0.0] + [round((number + 1) / 10, 4) for number in numbers[1:]]
    assert [seconds for seconds, _ in frames] == expected
    assert frames[-1] == (5.9, 58)
    assert [found for _, found in frames if found not in (9, 29)] == [
        number for number in numbers if number not in (15, 31)
    ]
    assert (video.info.frame_count, video.losses) == (51, [])


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_b_frames_in_an_avi(tmp_path: Path, codec: str) -> None:
    """FFmpeg's presentation times of this H.264 are out of order: the frames were taken for damaged."""
    clips.write_clip(tmp_path / "clip.avi", times=30, codec=codec, options={"bf": "2", "g": "9"})
    _, frames, losses = clips.read(tmp_path / "clip.avi")
    assert [(index, number) for index, _, number in frames] == [(k, k) for k in range(30)]
    assert np.allclose([seconds for _, seconds, _ in frames], np.arange(30) / 25, atol=1e-3)
    assert losses == []


class OnePerson:
    """A detector that finds one person who fills the left half of every image."""

    def __call__(self, images: Any, /) -> Any:
        return [
            (np.array([[0.0, 0.0, image.shape[1] / 2, image.shape[0]]]), np.array([0.99])) for image in images
        ]


def fake_networks() -> Networks:
    return Networks(OnePerson(), BoxEstimator(), POSETRACK, "cpu", "float32", {})


def test_a_size_change_is_a_cut_with_the_coordinates_of_its_own_images(tmp_path: Path) -> None:
    out, overlay = tmp_path / "tracks.json", tmp_path / "overlay.mp4"
    report = track_video(
        CASES / "V01_size_change.mkv", out, networks=fake_networks(), config=load_config("default", None),
        overlay=overlay,
    )  # fmt: skip
    assert report.losses == [
        "the size of the images changes at frame 20 from 384x288 to 216x288 pixels: coordinates are pixels of each "
        "frame's own image, and each change is a cut"
    ]
    assert find_faults(load_json(out)) == []
    frames = read_tracks(out).frames
    assert [frame.info.size for frame in frames] == [(384, 288)] * 20 + [(216, 288)] * 20
    assert [frame.info.index for frame in frames if frame.info.is_cut] == [20]
    assert frames[0].people.boxes.tolist() == [[0, 0, 192, 288]]
    assert frames[-1].people.boxes.tolist() == [[0, 0, 108, 288]]
    assert frames[0].people.ids[0] != frames[-1].people.ids[0]
    with open_video(overlay) as video:
        images = [frame.image for frame in video]
    assert {image.shape for image in images} == {(288, 384, 3)}
    assert images[-1][:, :80].max() < 40, "black bars"
    assert images[-1][:, 90:290].mean() > 60
    assert render(CASES / "V01_size_change.mkv", out, tmp_path / "again.mp4", side_by_side=True) == 40
    sheet = tmp_path / "sheet.png"
    assert render(CASES / "V01_size_change.mkv", out, contact_sheet=sheet) == 2


def test_tracks_that_start_after_a_size_change_are_drawn(tmp_path: Path) -> None:
    out = tmp_path / "tracks.json"
    track_video(CASES / "V01_size_change.mkv", out, networks=fake_networks(), start=3.0)
    assert read_tracks(out).info["video"]["width"] == 216
    assert render(CASES / "V01_size_change.mkv", out, tmp_path / "overlay.mp4") == 10
    with pytest.raises(
        InputError, match=r"made from a video of 216x288 pixels, but .* has 384x288 in frame 30"
    ):
        render(CASES / "V02_raw30.h264", out, tmp_path / "wrong.mp4")


def test_letterboxing_keeps_the_shape() -> None:
    image = np.full((50, 100, 3), 200, np.uint8)
    wide = letterboxed(image, (300, 300))
    assert (wide[75:225] == 200).all()
    assert (wide[:75] == 0).all()
    assert (wide[225:] == 0).all()
    assert letterboxed(image, (100, 50)) is image


def test_the_film_is_read_not_the_thumbnails(tmp_path: Path) -> None:
    frames, video = read(CASES / "V08_two_streams.mkv")
    assert frames == [(round(k / 10, 4), k) for k in range(60)]
    assert video.losses == ["stream 1 (384x288) is read; the video also has stream 0 (160x120)"]
    with open_video(CASES / "V08_two_streams.mkv", video_stream=0) as thumbnails:
        assert [frame.info.size for frame in thumbnails] == [(160, 120)] * 6
    with pytest.raises(InputError, match=r"stream 7 is not .*: stream 0 \(160x120\), stream 1 \(384x288\)"):
        open_video(CASES / "V08_two_streams.mkv", video_stream=7)
    out = tmp_path / "tracks.json"
    track_video(CASES / "V08_two_streams.mkv", out, networks=fake_networks(), video_stream=0)
    assert read_tracks(out).info["video"]["stream"] == 0
    assert render(CASES / "V08_two_streams.mkv", out, tmp_path / "overlay.mp4") == 6


def test_the_program_with_the_largest_images_is_read(tmp_path: Path) -> None:
    """A broadcast with two programs, none of which is marked as the default."""
    container: Any = av.open(str(tmp_path / "two.ts"), "w")
    with container:
        streams = [container.add_stream("libx264", rate=25) for _ in range(2)]
        for stream, size in zip(streams, ((80, 56), (160, 112)), strict=True):
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for number in range(10):
            for stream in streams:
                image = clips.numbered_image(number, stream.width, stream.height)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        for stream in streams:
            container.mux(stream.encode(None))
    info, frames, losses = clips.read(tmp_path / "two.ts")
    assert (info.width, info.stream) == (160, 1)
    assert [number for *_, number in frames] == list(range(10))
    assert losses == ["stream 1 (160x112) is read; the video also has stream 0 (80x56)"]


def test_a_cut_file_keeps_its_last_sound_frames() -> None:
    """FFmpeg's frame threads lose those that wait for the damaged one."""
    frames, video = read(CASES / "V13_frag_cut.mp4")
    assert frames == [(round(k / 10, 4), k) for k in range(30)]
    assert video.missing == [(30, 30)]
    assert "the file is cut off: its header says 4.0 s, it contains 3.1 s" in video.losses
