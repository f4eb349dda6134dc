"""Interlaced video is deinterlaced: one image per frame, at the time of the frame."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import clips
import numpy as np
import pytest

from posetrack_app.video import open_video
from posetrack_app.video.deinterlace import deinterlaced

H264 = {"x264-params": "interlaced=1:tff=1", "g": "10"}
MPEG2 = {"flags": "+ilme+ildct", "g": "10"}


def combing(image: Any) -> float:
    """Mean difference between neighbouring lines in the quarter with the moving bar."""
    height, width = image.shape[:2]
    quarter = image[2 : height // 2 - 2, width // 2 :].astype(int)
    return float(np.abs(np.diff(quarter, axis=0)).mean())


@pytest.mark.parametrize(
    ("ending", "codec", "options"),
    [
        ("mp4", "libx264", H264),
        ("ts", "libx264", H264),
        ("mkv", "mpeg2video", MPEG2),
        ("h264", "libx264", H264),
    ],
)
@pytest.mark.parametrize("span", [{}, {"start": 0.6, "stop": 1.2, "stride": 2}], ids=["all", "span"])
def test_frames_are_deinterlaced_at_their_times(
    tmp_path: Path, ending: str, codec: str, options: dict[str, str], span: dict[str, Any]
) -> None:
    path, base = tmp_path / f"clip.{ending}", Fraction(1, 25)
    clips.write_clip(path, times=40, codec=codec, options=options, interlaced=True, time_base=base)
    with open_video(path, **span) as video:
        frames = list(video)
    wanted = range(15, 30, 2) if span else range(40)
    assert "deinterlaced with bwdif" in video.info.decoder
    assert [(frame.info.index, clips.read_number(frame.image)) for frame in frames] == [
        (k, k) for k in wanted
    ]
    assert np.allclose([frame.info.seconds for frame in frames], np.array(wanted) / 25, atol=2e-3)
    assert max(combing(frame.image) for frame in frames) < 5
    assert video.losses == []


def test_the_rotation_for_display_is_applied(tmp_path: Path) -> None:
    clips.write_clip(tmp_path / "clip.mp4", times=4, options=H264, interlaced=True, rotation=180)
    with open_video(tmp_path / "clip.mp4") as video:
        images = [frame.image[::-1, ::-1] for frame in video]
    assert video.info.rotation == 180
    assert [clips.read_number(image) for image in images] == [0, 1, 2, 3]


def test_a_stream_is_deinterlaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips.write_clip(tmp_path / "clip.ts", times=20, options=H264, interlaced=True)
    with (tmp_path / "clip.ts").open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        with open_video("-") as video:
            frames = list(video)
    assert "bwdif" in video.info.decoder
    assert [(frame.info.index, clips.read_number(frame.image)) for frame in frames] == [
        (k, k) for k in range(20)
    ]
    assert np.allclose([frame.info.seconds for frame in frames], np.arange(20) / 25, atol=2e-3)
    assert max(combing(frame.image) for frame in frames) < 5


def test_progressive_frames_are_not_changed(tmp_path: Path) -> None:
    """Progressive, interlaced, then progressive frames of another size: every note once, in order."""
    frames: list[Any] = []
    for name, size, interlaced in (("a", (160, 112), False), ("b", (160, 112), True), ("c", (96, 64), False)):
        clips.write_clip(
            tmp_path / f"{name}.mkv",
            times=6,
            size=size,
            interlaced=interlaced,
            options=H264 if interlaced else None,
        )
        with av.open(str(tmp_path / f"{name}.mkv")) as video:
            frames += video.decode(video=0)
    frames = [*frames[:12], *frames[:6], *frames[12:]]
    notes, outputs = zip(*deinterlaced(enumerate(frames)), strict=True)
    assert notes == tuple(range(24))
    for note, frame, output in zip(notes, frames, outputs, strict=True):
        same = np.array_equal(frame.to_ndarray(format="rgb24"), output.to_ndarray(format="rgb24"))
        assert same != frame.interlaced_frame, note


@pytest.mark.parametrize("span", [{}, {"stop": 1.0}], ids=["all", "the progressive part"])
def test_a_video_that_becomes_interlaced(tmp_path: Path, span: dict[str, Any]) -> None:
    """Some broadcast recordings do. decord would not deinterlace the later frames."""
    for name, options in (("a", {"g": "10"}), ("b", H264)):
        clips.write_clip(tmp_path / f"{name}.ts", times=30, options=options, interlaced=name == "b")
    joined: Any = av.open(str(tmp_path / "clip.ts"), "w")
    with joined:
        stream = None
        for name, later in (("a", 0), ("b", 30 * 3600)):
            part: Any = av.open(str(tmp_path / f"{name}.ts"))
            with part:
                stream = stream or joined.add_stream_from_template(part.streams.video[0])
                for packet in part.demux(video=0):
                    if packet.dts is not None:
                        packet.pts, packet.dts = packet.pts + later, packet.dts + later
                        packet.stream = stream
                        joined.mux(packet)
    with open_video(tmp_path / "clip.ts", **span) as video:
        frames = list(video)
        assert ("bwdif" in video.info.decoder) == (not span)
    assert [clips.read_number(frame.image) for frame in frames] == [
        *range(30 if not span else 25),
        *range(0 if span else 30),
    ]
    assert max(combing(frame.image) for frame in frames) < 5
