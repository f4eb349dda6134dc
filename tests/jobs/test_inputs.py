"""Lists of videos, and folders of videos."""

from __future__ import annotations

from pathlib import Path

import pytest

from posetrack_app.core.errors import InputError
from posetrack_app.jobs.inputs import expand_sources


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_list_counts_from_its_folder(tmp_path: Path, encoding: str) -> None:
    """Windows writes UTF-16 with a byte order mark."""
    folder = tmp_path / "lists"
    folder.mkdir()
    (folder / "späť.mp4").touch()
    text = '# films\r\nspäť.mp4\r\n"with space.mp4"\r\n/abs.mp4\r\n\r\nrtsp://camera/live\r\n*.mp4\r\n'
    mark = "\ufeff" if encoding in ("utf-16-le", "utf-16-be") else ""
    (folder / "list.txt").write_bytes((mark + text).encode(encoding))
    assert expand_sources([], folder / "list.txt") == [
        str(folder / "späť.mp4"),
        str(folder / "with space.mp4"),
        "/abs.mp4",
        "rtsp://camera/live",
        str(folder / "späť.mp4"),
    ]


def test_a_list_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes("späť.mp4".encode("cp1250"))
    with pytest.raises(InputError, match=r"not a text file with one video per line; save it as UTF-8"):
        expand_sources([], tmp_path / "list.txt")


def test_a_folder_of_videos_is_taken_as_its_videos(tmp_path: Path) -> None:
    for name in ("b10.mov", "b9.MP4", "notes.txt", "._b9.MP4"):
        (tmp_path / name).touch()
    assert expand_sources([str(tmp_path), "x.mp4"]) == [
        str(tmp_path / "b9.MP4"),
        str(tmp_path / "b10.mov"),
        "x.mp4",
    ]
    (tmp_path / "cover.jpg").touch()
    assert expand_sources([str(tmp_path)]) == [
        str(tmp_path)
    ]  # the reader says that it passes over the videos
