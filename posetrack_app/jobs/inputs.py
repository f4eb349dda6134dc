"""The videos that a command line names: files, folders, streams, patterns and lists."""

from __future__ import annotations

import codecs
import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from posetrack_app.core.errors import InputError
from posetrack_app.video.folder import list_images, list_videos
from posetrack_app.video.source_name import is_stream

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def expand_sources(arguments: Sequence[str], list_file: Path | None = None) -> list[str]:
    """Videos, image folders and streams, in order.

    A pattern is replaced by the files that match it, and a folder without images by the videos in it. `list_file` adds
    one source per line, without empty lines and lines that start with #; its paths count from its folder. Raises
    InputError if there is no source, a pattern matches no file, or the list cannot be read.
    """
    sources = [
        source
        for name in (*arguments, *(_listed(list_file) if list_file else ()))
        for match in _matches(name)
        for source in _videos_of(match)
    ]
    if not sources:
        raise InputError("nothing to track; give at least one video, image folder or stream")
    return sources


def _matches(name: str) -> list[str]:
    """The files that a pattern matches; any other name stays."""
    if is_stream(name) or os.path.lexists(name) or not glob.has_magic(name):
        return [name]
    found = sorted(glob.glob(name, recursive=True))
    if not found:
        raise InputError(f"{name}: no file matches this pattern")
    return found


def _videos_of(name: str) -> list[str]:
    """The videos in a folder that has no images; any other name stays."""
    if is_stream(name) or not os.path.isdir(name) or list_images(Path(name)):
        return [name]
    return [str(video) for video in list_videos(Path(name))] or [name]


def _listed(list_file: Path) -> Iterator[str]:
    """The sources of a list. Paths count from its folder; if it comes through a pipe, from the working folder."""
    folder = list_file.parent if list_file.is_file() else Path()
    for line in _text(list_file).splitlines():
        name = line.strip()
        if not name or name.startswith("#"):
            continue
        if len(name) > 1 and name[0] == name[-1] == '"':  # as Windows copies a path
            name = name[1:-1]
        yield name if is_stream(name) else str(folder / name)


def _text(list_file: Path) -> str:
    """The text of a list: UTF-8, or UTF-16 with a byte order mark, as Windows writes it."""
    try:
        content = list_file.read_bytes()
        return content.decode("utf-16" if content.startswith(_UTF16) else "utf-8-sig")
    except OSError as error:
        raise InputError(f"{list_file} cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{list_file} is not a text file with one video per line; save it as UTF-8"
        ) from error
