"""Output files: checked first, never replaced by accident, written in one step."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from posetrack_app.core.errors import InputError
from posetrack_app.core.files import (
    atomic_file,
    atomic_folder,
    check_name_length,
    check_output_file,
    refuse_to_replace,
    refuse_to_replace_input,
    remove_leftovers,
    temporary_path,
    try_lock,
    write_atomic,
)
from posetrack_app.core.json_file import json_files, load_json, write_json


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (".", "is a folder; give the name of a file to write"),
        ("missing/a.json", "the folder .*missing does not exist; create it first"),
        ("a" * 300, "this file name is too long; choose a shorter one"),
    ],
)
def test_where_no_file_can_be_created(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_output_file(tmp_path / name)


def test_a_device_is_no_output_file() -> None:
    with pytest.raises(InputError, match="/dev/null is a device or a pipe"):
        check_output_file(Path("/dev/null"))


def test_a_name_is_checked_before_its_folder_exists(tmp_path: Path) -> None:
    check_name_length(tmp_path / "later" / "a.json")
    with pytest.raises(InputError, match="too long"):
        check_name_length(tmp_path / "later" / ("a" * 300))


def test_an_existing_file_is_refused_and_the_option_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("")
    refuse_to_replace(tmp_path / "b.json", tmp_path)
    with pytest.raises(InputError, match=r"a\.json already exists; choose another name") as caught:
        refuse_to_replace(tmp_path / "b.json", tmp_path / "a.json")
    assert caught.value.option == "force"
    assert "--" not in str(caught.value)


def test_the_input_is_refused_as_output_through_links_too(tmp_path: Path) -> None:
    video, link = tmp_path / "video.mp4", tmp_path / "link.mp4"
    video.write_text("")
    link.symlink_to(video)
    refuse_to_replace_input(video, [tmp_path / "other.mp4"], "the video itself")
    with pytest.raises(InputError, match=r"link\.mp4 is the video itself; choose another name"):
        refuse_to_replace_input(video, [link], "the video itself")


def test_a_file_appears_complete_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_atomic(target, "old")
    with suppress(KeyboardInterrupt), atomic_file(target) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert target.read_text() == "old"
    write_atomic(target, b"new")
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_a_link_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write_atomic(tmp_path / "link", "content")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "content"


def test_a_failed_write_is_one_line(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match=r"a\.txt cannot be written \(No space left"),
        atomic_file(tmp_path / "a.txt"),
    ):
        raise OSError(28, "No space left on device")


def test_a_folder_appears_complete_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with suppress(KeyboardInterrupt), atomic_folder(target) as temporary:
        (temporary / "a.txt").write_text("half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    with atomic_folder(target) as temporary:
        (temporary / "a.txt").write_text("content")
    assert (target / "a.txt").read_text() == "content"
    with (
        pytest.raises(InputError, match="already exists; give the name of a new folder"),
        atomic_folder(target),
    ):
        pass


def test_leftovers_of_killed_processes_are_removed(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    for leftover in (temporary_path(target), temporary_path(target, ".mp4")):
        leftover.write_text("half")
    other = temporary_path(tmp_path / "b.txt")
    other.write_text("half")
    remove_leftovers(target)
    assert list(tmp_path.iterdir()) == [other]


def test_a_lock_is_held_once(tmp_path: Path) -> None:
    with (tmp_path / "a").open("wb") as one, (tmp_path / "a").open("wb") as other:
        assert try_lock(one)
        assert not try_lock(other)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"is not a valid JSON file: Expecting value: line 1 column 1"),
        (b'{"a": 1', "is not a valid JSON file: Expecting ',' delimiter"),
        (b"\xff\xfe\x00", "is not a valid JSON file: .*can't decode"),
        (b"[" * 100_000, "is not a valid JSON file: .*recursion"),
        (b"9" * 5000, r"is not a valid JSON file: Exceeds the limit \(4300 digits\)"),
    ],
    ids=["empty", "cut off", "not text", "nesting", "digits"],
)
def test_what_is_not_json(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        load_json(tmp_path / "a.json")
    assert "\n" not in str(caught.value)


def test_json_comes_back_and_hidden_files_are_skipped(tmp_path: Path) -> None:
    write_json(tmp_path / "b.json", {"x": [1, 2.5, None]})
    write_json(tmp_path / "a.json", 3)
    (tmp_path / "._a.json").write_bytes(b"\0")
    assert json_files(tmp_path) == [tmp_path / "a.json", tmp_path / "b.json"]
    assert load_json(tmp_path / "b.json") == {"x": [1, 2.5, None]}
    with pytest.raises(InputError, match=r"none\.json: no such file"):
        load_json(tmp_path / "none.json")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "c.json", float("nan"))
