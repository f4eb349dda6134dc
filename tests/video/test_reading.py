"""Reading a video file: which frames, at which times, and how they are oriented."""

from __future__ import annotations

import gc
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import clips
import numpy as np
import pytest

from posetrack_app.video import open_video
from posetrack_app.video.writer import VideoWriter

UNEVEN = [86, 153, 209, 243, 300, 301, 450, 470, 480, 1100, 1133, 1166, 1200, 1290, 1300]
"""Milliseconds: the frame times of a phone, with a late start and a freeze."""


@pytest.mark.parametrize("ending", ["mp4", "mkv", "mov", "avi", "ts"])
@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_every_frame_once_at_its_time(tmp_path: Path, ending: str, codec: str) -> None:
    """With B-frames too, frame k has index k and time k / 25 s."""
    path = tmp_path / f"clip.{ending}"
    base = Fraction(1, 25)
    bidirectional = {"bf": "0"} if ending == "avi" else {"bf": "2", "g": "7"}
    seconds = clips.write_clip(path, times=30, codec=codec, options=bidirectional, time_base=base)
    info, frames, losses = clips.read(path)
    assert [number for _, _, number in frames] == list(range(30))
    assert [index for index, _, _ in frames] == list(range(30))
    assert np.allclose([time for _, time, _ in frames], seconds, atol=1e-3)
    assert (info.width, info.height, info.rotation, info.frame_count) == (160, 112, 0, 30)
    assert info.frame_rate == pytest.approx(25, rel=1e-3)
    assert info.seconds == pytest.approx(1.2, abs=0.05)
    assert losses == []
    assert info.decoder.startswith("decord")


@pytest.mark.parametrize(
    ("ending", "codec", "options"),
    [
        ("h264", "libx264", {"bf": "2"}),
        ("h264", "libx264", {"bf": "0"}),
        ("m2v", "mpeg2video", {"bf": "2"}),
        ("hevc", "libx265", {"bf": "2"}),
    ],
)
@pytest.mark.parametrize(("fps", "rate"), [(None, 25.0), (50.0, 50.0), (29.97, 29.97)])
def test_a_raw_stream_has_the_given_frame_rate(
    tmp_path: Path, ending: str, codec: str, options: dict[str, str], fps: float | None, rate: float
) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV cannot encode {codec}")
    path = tmp_path / f"clip.{ending}"
    clips.write_clip(path, times=12, codec=codec, options=options, time_base=Fraction(1, 25))
    info, frames, losses = clips.read(path, fps=fps)
    assert [(index, number) for index, _, number in frames] == [(k, k) for k in range(12)]
    assert np.allclose([seconds for _, seconds, _ in frames], np.arange(12) / rate, atol=1e-6)
    assert info.frame_rate == pytest.approx(rate)
    assert info.seconds == pytest.approx(12 / rate, abs=1e-6)
    assert losses == []
    if fps is not None:
        later = clips.read(path, fps=fps, start=5 / fps, stop=8 / fps)[1]
        assert later == frames[5:8]


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_uneven_frame_times_are_true(tmp_path: Path, ending: str) -> None:
    seconds = clips.write_clip(tmp_path / f"clip.{ending}", times=UNEVEN)
    info, frames, _ = clips.read(tmp_path / f"clip.{ending}")
    assert np.allclose([time for _, time, _ in frames], seconds, atol=1e-3)
    assert [number for _, _, number in frames] == list(range(len(UNEVEN)))
    assert info.start_seconds == pytest.approx(0.086, abs=1e-3)


