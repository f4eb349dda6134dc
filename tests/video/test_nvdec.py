"""NVDEC: with a stand-in for PyNvVideoCodec, and with the library itself on a GPU.

The stand-in has the library's names and decodes with PyAV. Like NVDEC, it sees only the bytes of the packets, not the
headers that the container stores elsewhere.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import av
import clips
import numpy as np
import pytest
from numpy.typing import NDArray

from posetrack_app.video import open_video
from posetrack_app.video.nvdec_frames import NvdecImages, why_not_nvdec
from posetrack_app.video.probe import probe
from posetrack_app.video.pyav_frames import pyav_images


class UnsupportedError(Exception):
    """The library's error for a codec that the GPU does not support."""


class DecodedFrame(np.ndarray[Any, Any]):
    number: int

    def getPTS(self) -> int:  # noqa: N802 (the library's name)
        return self.number


class StandInDecoder:
    lost: frozenset[int] = frozenset()
    swapped = False
    refuses = False

    def __init__(self, *, gpuid: int, codec: str, usedevicememory: bool, outputColorType: str) -> None:  # noqa: N803
        assert (gpuid, usedevicememory, outputColorType) == (0, False, "RGB")
        if self.refuses:
            raise UnsupportedError("Codec not supported on this GPU\nat line 12")
        self._context: Any = av.CodecContext.create(codec.lower(), "r")

    def Decode(self, packet: Any) -> list[DecodedFrame]:  # noqa: N802
        data = ctypes.string_at(packet.bsl_data, packet.bsl)
        given = None
        if data:
            given = av.Packet(data)
            given.pts = packet.pts
        frames = [self._frame(frame) for frame in self._context.decode(given)]
        return [frame for frame in frames if frame.number - 1 not in self.lost]

    def _frame(self, frame: Any) -> DecodedFrame:
        image: NDArray[np.uint8] = frame.to_ndarray(format="rgb24")
        decoded = image[..., ::-1].view(DecodedFrame) if self.swapped else image.view(DecodedFrame)
        decoded.number = frame.pts
        return decoded


@pytest.fixture
def decoder(monkeypatch: pytest.MonkeyPatch) -> type[StandInDecoder]:
    """Install the stand-in as the library; returns its decoder, whose faults can be set."""
    library: Any = ModuleType("PyNvVideoCodec")
    library.__version__ = "0 (stand-in)"
    library.cudaVideoCodec = SimpleNamespace(H264="H264", HEVC="HEVC", AV1="libdav1d", VP9="VP9")
    library.OutputColorType = SimpleNamespace(RGB="RGB")
    library.PacketData = SimpleNamespace
    library.PyNvVCExceptionUnsupported = UnsupportedError
    library.CreateDecoder = type("Decoder", (StandInDecoder,), {})
    monkeypatch.setitem(sys.modules, "PyNvVideoCodec", library)
    return library.CreateDecoder  # type: ignore[no-any-return]


def read(path: Path, **span: Any) -> tuple[str, list[tuple[int, int]], list[str]]:
    """(decoder, [(index, number in the image)], losses), as on a machine with a GPU."""
    with open_video(path, device="cuda", **span) as video:
        frames = [(frame.info.index, clips.read_number(frame.image)) for frame in video]
        return video.info.decoder, frames, video.losses


@pytest.mark.parametrize(
    ("codec", "ending"),
    [("libx264", "mp4"), ("libx264", "mkv"), ("libx264", "ts"), ("libx265", "mp4"), ("libvpx-vp9", "webm"),
     ("libsvtav1", "mp4")],
)  # fmt: skip
@pytest.mark.parametrize("span", [{}, {"start": 0.6, "stop": 1.2, "stride": 2}], ids=["all", "span"])
def test_every_frame_once(
    tmp_path: Path, decoder: type[StandInDecoder], codec: str, ending: str, span: dict[str, Any]
) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV cannot encode {codec}")
    options = {"bf": "2", "g": "7"} if codec == "libx264" else {"g": "7"}
    clips.write_clip(tmp_path / f"clip.{ending}", times=40, codec=codec, options=options)
    name, frames, losses = read(tmp_path / f"clip.{ending}", **span)
    if not span or ending != "ts":  # a transport stream has no index of key frames
        assert name == "NVDEC (PyNvVideoCodec 0 (stand-in))"
    assert frames == [(k, k) for k in (range(15, 30, 2) if span else range(40))]
    assert losses == []


