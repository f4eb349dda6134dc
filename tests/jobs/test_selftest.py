"""The selftest passes here, and each of its checks fails if its stage is broken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from posetrack_app.cli import posetrack
from posetrack_app.core.config import Config, SmoothingConfig, TrackerConfig
from posetrack_app.core.records import Frame, TrackedPoses
from posetrack_app.drawing.draw import Style
from posetrack_app.drawing.overlay import render_video
from posetrack_app.evaluation import evaluate as evaluation
from posetrack_app.formats import TracksWriter
from posetrack_app.formats.convert import WRITERS
from posetrack_app.jobs import selftest
from posetrack_app.jobs.synthetic_video import make_synthetic_video, read_number, write_synthetic_video
from posetrack_app.pipeline.track_people import track_people
from posetrack_app.video import open_video


def test_it_passes_here() -> None:
    result = CliRunner().invoke(posetrack, ["selftest"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert [line[:12] for line in result.output.splitlines()[:-1]] == [
        f"{k} of 9  ok  " for k in range(1, 10)
    ]
    assert "posetrack works here" in result.output


class _WrongVideo:
    """A video whose times are 40 ms late, or that lacks the frame `lost`."""

    def __init__(self, video: Any, lost: int | None) -> None:
        self.video, self.lost, self.info = video, lost, video.info

    def __enter__(self) -> _WrongVideo:
        return self

    def __exit__(self, *rest: Any) -> None:
        self.video.__exit__(*rest)

    def __iter__(self) -> Iterator[Frame]:
        for frame in self.video:
            if self.lost is None:
                yield replace(frame, info=replace(frame.info, seconds=frame.info.seconds + 0.04))
            elif frame.info.index != self.lost:
                yield frame


def late_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, "open_video", lambda path: _WrongVideo(open_video(path), None))


def lost_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, "open_video", lambda path: _WrongVideo(open_video(path), 7))


def settings(**changes: Any) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda monkeypatch: monkeypatch.setattr(selftest, "Config", lambda: Config(**changes))


def swapped_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    def track_with_swap(*arguments: Any) -> Iterator[tuple[Frame, TrackedPoses]]:
        for frame, tracked in track_people(*arguments):
            other = {1: 2, 2: 1} if frame.info.index > 20 else {}
            ids = np.array([other.get(number, number) for number in tracked.ids.tolist()], np.int64)
            yield frame, replace(tracked, ids=ids)

    monkeypatch.setattr(selftest, "track_people", track_with_swap)


def changed_keypoints(monkeypatch: pytest.MonkeyPatch) -> None:
    write_people = TracksWriter._people

    def people(writer: TracksWriter, index: int, tracked: TrackedPoses) -> list[dict[str, Any]]:
        return write_people(writer, index, replace(tracked, keypoints=tracked.keypoints + 1))

    monkeypatch.setattr(TracksWriter, "_people", people)


def repeated_id(monkeypatch: pytest.MonkeyPatch) -> None:
    write_people = TracksWriter._people

    def people(writer: TracksWriter, index: int, tracked: TrackedPoses) -> list[dict[str, Any]]:
        return [{**person, "id": 1} for person in write_people(writer, index, tracked)]

    monkeypatch.setattr(TracksWriter, "_people", people)


def empty_csv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(WRITERS, "csv", lambda tracks, path: path.write_text("frame_index\n"))


def wrong_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "_totals", lambda content: {"mAP": 99.0, "MOTA": 99.0, "HOTA": 99.0})


def empty_overlay(monkeypatch: pytest.MonkeyPatch) -> None:
    def draw_nothing(video: Path, tracks: Any, out: Path, style: Style) -> int:
        return render_video(video, tracks, out, replace(style, trails=False, only_ids=frozenset()))

    monkeypatch.setattr(selftest, "render_video", draw_nothing)


@pytest.mark.parametrize(
    ("break_stage", "check", "message"),
    [
        (late_times, "decoding", "wrong by 0.040 s"),
        (lost_frame, "decoding", "wrong frames were read: 0, 1, 2"),
        (
            settings(tracker=TrackerConfig(patience_seconds=0.05, patience_frames=0)),
            "tracking",
            "5 people got",
        ),
        (settings(camera_motion=False), "cut", "continue after the cut"),
        (settings(smoothing=SmoothingConfig(enabled=False)), "smoothing", "after smoothing"),
        (repeated_id, "writing", "same 'id'"),
        (changed_keypoints, "reading", "keypoints changed"),
        (empty_csv, "converting", "its columns"),
        (wrong_scores, "scoring", "scored against itself"),
        (swapped_ids, "scoring", "identity switches"),
        (empty_overlay, "drawing", "nothing is drawn"),
    ],
)
def test_a_broken_stage_is_found(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    break_stage: Callable[[pytest.MonkeyPatch], None],
    check: str,
    message: str,
) -> None:
    break_stage(monkeypatch)
    results = list(selftest.run_selftest(tmp_path))
    failed = {result.name: result.detail for result in results if not result.passed}
    assert check in failed
    assert message in failed[check]


def test_the_command_ends_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    late_times(monkeypatch)
    result = CliRunner().invoke(posetrack, ["selftest"])
    assert result.exit_code == 1
    assert "1 of 9  FAIL  decoding" in result.output
    assert "does not work correctly here: " in result.output


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_the_video_is_upright(tmp_path: Path, rotation: int) -> None:
    source = make_synthetic_video()
    write_synthetic_video(source, tmp_path / "v.mp4", rotation=rotation, sound=False)
    with open_video(tmp_path / "v.mp4", stop=0.4) as video:
        assert video.info.rotation == rotation
        for frame in video:
            assert read_number(frame.image) == frame.info.index
            assert np.abs(frame.image.astype(int) - source.image(frame.info.index)).mean() < 6