@pytest.mark.parametrize("size", [(160, 112), (96, 96)], ids=["ordinary", "narrow: decord confuses the rows"])
@pytest.mark.parametrize(("counter_clockwise", "clockwise"), [(0, 0), (90, 270), (180, 180), (270, 90)])
def test_images_are_upright(
    tmp_path: Path, size: tuple[int, int], counter_clockwise: int, clockwise: int
) -> None:
    """The red corner is at the top left of the stored image; the display matrix says where it is displayed."""
    clips.write_clip(tmp_path / "clip.mp4", times=5, rotation=counter_clockwise, size=size)
    with open_video(tmp_path / "clip.mp4") as video:
        images = [frame.image for frame in video]
        assert video.info.rotation == clockwise
        assert video.info.decoder.startswith("decord") or size == (96, 96)
        assert images[0].shape == (video.info.height, video.info.width, 3)
        assert (video.info.width, video.info.height) == (size if clockwise % 180 == 0 else size[::-1])
    for number, image in enumerate(images):
        upright = np.rot90(image, clockwise // 90)
        assert image.flags.c_contiguous
        assert clips.read_number(upright) == number
        assert upright[4, 4, 0] > 200
        assert upright[4, 4, 2] < 60


def test_a_mirrored_video_is_mirrored_for_display(tmp_path: Path) -> None:
    clips.write_clip(tmp_path / "clip.mp4", times=3, mirrored=True)
    with open_video(tmp_path / "clip.mp4") as video:
        images = [frame.image for frame in video]
        assert "PyAV" in video.info.decoder
        assert video.info.rotation == 0
    assert [clips.read_number(image[:, ::-1]) for image in images] == [0, 1, 2]


@pytest.mark.parametrize(
    ("span", "indices"),
    [
        ({"start": 0.4}, range(10, 60)),
        ({"stop": 0.4}, range(10)),
        ({"start": 0.41, "stop": 1.0}, range(11, 25)),
        ({"stride": 7}, range(0, 60, 7)),
        ({"start": 1.0, "stop": 2.0, "stride": 3}, range(25, 50, 3)),
    ],
)
@pytest.mark.parametrize("ending", ["mp4", "ts"])
def test_a_span_keeps_the_indices_of_the_video(
    tmp_path: Path, ending: str, span: dict[str, Any], indices: range
) -> None:
    clips.write_clip(tmp_path / f"clip.{ending}", times=60, options={"g": "9", "bf": "2"})
    with open_video(tmp_path / f"clip.{ending}", **span) as video:
        assert video.expected == len(indices)
        frames = [
            (frame.info.index, round(frame.info.seconds, 3), clips.read_number(frame.image))
            for frame in video
        ]
    assert frames == [(index, round(index / 25, 3), index) for index in indices]


@pytest.mark.parametrize("pixel_format", ["gray", "yuv444p", "yuv420p10le"])
def test_unusual_pixel_formats_become_rgb(tmp_path: Path, pixel_format: str) -> None:
    clips.write_clip(tmp_path / "clip.mp4", times=4, pixel_format=pixel_format)
    _, frames, _ = clips.read(tmp_path / "clip.mp4")
    assert [number for _, _, number in frames] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("codec", "ending", "pixel_format"),
    [
        ("libx265", "mp4", "yuv420p"),
        ("libx265", "mp4", "yuv420p10le"),
        ("libvpx-vp9", "webm", "yuva420p"),
        ("libsvtav1", "mp4", "yuv420p"),
        ("prores_ks", "mov", "yuva444p10le"),
        ("png", "mov", "rgba"),
    ],
)
def test_other_codecs_and_alpha(tmp_path: Path, codec: str, ending: str, pixel_format: str) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV cannot encode {codec}")
    path = tmp_path / f"clip.{ending}"
    clips.write_clip(path, times=8, codec=codec, pixel_format=pixel_format)
    _, frames, losses = clips.read(path)
    assert [(index, number) for index, _, number in frames] == [(k, k) for k in range(8)]
    assert losses == []


def test_odd_sizes(tmp_path: Path) -> None:
    clips.write_clip(tmp_path / "clip.mp4", times=4, size=(97, 65), pixel_format="yuv444p")
    info, frames, _ = clips.read(tmp_path / "clip.mp4")
    assert (info.width, info.height) == (97, 65)
    assert [number for _, _, number in frames] == [0, 1, 2, 3]