@pytest.mark.parametrize("counter_clockwise", [90, 180, 270])
def test_images_are_upright(tmp_path: Path, decoder: type[StandInDecoder], counter_clockwise: int) -> None:
    clips.write_clip(tmp_path / "clip.mp4", times=5, rotation=counter_clockwise)
    with open_video(tmp_path / "clip.mp4", device="cuda") as video:
        images = [frame.image for frame in video]
        assert "NVDEC" in video.info.decoder
    as_stored = [np.rot90(image, -counter_clockwise // 90) for image in images]
    assert [clips.read_number(image) for image in as_stored] == list(range(5))
    assert images[0].flags.c_contiguous


def test_a_frame_that_it_skips_comes_from_another_decoder(
    tmp_path: Path, decoder: type[StandInDecoder]
) -> None:
    clips.write_clip(tmp_path / "clip.mp4", times=30, options={"bf": "2", "g": "7"})
    for lost in ({12}, {29}, {0}):
        decoder.lost = frozenset(lost)
        name, frames, losses = read(tmp_path / "clip.mp4")
        assert frames == [(k, k) for k in range(30)]
        assert losses == []
        if lost != {0}:
            assert f"from frame {min(lost)} PyAV" in name
        else:
            assert name.startswith("decord")


def test_decord_reads_what_it_cannot(tmp_path: Path, decoder: type[StandInDecoder]) -> None:
    clips.write_clip(tmp_path / "clip.mp4", times=5)
    clips.write_clip(tmp_path / "old.mp4", times=5, codec="mpeg4")
    name, frames, _ = read(tmp_path / "old.mp4")
    assert name.startswith("decord")
    assert "NVDEC is not used for mpeg4" in name
    decoder.swapped = True
    name, frames, _ = read(tmp_path / "clip.mp4")
    assert "its first frame is not frame 0 of the file" in name
    decoder.refuses = True
    name, frames, _ = read(tmp_path / "clip.mp4")
    assert name.startswith("decord")
    assert "NVDEC failed (Codec not supported on this GPU)" in name
    assert frames == [(k, k) for k in range(5)]


def test_without_the_library_or_its_driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clips.write_clip(tmp_path / "clip.mp4", times=3)
    monkeypatch.setitem(sys.modules, "PyNvVideoCodec", None)
    assert why_not_nvdec() == "NVDEC needs pip install 'posetrack-app[gpu]'"
    monkeypatch.delitem(sys.modules, "PyNvVideoCodec")
    # The library looks for the driver when it is imported.
    (tmp_path / "PyNvVideoCodec.py").write_text(
        "raise RuntimeError('Failed to load NVENC library\\n\\nSteps')"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert why_not_nvdec() == "PyNvVideoCodec cannot be used (Failed to load NVENC library)"
    name, frames, _ = read(tmp_path / "clip.mp4")
    assert name.startswith("decord")
    assert "Failed to load NVENC library" in name
    assert len(frames) == 3


@pytest.mark.gpu
@pytest.mark.parametrize(("codec", "rotation"), [("libx264", 0), ("libx264", 90), ("libx265", 0)])
def test_the_library_returns_the_frames_of_pyav(tmp_path: Path, codec: str, rotation: int) -> None:
    pytest.importorskip("PyNvVideoCodec", exc_type=ImportError)
    path = tmp_path / "clip.mp4"
    clips.write_clip(path, times=60, codec=codec, size=(320, 256), options={"g": "12"}, rotation=rotation)
    video = probe(path)
    size = (320, 256) if rotation == 0 else (256, 320)
    expected = list(pyav_images(video, range(60)))
    found = list(NvdecImages(video, range(60), size, -rotation % 360))
    assert [image[:2] for image in found] == [image[:2] for image in expected]
    for one, other in zip(found, expected, strict=True):
        assert np.abs(one[2].astype(int) - other[2]).mean() < 2
