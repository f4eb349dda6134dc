"""The selftest passes on a sound installation, and each of its checks fails when its stage is broken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from posetrack_app import selftest
from posetrack_app.cli import posetrack
from posetrack_app.config import Config, SmoothingConfig, TrackerConfig
from posetrack_app.drawing import Style
from posetrack_app.evaluation import evaluation
from posetrack_app.formats import TracksWriter
from posetrack_app.overlay import render_video
from posetrack_app.records import Frame, TrackedPoses
from posetrack_app.synthetic import make_film, read_number, write_film
from posetrack_app.video import open_video


def test_it_passes_here() -> None:
    result = CliRunner().invoke(posetrack, ["selftest"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert result.output.count("ok") == 9
    assert "posetrack works here" in result.output


class _Late:
    """A reader whose times are 40 ms late, or that leaves a frame out."""

    def __init__(self, video: Any, lost: int | None) -> None:
        self.video, self.lost, self.info = video, lost, video.info

    def __enter__(self) -> _Late:
        return self

    def __exit__(self, *rest: Any) -> None:
        self.video.__exit__(*rest)

    def __iter__(self) -> Iterator[Frame]:
        for frame in self.video:
            if frame.index != self.lost:
                yield frame if self.lost is not None else replace(frame, seconds=frame.seconds + 0.04)


def late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, "open_video", lambda path: _Late(open_video(path), None))


def lossy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, "open_video", lambda path: _Late(open_video(path), 7))


def settings(**changes: Any) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda monkeypatch: monkeypatch.setattr(selftest, "Config", lambda: Config(**changes))


def swapped(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = selftest.track_people

    def track_people(*arguments: Any) -> Iterator[tuple[Frame, TrackedPoses]]:
        for frame, tracked in sound(*arguments):
            other = {1: 2, 2: 1} if frame.index > 20 else {}
            ids = np.array([other.get(number, number) for number in tracked.ids.tolist()], np.int64)
            yield frame, replace(tracked, ids=ids)

    monkeypatch.setattr(selftest, "track_people", track_people)


def other_keypoints(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = TracksWriter._people

    def people(writer: TracksWriter, index: int, tracked: TrackedPoses) -> list[dict[str, Any]]:
        return sound(writer, index, replace(tracked, keypoints=tracked.keypoints + 1))

    monkeypatch.setattr(TracksWriter, "_people", people)


def invalid(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = TracksWriter._people

    def people(writer: TracksWriter, index: int, tracked: TrackedPoses) -> list[dict[str, Any]]:
        return [{**person, "id": 1} for person in sound(writer, index, tracked)]

    monkeypatch.setattr(TracksWriter, "_people", people)


def wrong_csv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(selftest.WRITERS, "csv", lambda tracks, path: path.write_text("frame_index\n"))


def generous_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "_totals", lambda content: {"mAP": 99.0, "MOTA": 99.0, "HOTA": 99.0})


def drawn_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(video: Path, tracks: Any, out: Path, style: Style) -> int:
        return render_video(video, tracks, out, replace(style, trails=False, only_ids=frozenset()))

    monkeypatch.setattr(selftest, "render_video", nothing)


@pytest.mark.parametrize(
    ("broken", "stage", "says"),
    [
        (late, "decoding", "0.040 s off"),
        (lossy, "decoding", "the frames that came"),
        (settings(tracker=TrackerConfig(patience_seconds=0.05, patience_frames=0)), "tracking", "became"),
        (settings(camera_motion=False), "cut", "go on after the cut"),
        (settings(smoothing=SmoothingConfig(enabled=False)), "smoothing", "jitter"),
        (invalid, "writing", "same 'id'"),
        (other_keypoints, "reading", "other keypoints"),
        (wrong_csv, "converting", "its columns"),
        (generous_scores, "scoring", "against itself"),
        (swapped, "scoring", "identity switches"),
        (drawn_empty, "drawing", "nobody is drawn"),
    ],
)
def test_a_broken_stage_is_found(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    broken: Callable[[pytest.MonkeyPatch], None],
    stage: str,
    says: str,
) -> None:
    broken(monkeypatch)
    failed = {check.name: check.detail for check in selftest.run_selftest(tmp_path) if not check.passed}
    assert stage in failed
    assert says in failed[stage]


def test_the_command_ends_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    late(monkeypatch)
    result = CliRunner().invoke(posetrack, ["selftest"])
    assert result.exit_code == 1
    assert "FAIL  decoding" in result.output
    assert "not sound here" in result.output


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_the_film_stands_upright(tmp_path: Path, rotation: int) -> None:
    film = make_film()
    write_film(film, tmp_path / "f.mp4", rotation=rotation, tone=False)
    with open_video(tmp_path / "f.mp4", stop=0.4) as video:
        assert video.info.rotation == rotation
        for frame in video:
            assert read_number(frame.image) == frame.index
            assert np.abs(frame.image.astype(int) - film.picture(frame.index)).mean() < 6
