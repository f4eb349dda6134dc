"""The parts of the benchmark on a real film, on made boxes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
import pytest
from real_film import Film, StoredNetworks, mirror, pick, read_poses, with_black, write_poses
from real_truth import Switch, Tracked, TrueBoxes, count_towers, load_truth, score_boxes, without_ignored
from real_video import Report, ablations

from posetrack_app.core.protocols import Networks
from posetrack_app.core.records import Detections, FloatArray, Poses, TrackedPoses
from posetrack_app.core.skeletons import POSETRACK

LEFT, RIGHT, FAR = [0, 0, 20, 50], [60, 0, 80, 50], [200, 0, 220, 50]
KEYPOINTS = len(POSETRACK.keypoints)


def _poses(*boxes: Sequence[float]) -> Poses:
    array = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    shape = len(array), KEYPOINTS
    return Detections.detected(array, np.full(len(array), 0.9)).with_keypoints(
        np.zeros((*shape, 2)), np.full(shape, 0.5)
    )


def _people(**boxes: Sequence[float]) -> TrackedPoses:
    """People with the ids of their names: a=1, b=2 and so on."""
    return _poses(*boxes.values()).with_ids(np.array(["abcdef".index(name) + 1 for name in boxes], dtype=int))


def _true(*boxes: Sequence[float], ignored: Sequence[Sequence[float]] = ()) -> TrueBoxes:
    return TrueBoxes(
        np.arange(len(boxes)) + 10,
        np.array(boxes, dtype=np.float64).reshape(-1, 4),
        np.array(ignored, dtype=np.float64).reshape(-1, 4),
    )


def test_the_ground_truth(tmp_path: Path) -> None:
    (tmp_path / "gt.txt").write_text("6,2,10,20,30,40,1\n6,3,0,0,5,5,0\n1,2,9,20,30,40\n")
    truth = load_truth(tmp_path / "gt.txt")
    assert list(truth) == [0, 5]
    assert truth[5].ids.tolist() == [2]
    assert truth[5].boxes.tolist() == [[10, 20, 40, 60]]
    assert truth[5].ignored.tolist() == [[0, 0, 5, 5]]
    assert len(truth[0].ids) == 1, "without the last column, every box counts"


def test_ignored_people_count_neither_way() -> None:
    people = _people(a=LEFT, b=RIGHT, c=FAR)
    assert without_ignored(people, _true(LEFT, ignored=[RIGHT])).ids.tolist() == [1, 3]
    # A box that fits a true person at least as well belongs to that person.
    assert without_ignored(people, _true(RIGHT, ignored=[RIGHT])).ids.tolist() == [1, 2, 3]
    assert without_ignored(people, _true()).ids.tolist() == [1, 2, 3]


def test_a_switch_has_its_frames_and_ids() -> None:
    truth = {number: _true(LEFT, RIGHT) for number in (0, 5, 10)}
    frames = [
        Tracked(0, 0.0, _people(a=LEFT, b=RIGHT)),
        Tracked(3, 0.3, _people(b=LEFT, a=RIGHT)),  # not labelled
        Tracked(5, 0.5, _people(a=LEFT)),
        Tracked(-1, 0.6, _people()),
        Tracked(10, 1.0, _people(a=LEFT, c=RIGHT, d=FAR)),
    ]
    scores = score_boxes(frames, truth)
    assert scores.switches == (Switch(frame=10, last_frame=0, true_id=11, before=2, after=3),)
    assert (scores.false_positives, scores.misses, scores.people) == (1, 1, 6)
    assert scores.mota == pytest.approx(100 * (1 - 3 / 6))


def test_perfect_tracks() -> None:
    truth = {number: _true(LEFT, RIGHT) for number in range(3)}
    scores = score_boxes([Tracked(i, i / 10, _people(a=LEFT, b=RIGHT)) for i in range(3)], truth)
    assert [scores.mota, scores.idf1, scores.hota] == pytest.approx([100, 100, 100])
    assert scores.switches == ()


def test_towers_are_measured_against_the_time_around_them() -> None:
    frames = [Tracked(i, i / 10, _people(a=[0, 0, 20, 50 if i != 7 else 80])) for i in range(20)]
    assert count_towers(frames) == 1
    # Someone who comes closer for long is no tower.
    frames = [Tracked(i, i / 2, _people(a=[0, 0, 20, 50 if i < 20 else 90])) for i in range(40)]
    assert count_towers(frames) <= 3


def _film(count: int = 4) -> Film:
    images = [np.full((60, 100, 3), number + 1, dtype=np.uint8) for number in range(count)]
    found = [_poses(LEFT) if number % 2 else _poses(LEFT, RIGHT) for number in range(count)]
    return Film("plain", range(count), [number / 2 for number in range(count)], images, found)


def test_variants_keep_images_times_and_people_together() -> None:
    half = pick(_film(), "half", range(0, 4, 2))
    assert (list(half.sources), list(half.seconds)) == ([0, 2], [0.0, 1.0])
    back = pick(_film(), "reversed", range(3, -1, -1))
    assert (list(back.sources), list(back.seconds)) == ([3, 2, 1, 0], [0.0, 0.5, 1.0, 1.5])
    assert [int(image[0, 0, 0]) for image in back.images] == [4, 3, 2, 1]
    assert [len(found) for found in back.found] == [1, 2, 1, 2]
    black = with_black(_film(), 2)
    assert list(black.sources) == [0, 1, -1, -1, 2, 3]
    assert list(black.seconds) == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]
    assert [len(found) for found in black.found] == [2, 1, 0, 0, 2, 1]
    assert not black.images[2].any()


def test_boxes_are_mirrored() -> None:
    boxes = np.array([[0.0, 1, 20, 50]])
    assert mirror(boxes, 100).tolist() == [[80, 1, 100, 50]]
    assert mirror(mirror(boxes, 100), 100).tolist() == boxes.tolist()
    assert mirror(boxes[:0], 100).shape == (0, 4)


def test_stored_detections(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "plain.npz"
    write_poses(path, [_poses(LEFT, RIGHT), _poses(), _poses(FAR)], "these networks")
    assert [found.boxes.tolist() for found in read_poses(path, "these networks")] == [
        [LEFT, RIGHT],
        [],
        [FAR],
    ]
    with pytest.raises(click.ClickException, match="other networks"):
        read_poses(path, "those networks")


def test_stored_networks_ask_the_real_one_only_for_new_boxes() -> None:
    asked: list[list[float]] = []

    def estimate(images: Sequence[object], boxes: Sequence[FloatArray]) -> tuple[FloatArray, ...]:
        asked.extend(box.tolist() for box in boxes)
        shape = len(boxes), KEYPOINTS
        return np.ones((*shape, 2)), np.full(shape, 0.7), np.zeros((len(boxes), 0))

    real = Networks(None, estimate, POSETRACK, "cpu", "float32", {})  # type: ignore[arg-type]
    film = _film()
    networks = StoredNetworks(real).of(film)
    ((boxes, scores),) = networks.detector([film.images[0]])
    assert (boxes.tolist(), scores.tolist()) == ([LEFT, RIGHT], [0.9, 0.9])
    for _ in range(2):
        _, found, _ = networks.estimator([film.images[0]] * 2, [boxes[0], np.array(FAR, dtype=np.float64)])
        assert found[:, 0].tolist() == [0.5, 0.7]
    assert asked == [FAR]
    assert networks.estimator([], [])[0].shape == (0, KEYPOINTS, 2)


def test_a_picture_of_each_switch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = {0: _true(LEFT), 1: _true(LEFT), 9: _true(LEFT)}
    report = Report(truth, [np.zeros((60, 100, 3), dtype=np.uint8)] * 2, tmp_path)
    report.add("made", [Tracked(0, 0.0, _people(a=LEFT)), Tracked(1, 0.1, _people(b=LEFT))])
    assert "2 (10: 1 > 2)" in capsys.readouterr().out
    assert [path.name for path in tmp_path.glob("made/*")] == ["frame-0002-person-10.png"]


def test_every_ablation_differs() -> None:
    default, *others = ablations().values()
    assert all(other != default for other in others)
