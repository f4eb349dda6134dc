"""Whether the coding parameters of a video, and so perhaps the size of its images, change in mid-film.

decord scales later images to the size of the first without saying so. It therefore gets only files whose parameters are
seen here to stay the same.
"""

from __future__ import annotations

from typing import Any

import av
from av.bitstream import BitStreamFilterContext

_IN_BAND = ("h264", "hevc", "vvc", "av1", "mpeg1video", "mpeg2video", "mpeg4", "vc1")
"""Codecs whose parameters FFmpeg's filter `extract_extradata` finds in the packets."""

_IN_CONTAINER = ("msmpeg4v1", "msmpeg4v2", "msmpeg4v3", "msmpeg4", "wmv1", "wmv2", "wmv3")
"""Codecs whose size only the container stores."""


def packet_copy(packet: Any) -> Any:
    """A copy for a bitstream filter, which empties the packet that it gets."""
    copy = av.Packet(bytes(packet))
    copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
    return copy


def _filters(codec: str, stream: Any) -> list[BitStreamFilterContext]:
    """The filters that find the parameters in a packet; none if that is not possible for this stream."""
    if codec not in _IN_BAND:
        return []
    names = [f"{codec}_mp4toannexb"] if codec in ("h264", "hevc", "vvc") else []
    try:
        return [BitStreamFilterContext(name, stream) for name in (*names, "extract_extradata")]
    except av.FFmpegError:  # the header of the stream is damaged
        return []


class ParameterSets:
    """Compares the parameters that come with the key frames of one stream. Give it every packet."""

    def __init__(self, stream: Any) -> None:
        self._codec = stream.codec_context.codec.canonical_name
        self._filters = _filters(self._codec, stream)
        self._found: set[bytes] = set()
        self._packets = 0
        self._has_new_header = False

    def add(self, packet: Any) -> None:
        """Note the parameters in a packet."""
        # An MP4 with several descriptions attaches the next one to its first packet.
        if self._packets and (packet.has_sidedata("new_extradata") or packet.has_sidedata("param_change")):
            self._has_new_header = True
        self._packets += 1
        if not packet.is_keyframe or not self._filters:
            return
        packets = [packet_copy(packet)]
        try:
            for bitstream_filter in self._filters:
                packets = [part for one in packets for part in bitstream_filter.filter(one)]
        except av.FFmpegError:  # damaged: what follows cannot be compared
            self._filters = []
            return
        for part in packets:
            if part.has_sidedata("new_extradata"):
                self._found.add(bytes(part.get_sidedata("new_extradata")))

    @property
    def change(self) -> bool:
        """Whether the parameters change."""
        return self._has_new_header or len(self._found) > 1

    @property
    def are_visible(self) -> bool:
        """Whether a change of size would have been seen."""
        return bool(self._filters) or self._codec in _IN_CONTAINER
