"""Whole pictures of interlaced video, whose frames hold two moments in alternate lines, by FFmpeg's bwdif filter."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import av
from av.filter import Graph

INTERLACED = "interlaced: made whole by bwdif"

_LEAST = 4
"""Pixels; bwdif refuses smaller pictures."""

_Note = TypeVar("_Note")


def deinterlaced(frames: Iterable[tuple[_Note, Any]]) -> Iterator[tuple[_Note, Any]]:
    """The same notes, each with the picture of its frame's first field; frames not flagged interlaced stay as they are.

    Before the first flagged frame nothing is held back; from there on the filter looks one frame ahead.
    """
    waiting: deque[_Note] = deque()
    graph: Graph | None = None
    form: tuple[int, int, str] | None = None
    try:
        for note, frame in frames:
            shape = frame.width, frame.height, frame.format.name
            if shape != form:
                yield from _rest(graph, waiting)
                graph, form = None, shape
            if graph is None and (not frame.interlaced_frame or min(frame.width, frame.height) < _LEAST):
                yield note, frame
                continue
            graph = graph or _bwdif(frame)
            waiting.append(note)
            graph.vpush(frame)
            yield from _ready(graph, waiting)
    except av.FFmpegError:
        yield from _rest(graph, waiting)  # a broken connection: first what came over it
        raise
    yield from _rest(graph, waiting)


def _bwdif(frame: Any) -> Graph:
    graph = Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
    )
    # One picture a frame, and only of frames that say they are interlaced.
    graph.link_nodes(
        source, graph.add("bwdif", "mode=send_frame:deint=interlaced"), graph.add("buffersink")
    ).configure()
    return graph


def _ready(graph: Graph, waiting: deque[_Note]) -> Iterator[tuple[_Note, Any]]:
    """What the filter has done: it gives a picture for every frame, in order."""
    while waiting:
        try:
            frame = graph.vpull()
        except (av.BlockingIOError, av.EOFError):
            return
        yield waiting.popleft(), frame


def _rest(graph: Graph | None, waiting: deque[_Note]) -> Iterator[tuple[_Note, Any]]:
    if graph is not None:
        graph.vpush(None)
        yield from _ready(graph, waiting)
