"""Frames of one video file by the GPU's own decoder, NVDEC, through PyNvVideoCodec (extra `[gpu]`).

Packets come from PyAV, which also reads for the other decoders, and each one carries its frame's index through the
decoder; so a frame that comes out is known by the number on it and by nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import av
import numpy as np
from av.bitstream import BitStreamFilterContext

from posetrack_app.video.info import DecoderFailedError
from posetrack_app.video.probe import Probe, open_stream
from posetrack_app.video.pyav_frames import Picture

_CODECS = {
    "h264": ("H264", "h264_mp4toannexb"),
    "hevc": ("HEVC", "hevc_mp4toannexb"),
    "av1": ("AV1", ""),
    "vp9": ("VP9", ""),
}
"""FFmpeg's name of a codec -> PyNvVideoCodec's, and the filter that makes packets stand alone."""


class NvdecPictures:
    """Iterates NVDEC's pictures of the frames `wanted`, copied to the computer's memory.

    `size` is (width, height) as displayed, `rotation` the clockwise turn that makes it so. Raises
    DecoderFailedError, here or while iterating, where the file cannot be read so, or no further.
    """

    def __init__(self, video: Probe, wanted: range, size: tuple[int, int], rotation: int) -> None:
        self._library = _library()
        self._video = video
        self._wanted = wanted
        self._shape = (size[1], size[0], 3)
        self._turns = rotation // 90
        self.name = f"NVDEC (PyNvVideoCodec {self._library.__version__})"

    def __iter__(self) -> Iterator[Picture]:
        times = self._video.seconds
        expected = self._wanted.start
        for index, image in self._frames():
            if index < self._wanted.start:
                continue  # from the key frame before
            if index != expected:
                raise DecoderFailedError(f"NVDEC gave frame {index} for frame {expected}")
            expected += 1
            if index in self._wanted:
                upright = np.ascontiguousarray(np.rot90(image, -self._turns))
                if upright.shape != self._shape:
                    raise DecoderFailedError(f"NVDEC's frame {index} is {upright.shape}, not {self._shape}")
                yield index, times[index], upright
            if index == self._wanted[-1]:
                return
        raise DecoderFailedError(f"NVDEC stopped at frame {expected}")

    def _frames(self) -> Iterator[tuple[int, Any]]:
        """(index, (H, W, 3) uint8 RGB as stored) of each frame, in the order of their display."""
        try:
            decoder = None
            for codec, number, data in self._packets():
                decoder = decoder or self._library.CreateDecoder(
                    gpuid=0,
                    codec=getattr(self._library.cudaVideoCodec, codec),
                    usedevicememory=False,
                    outputColorType=self._library.OutputColorType.RGB,
                )
                packet = self._library.PacketData()
                packet.bsl, packet.bsl_data, packet.pts = len(data), data.ctypes.data, number
                for frame in decoder.Decode(packet):
                    index = frame.getPTS() - 1
                    if not 0 <= index < self._video.frame_count:
                        continue  # before the start of an edit list: decoded, never shown
                    # The decoder writes its next picture over this one.
                    yield index, np.from_dlpack(frame).copy()
        except _failures(self._library) as error:
            raise DecoderFailedError(f"NVDEC failed ({_first_line(error)})") from error
        except (av.FFmpegError, ValueError) as error:
            raise DecoderFailedError(f"NVDEC cannot be given this stream ({_first_line(error)})") from error

    def _packets(self) -> Iterator[tuple[str, int, Any]]:
        """(codec, index + 1, bytes) of the packets from before `wanted` to behind it; an empty one ends the stream.

        0 for a packet that is never shown.
        """
        video = self._video
        with open_stream(video.path) as (container, stream):
            name = stream.codec_context.name
            codec, filter_name = _CODECS.get(stream.codec_context.codec.canonical_name, ("", ""))
            if not codec:
                raise DecoderFailedError(f"NVDEC is not asked for {name}")
            alone = BitStreamFilterContext(filter_name, stream) if filter_name else None
            if self._wanted.start:
                container.seek(video.pts[self._wanted.start], stream=stream, backward=True)
            begun = False
            for packet in container.demux(stream):
                begun = begun or packet.is_keyframe  # without an index a seek lands anywhere
                if not packet.size or not begun:
                    continue
                if packet.is_keyframe and packet.pts > video.pts[self._wanted[-1]]:
                    break
                index = video.index_of(packet.pts)
                number = 0 if index is None else index + 1
                for part in alone.filter(packet) if alone else (packet,):
                    yield codec, number, np.frombuffer(bytes(part), np.uint8)
            yield codec, 0, np.empty(0, np.uint8)


def why_not_nvdec() -> str:
    """Why this machine cannot decode by NVDEC; "" where it may."""
    try:
        _library()
    except DecoderFailedError as error:
        return str(error)
    return ""


def _library() -> Any:
    try:
        import PyNvVideoCodec
    except ModuleNotFoundError as error:
        raise DecoderFailedError("NVDEC needs pip install 'posetrack-app[gpu]'") from error
    except (ImportError, OSError, RuntimeError) as error:  # RuntimeError: it looks for the driver on import
        raise DecoderFailedError(f"PyNvVideoCodec cannot be used ({_first_line(error)})") from error
    return PyNvVideoCodec


def _failures(library: Any) -> tuple[type[Exception], ...]:
    """What the library raises: its own exceptions, and C++'s as RuntimeError."""
    own = [getattr(library, name) for name in dir(library) if name.startswith("PyNvVCException")]
    return (RuntimeError, *own)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
