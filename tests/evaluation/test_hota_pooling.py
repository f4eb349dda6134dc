"""HOTA of the PoseTrack21 leader board: the mean of the sequences, and identities over the whole set.

The reference is written from the definitions, joint by joint and frame by frame, with SciPy's assignment.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from posetrack_app.evaluation.evaluate import Evaluation, evaluate


def _by_hand(contents: list[tuple[Any, Any]], joint: int, alpha: float) -> dict[str, float]:
    """DetA, AssA, FragA of one joint and alpha, all videos as one, by `person_id`."""
    shared: Counter[tuple[int, int]] = Counter()
    true_length: Counter[int] = Counter()
    predicted_length: Counter[int] = Counter()
    fragments: dict[tuple[int, int], list[int]] = defaultdict(list)
    last: dict[int, int] = {}
    for truth, predicted in contents:
        for image in truth["images"]:
            here = [[a for a in c["annotations"] if a["image_id"] == image["id"]] for c in (truth, predicted)]
            true_length.update(a["person_id"] for a in here[0])
            predicted_length.update(a["person_id"] for a in here[1])
            points = [np.array([a["keypoints"][3 * joint : 3 * joint + 2] for a in side]) for side in here]
            distance = np.linalg.norm(points[0][:, None] - points[1][None], axis=2) / 30
            similarity = np.maximum(0, 1 - distance / 0.5001)
            for t, p in zip(
                *linear_sum_assignment(-similarity - 1000.0 * (similarity >= alpha)), strict=True
            ):
                if similarity[t, p] >= alpha:
                    pair = (here[0][t]["person_id"], here[1][p]["person_id"])
                    shared[pair] += 1
                    if last.get(pair[0]) != pair[1]:
                        fragments[pair].append(0)
                    fragments[pair][-1] += 1
                    last[pair[0]] = pair[1]
    found, truths, made = (sum(c.values()) for c in (shared, true_length, predicted_length))
    union = {(t, p): true_length[t] + predicted_length[p] - n for (t, p), n in shared.items()}
    return {
        "DetA": found / (truths + made - found),
        "AssA": sum(n * n / union[pair] for pair, n in shared.items()) / max(1, found),
        "FragA": sum(f * f / union[pair] for pair, parts in fragments.items() for f in parts) / max(1, found),
    }


@pytest.fixture
def crowds(write: Any, make_video: Any) -> tuple[Path, Path, list[tuple[Any, Any]]]:
    """Three videos; person 7 is in all of them, and some predictions know it."""
    rng = np.random.default_rng(5)
    contents = []
    for number in range(3):
        frames: tuple[list[Any], list[Any]] = ([], [])
        for _ in range(8):
            positions = rng.uniform(100, 150, (4, 2))
            frames[0].append([(k, *xy) for k, xy in enumerate(positions.tolist())])
            ids = rng.permutation(4) if rng.random() < 0.3 else np.arange(4)
            found = positions + rng.normal(0, 5, (4, 2))
            frames[1].append([(k, *xy) for k, xy in zip(ids.tolist(), found.tolist(), strict=True)])
        sides = [make_video(side) for side in frames]
        for content in sides:
            for image in content["images"]:
                image |= {"ignore_regions_x": [], "ignore_regions_y": []}
            for person in content["annotations"]:
                person["person_id"] = 7 if person["track_id"] == 0 else 10 * number + 20 + person["track_id"]
        name = f"00000{number}_mpii_test"
        folders = write("gt", sides[0], name), write("pred", sides[1], name)
        contents.append((sides[0], sides[1]))
    return *folders, contents


def test_identities_over_the_whole_set(crowds: Any) -> None:
    truth, predicted, contents = crowds
    pooled = evaluate(truth, predicted, ["posetrack21"]).protocols["posetrack21"]["hota_pooled"]["whole_set"]
    alphas = np.arange(0.05, 0.99, 0.05)
    for column, joint in ((0, 0), (15 - 1, 16)):  # nose, right ankle
        by_alpha = [_by_hand(contents, joint, alpha) for alpha in alphas.tolist()]
        for name in ("DetA", "AssA", "FragA"):
            expected = 100 * np.mean([values[name] for values in by_alpha])
            assert pooled[name][column] == pytest.approx(expected, abs=1e-6)
        expected = 100 * np.mean([np.sqrt(values["DetA"] * values["AssA"]) for values in by_alpha])
        assert pooled["HOTA"][column] == pytest.approx(expected, abs=1e-6)
    assert pooled["HOTA"][-1] == pytest.approx(np.mean(pooled["HOTA"][:-1]))


def test_the_mean_of_sequences_is_that_of_each_scored_alone(crowds: Any) -> None:
    truth, predicted, _ = crowds
    together = evaluate(truth, predicted, ["posetrack21"]).protocols["posetrack21"]
    alone = [
        together["hota_per_sequence_mean_over_alpha"][file.stem] for file in sorted(truth.glob("*.json"))
    ]
    single = [
        evaluate(file, predicted / file.name, ["posetrack21"]).protocols["posetrack21"]
        for file in sorted(truth.glob("*.json"))
    ]
    for name in ("HOTA", "DetA", "AssA", "FragA", "FA-HOTA"):
        mean = together["hota_pooled"]["mean_of_sequences"][name]
        assert mean == pytest.approx(np.mean([values[name] for values in alone], axis=0), abs=1e-6)
        assert mean[:-1] == pytest.approx(
            np.mean([values["hota"]["mean_over_alpha"][name][:-1] for values in single], axis=0), abs=1e-6
        )


def test_without_person_ids_there_is_no_whole_set(write: Any, make_video: Any) -> None:
    frames = [[(0, 100.0)]] * 2
    result: Evaluation = evaluate(
        write("gt", make_video(frames)), write("pred", make_video(frames)), ["posetrack21"]
    )
    assert list(result.protocols["posetrack21"]["hota_pooled"]) == ["combined", "mean_of_sequences"]
