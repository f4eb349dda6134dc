"""Deinterlacing with FFmpeg's bwdif filter: an interlaced frame holds two moments in alternate lines."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import av
from av.filter import Graph

DEINTERLACED = "deinterlaced with bwdif"

_MIN_SIDE = 4
"""Pixels; bwdif refuses smaller frames."""

_Note = TypeVar("_Note")


def deinterlaced(frames: Iterable[tuple[_Note, Any]]) -> Iterator[tuple[_Note, Any]]:
    """(note, frame) pairs, in which interlaced frames are replaced by the image of their first field.

    Notes pass through unchanged. Frames before the first interlaced one pass through at once; from there on the filter
    needs one frame ahead.
    """
    waiting: deque[_Note] = deque()
    graph: Graph | None = None
    graph_format: tuple[int, int, str] | None = None
    try:
        for note, frame in frames:
            frame_format = frame.width, frame.height, frame.format.name
            if frame_format != graph_format:
                yield from _remaining(graph, waiting)
                graph, graph_format = None, frame_format
            if graph is None and (not frame.interlaced_frame or min(frame.width, frame.height) < _MIN_SIDE):
                yield note, frame
                continue
            graph = graph or _bwdif(frame)
            waiting.append(note)
            graph.vpush(frame)
            yield from _finished(graph, waiting)
    except av.FFmpegError:
        yield from _remaining(graph, waiting)  # the connection broke: first yield what arrived
        raise
    yield from _remaining(graph, waiting)


def _bwdif(frame: Any) -> Graph:
    graph = Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
    )
    # One output per frame; frames that are not flagged as interlaced pass through.
    graph.link_nodes(
        source, graph.add("bwdif", "mode=send_frame:deint=interlaced"), graph.add("buffersink")
    ).configure()
    return graph


def _finished(graph: Graph, waiting: deque[_Note]) -> Iterator[tuple[_Note, Any]]:
    """The frames that the filter has finished; it returns one for each input, in order."""
    while waiting:
        try:
            frame = graph.vpull()
        except (av.BlockingIOError, av.EOFError):
            return
        yield waiting.popleft(), frame


def _remaining(graph: Graph | None, waiting: deque[_Note]) -> Iterator[tuple[_Note, Any]]:
    if graph is not None:
        graph.vpush(None)
        yield from _finished(graph, waiting)
