"""Frames of a video file from NVDEC, NVIDIA's hardware decoder, through PyNvVideoCodec (extra `[gpu]`).

PyAV reads the packets, as for the other decoders. Each packet carries the index of its frame through the decoder, so
the index of every decoded frame is certain.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import av
import numpy as np
from av.bitstream import BitStreamFilterContext

from posetrack_app.video.info import DecoderFailedError
from posetrack_app.video.probe import Probe, open_stream
from posetrack_app.video.pyav_frames import TimedImage

_CODECS = {
    "h264": ("H264", "h264_mp4toannexb"),
    "hevc": ("HEVC", "hevc_mp4toannexb"),
    "av1": ("AV1", ""),
    "vp9": ("VP9", ""),
}
"""FFmpeg's name of a codec -> PyNvVideoCodec's name, and the filter that makes packets self-contained."""


class NvdecImages:
    """Yields the frames `wanted` of a file, copied to main memory.

    `size` is (width, height) as displayed, `rotation` the clockwise rotation applied for that, `card` the number of the
    GPU. Raises DecoderFailedError, here or while iterating, if NVDEC cannot read the file or stops before its end.
    """

    def __init__(
        self, video: Probe, wanted: range, size: tuple[int, int], rotation: int, card: int = 0
    ) -> None:
        self._library = _library()
        self._card = card
        self._video = video
        self._wanted = wanted
        self._shape = (size[1], size[0], 3)
        self._turns = rotation // 90
        self.name = f"NVDEC (PyNvVideoCodec {self._library.__version__})"

    def __iter__(self) -> Iterator[TimedImage]:
        times = self._video.seconds
        expected = self._wanted.start
        for index, image in self._frames():
            if index < self._wanted.start:
                continue  # between the key frame and the first wanted frame
            if index != expected:
                raise DecoderFailedError(f"NVDEC returned frame {index} instead of frame {expected}")
            expected += 1
            if index in self._wanted:
                upright = np.ascontiguousarray(np.rot90(image, -self._turns))
                if upright.shape != self._shape:
                    raise DecoderFailedError(
                        f"frame {index} from NVDEC is {upright.shape}, not {self._shape}"
                    )
                yield index, times[index], upright
            if index == self._wanted[-1]:
                return
        raise DecoderFailedError(f"NVDEC stopped at frame {expected}")

    def _frames(self) -> Iterator[tuple[int, Any]]:
        """(index, (H, W, 3) uint8 RGB as stored) of each frame, in display order."""
        try:
            decoder = None
            for codec, number, data in self._packets():
                decoder = decoder or self._library.CreateDecoder(
                    gpuid=self._card,
                    codec=getattr(self._library.cudaVideoCodec, codec),
                    usedevicememory=False,
                    outputColorType=self._library.OutputColorType.RGB,
                )
                packet = self._library.PacketData()
                packet.bsl, packet.bsl_data, packet.pts = len(data), data.ctypes.data, number
                for frame in decoder.Decode(packet):
                    index = frame.getPTS() - 1
                    if not 0 <= index < self._video.frame_count:
                        continue  # before the start of an edit list: decoded but not displayed
                    # Copied, because the decoder reuses the memory for its next frame.
                    yield index, np.from_dlpack(frame).copy()
        except _failures(self._library) as error:
            raise DecoderFailedError(f"NVDEC failed ({_first_line(error)})") from error
        except (av.FFmpegError, ValueError) as error:
            raise DecoderFailedError(
                f"this stream cannot be read for NVDEC ({_first_line(error)})"
            ) from error

    def _packets(self) -> Iterator[tuple[str, int, Any]]:
        """(codec, index + 1, bytes) of the packets needed for `wanted`; an empty one ends the stream.

        The number is 0 for a packet that is not displayed.
        """
        video = self._video
        with open_stream(video.path, video.stream) as (container, stream):
            name = stream.codec_context.name
            codec, filter_name = _CODECS.get(stream.codec_context.codec.canonical_name, ("", ""))
            if not codec:
                raise DecoderFailedError(f"NVDEC is not used for {name}")
            bitstream_filter = BitStreamFilterContext(filter_name, stream) if filter_name else None
            if self._wanted.start:
                container.seek(video.pts[self._wanted.start], stream=stream, backward=True)
            has_started = False
            for packet in container.demux(stream):
                # A seek without an index may land between key frames.
                has_started = has_started or packet.is_keyframe
                if not packet.size or not has_started:
                    continue
                if packet.is_keyframe and packet.pts > video.pts[self._wanted[-1]]:
                    break
                index = video.index_of(packet.pts)
                number = 0 if index is None else index + 1
                for part in bitstream_filter.filter(packet) if bitstream_filter else (packet,):
                    yield codec, number, np.frombuffer(bytes(part), np.uint8)
            yield codec, 0, np.empty(0, np.uint8)


def why_not_nvdec() -> str:
    """Why this machine cannot decode with NVDEC; "" if it can."""
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
    except (ImportError, OSError, RuntimeError) as error:  # RuntimeError: no driver
        raise DecoderFailedError(f"PyNvVideoCodec cannot be used ({_first_line(error)})") from error
    return PyNvVideoCodec


def _failures(library: Any) -> tuple[type[Exception], ...]:
    """The exceptions that the library raises; those of C++ arrive as RuntimeError."""
    own = [getattr(library, name) for name in dir(library) if name.startswith("PyNvVCException")]
    return (RuntimeError, *own)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