def test_frames_of_another_size_keep_it(tmp_path: Path) -> None:
    """Some broadcasts and video calls change it. decord would continue in the old or the new size."""
    target: Any = av.open(str(tmp_path / "both.ts"), "w")
    with target:
        for first, size in ((0, (160, 112)), (100, (320, 224))):
            path = tmp_path / f"{first}.ts"
            times = [40 * (first + k) for k in range(100)]
            clips.write_clip(path, times=times, options={"g": "10", "bf": "0"}, size=size)
            with av.open(str(path)) as source:
                stream = (
                    target.streams.video[0] if first else target.add_stream_from_template(source.streams[0])
                )
                for packet in source.demux(video=0):
                    if packet.size:
                        packet.stream = stream
                        target.mux(packet)
    with open_video(tmp_path / "both.ts") as video:
        frames = [(frame.info, clips.read_number(frame.image)) for frame in video]
        assert "the same size in every frame" in video.info.decoder
    assert [(info.index, number) for info, number in frames] == [(k, k % 100) for k in range(200)]
    assert [info.size for info, _ in frames] == [(160, 112)] * 100 + [(320, 224)] * 100
    assert [info.index for info, _ in frames if info.is_cut] == [100]
    assert video.losses == [
        "the size of the images changes at frame 100 from 160x112 to 320x224 pixels: coordinates are pixels of each "
        "frame's own image, and each change is a cut"
    ]


def test_pyav_continues_where_decord_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For each of decord's errors; DECORDLimitReachedError is not a subclass of DECORDError."""
    import decord

    clips.write_clip(tmp_path / "clip.mp4", times=20)
    for error in (decord.DECORDError, decord.DECORDLimitReachedError):
        grab = decord.VideoReader.next
        grabbed = iter(range(20))

        def give_up(reader: Any, grab: Any = grab, grabbed: Any = grabbed, error: Any = error) -> Any:
            if next(grabbed) == 7:
                raise error("gives up")
            return grab(reader)

        with monkeypatch.context() as patched:
            patched.setattr(decord.VideoReader, "next", give_up)
            info, frames, losses = clips.read(tmp_path / "clip.mp4")
        assert [(index, number) for index, _, number in frames] == [(k, k) for k in range(20)]
        assert "PyAV" in info.decoder
        assert not losses


def test_the_ffmpeg_log_is_off_while_threads_decode(tmp_path: Path) -> None:
    """torchvision up to 0.25 turns it on, and then PyAV's decoder threads may deadlock."""
    path = tmp_path / "clip.mp4"
    clips.write_clip(path, times=3)
    for setting in (av.logging.ERROR, None):
        av.logging.set_level(setting)
        with open_video(path):
            assert av.logging.get_level() is None
    info = clips.read(path)[0]
    av.logging.set_level(av.logging.ERROR)
    with VideoWriter(tmp_path / "out.mp4", info) as overlay:
        assert av.logging.get_level() is None
        overlay.write(0.0, clips.numbered_image(1))


def test_without_a_gpu_decoder_the_cpu_is_used_and_named(tmp_path: Path) -> None:
    clips.write_clip(tmp_path / "clip.mp4", times=10)
    info, frames, _ = clips.read(tmp_path / "clip.mp4", device="cuda")
    assert [number for _, _, number in frames] == list(range(10))
    assert "GPU" in info.decoder


def _resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
@pytest.mark.parametrize(
    ("ending", "codec", "decoder"), [("mp4", "mpeg4", "decord"), ("avi", "libx264", "PyAV")]
)
def test_a_slow_reader_does_not_fill_the_memory(
    tmp_path: Path, ending: str, codec: str, decoder: str
) -> None:
    """700 frames of 270 KiB are 185 MiB; decord alone would decode them all while its caller waits."""
    clips.write_clip(tmp_path / f"clip.{ending}", times=700, codec=codec, size=(360, 256))
    gc.collect()
    gc.disable()  # frames must be freed without the garbage collector
    try:
        with open_video(tmp_path / f"clip.{ending}") as video:
            assert video.info.decoder.startswith(decoder)
            for frame in video:
                if frame.info.index == 0:
                    early = _resident_mib()
                if frame.info.index < 50:
                    time.sleep(0.02)
                if frame.info.index == 50:
                    assert _resident_mib() - early < 80
        assert _resident_mib() - early < 80
    finally:
        gc.enable()


@pytest.mark.data
def test_the_real_clips(shared: Path) -> None:
    counts = {"soccer_5frames.mp4": 5, "street_5frames.mp4": 5, "street_8frames.mp4": 8}
    for name, count in counts.items():
        with open_video(shared / "data" / "video" / name) as video:
            assert len(list(video)) == count
            assert video.info.decoder.startswith("decord")
            assert video.losses == []
