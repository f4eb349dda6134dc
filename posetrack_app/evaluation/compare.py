"""Two or more results on the same ground truth: what differs, and whether it may be chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from posetrack_app.evaluation.evaluate import Evaluation
from posetrack_app.evaluation.posetrack.resampling import (
    Difference,
    draw_sequences,
    paired_differences,
    resampled_scores,
)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Results and their names. `differences[k]` are those of result k from the first one (none for the first itself):
    protocol, then score. Other files than PoseTrack files have no intervals."""

    names: list[str]
    results: list[Evaluation]
    differences: list[dict[str, dict[str, Difference]]]

    def as_json(self) -> dict[str, Any]:
        """All results and differences."""
        return {
            "format": "posetrack-comparison/1",
            "names": self.names,
            "results": [result.as_json() for result in self.results],
            "differences_from_first": [
                {
                    protocol: {name: asdict(difference) for name, difference in scores.items()}
                    for protocol, scores in found.items()
                }
                for found in self.differences
            ],
        }


def compare_results(results: Sequence[Evaluation]) -> Comparison:
    """Compare every result with the first one, by a bootstrap over the sequences with the same draws for both."""
    first = results[0]
    sequences = len(next(iter(first.scores.values())).scene.names) if first.scores else 0
    weights = draw_sequences(sequences) if sequences else None
    differences: list[dict[str, dict[str, Difference]]] = [{}]
    before = {} if weights is None else {n: resampled_scores(s, weights) for n, s in first.scores.items()}
    for result in results[1:]:
        found = {}
        for protocol, scores in result.scores.items():
            if protocol in before and weights is not None:
                after = resampled_scores(scores, weights)
                totals = _total_differences(first, result, protocol)
                found[protocol] = paired_differences(before[protocol], after, totals, sequences)
        differences.append(found)
    return Comparison(distinct_names([Path(r.predictions) for r in results]), list(results), differences)


def _total_differences(first: Evaluation, second: Evaluation, protocol: str) -> dict[str, float | None]:
    """Score -> the difference on the complete set."""
    before, after = _parts(first, protocol), _parts(second, protocol)
    found: dict[str, float | None] = {}
    for name, old in before.items():
        new = after.get(name)
        found[name] = None if old is None or new is None else new - old
    return found


def _parts(result: Evaluation, protocol: str) -> dict[str, float | None]:
    """The totals of a protocol, with the two parts of HOTA."""
    found = {
        key.removeprefix(f"{protocol} "): value
        for key, value in result.totals.items()
        if key.startswith(f"{protocol} ")
    }
    hota = result.protocols[protocol].get("hota")
    if hota is not None:
        found |= {name: hota["mean_over_alpha"][name][-1] for name in ("DetA", "AssA")}
    return found


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """The paths as short names that differ: without the folders that all share, at the start and at the end."""
    parts = [path.absolute().with_suffix("").parts for path in paths]
    shortest = min(map(len, parts))
    start = 0
    while start < shortest - 1 and len({each[start] for each in parts}) == 1:
        start += 1
    end = 0
    while end < shortest - 1 - start and len({each[len(each) - 1 - end] for each in parts}) == 1:
        end += 1
    names = ["/".join(each[start : len(each) - end]) for each in parts]
    counts: dict[str, int] = {}
    for k, name in enumerate(names):  # the same result twice
        counts[name] = counts.get(name, 0) + 1
        names[k] = name if counts[name] == 1 else f"{name} ({counts[name]})"
    return names
