"""`posetrack evaluate`: tables, sweep, files, baseline."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from posetrack_app.cli import posetrack
from posetrack_app.core.errors import InputError
from posetrack_app.evaluation.evaluate import evaluate

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "eval"
SET = GOLDEN / "poseval" / "s14_ignore17"


def _run(*arguments: str | Path, folder: Path = SET, expect: int = 0) -> Result:
    result = CliRunner().invoke(
        posetrack, ["evaluate", str(folder / "gt"), str(folder / "pred"), *map(str, arguments)]
    )
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == expect
    return result


def test_both_protocols_side_by_side() -> None:
    printed = _run().stdout
    expected = json.loads((SET / "expected.json").read_text())
    row = [f"{value:.1f}" for value in expected["ap"]["table"]]
    assert re.search(r"poseval\s+" + r"\s+".join(row), printed)
    row = [f"{value:.1f}" for value in expected["mot"]["table"]]
    assert re.search(r"poseval\s+" + r"\s+".join(row), printed)
    assert len(re.findall("corrected", printed)) == 4  # AP, MOTA, IDF1, HOTA


def test_json_contains_everything(tmp_path: Path) -> None:
    folder = GOLDEN / "poseval" / "s08_empty_pred"
    _run("--json", tmp_path / "out.json", "--protocol", "poseval", folder=folder)
    content = json.loads((tmp_path / "out.json").read_text())
    expected = json.loads((folder / "expected.json").read_text())
    poseval = content["protocols"]["poseval"]
    assert content["totals"]["poseval MOTA"] == expected["mot"]["mota"][-1]
    assert poseval["mot_per_sequence"].keys() == expected["mot_per_sequence"].keys()
    assert len(poseval["ap"]["ap"]) == len(poseval["joints"]) + 1
    assert len(content["id_switches"]) > 0
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]


def test_sweep_prints_the_best_thresholds() -> None:
    printed = _run("--sweep").stdout
    best = re.search(r"best MOTA ([-\d.]+) at ([\d.]+)", printed)
    assert best
    motas = [
        float(m) for m in re.findall(r"^ +[\d.]+ +-?[\d.]+ +(-?[\d.]+)(?: +█*)? *$", printed, re.MULTILINE)
    ]
    assert len(motas) == 20
    assert float(best.group(1)) == max(motas)
    alone = _run("--keypoint-threshold", best.group(2)).stdout
    assert re.search(rf"corrected(\s+[-\d.]+){{7}}\s+{re.escape(best.group(1))}\b", alone)


def test_baseline(tmp_path: Path) -> None:
    earlier = tmp_path / "earlier.json"
    _run("--json", earlier)
    assert _run("--baseline", earlier).stderr == ""
    content = json.loads(earlier.read_text())
    content["totals"]["corrected MOTA"] += 0.5
    earlier.write_text(json.dumps(content))
    assert "worse: corrected MOTA" in _run("--baseline", earlier, expect=1).stderr
    _run("--baseline", earlier, "--margin", "0.6")
    content["totals"]["corrected new"] = 1.0
    earlier.write_text(json.dumps(content))
    assert "missing now" in _run("--baseline", earlier, "--margin", "0.6", expect=1).stderr


def test_the_margin_is_a_number(tmp_path: Path) -> None:
    """No number is below NaN, so every total would pass."""
    with pytest.raises(InputError, match="--margin must be a number of points, got nan"):
        CliRunner().invoke(
            posetrack, ["evaluate", "a.txt", "b.txt", "--margin", "nan"], catch_exceptions=False,
            standalone_mode=False,
        )  # fmt: skip


def test_a_baseline_of_another_kind_is_refused() -> None:
    with pytest.raises(InputError, match="has no 'totals'"):
        _run("--baseline", SET / "expected.json")


@pytest.mark.parametrize(
    ("truth", "predicted", "pattern"),
    [
        ("coco/c2_synthetic/gt.json", "results.json", r"36\.4 +59\.7"),
        ("coco/p2_crowdpose_synthetic/gt.json", "results.json", r"34\.7 .*30\.6 +31\.6 +41\.3"),
        ("mpii/m1_synthetic/gt.json", "pred.json", r"78\.6 +16\.7"),
        ("box_mot/b1/gt.txt", "pred.txt", r"55\.9 +61\.5 +54\.4"),
    ],
)
def test_other_kinds_of_files_are_recognised(truth: str, predicted: str, pattern: str) -> None:
    file = GOLDEN / truth
    result = CliRunner().invoke(posetrack, ["evaluate", str(file), str(file.with_name(predicted))])
    assert result.exit_code == 0
    assert re.search(pattern, result.stdout)


def test_tracks_that_cannot_be_scored_end_with_an_error() -> None:
    case = GOLDEN / "edge" / "e13_gt_duplicate_id"
    with pytest.raises(InputError, match="two ground-truth people share the track id 0"):
        _run(folder=case)


def test_one_protocol_may_fail_alone() -> None:
    printed = _run(folder=GOLDEN / "edge" / "e07_single_frame").stdout
    assert "not scored: poseval: 920001_mpii_test: only one frame has people" in printed


def _strict_json(file: Path) -> Any:
    def refuse(word: str) -> None:
        raise ValueError(f"{word} is not JSON")

    return json.loads(file.read_text(), parse_constant=refuse)


def test_scores_without_annotated_people_are_null_and_a_dash(
    write: Any, make_video: Any, tmp_path: Path
) -> None:
    frames = [[(0, 100.0)], [(0, 110.0)]]
    write("gt", make_video([[], []]))
    write("pred", make_video(frames))
    files = ("--json", tmp_path / "out.json", "--report", tmp_path / "out.html")
    printed = _run("--sweep", "--protocol", "corrected", *files, folder=tmp_path).stdout
    assert {point["mota"] for point in _strict_json(tmp_path / "out.json")["sweep"]} == {None}
    assert "best MOTA – at" in printed
    assert not re.search(r"\bnan\b|\binf\b", printed + (tmp_path / "out.html").read_text(), re.IGNORECASE)


@pytest.mark.parametrize(
    ("truth", "predicted", "undefined"),
    [
        ("1,1,10,10,50,50,1\n", "", ["motp"]),
        ("1,1,10,10,50,50,1\n", "1,1,500,10,50,50,1\n", ["motp"]),
        ("", "1,1,10,10,50,50,1\n", ["motp", "mota"]),
    ],
    ids=["no predictions", "nothing matches", "no truth"],
)
def test_undefined_box_scores_are_null(
    tmp_path: Path, truth: str, predicted: str, undefined: list[str]
) -> None:
    (tmp_path / "gt.txt").write_text(truth)
    (tmp_path / "pred.txt").write_text(predicted)
    out = tmp_path / "out.json"
    files = [str(tmp_path / "gt.txt"), str(tmp_path / "pred.txt")]
    result = CliRunner().invoke(posetrack, ["evaluate", *files, "--json", str(out)], catch_exceptions=False)
    content = _strict_json(out)
    assert [content["details"]["motmetrics"][name] for name in undefined] == [None] * len(undefined)
    assert (content["totals"]["MOTA"] is None) == ("mota" in undefined)
    assert not re.search(r"\bnan\b|\binf\b", result.stdout, re.IGNORECASE)


def test_the_baseline_may_be_replaced_in_the_same_run(tmp_path: Path) -> None:
    file = tmp_path / "scores.json"
    _run("--json", file)
    content = json.loads(file.read_text())
    content["totals"]["corrected MOTA"] += 0.5
    file.write_text(json.dumps(content))
    assert "worse: corrected MOTA" in _run("--json", file, "--baseline", file, expect=1).stderr
    _run("--json", file, "--baseline", file)


@pytest.mark.parametrize("option", ["--json", "--report", "--csv", "--latex"])
def test_the_input_is_not_overwritten(tmp_path: Path, option: str) -> None:
    (tmp_path / "gt.txt").write_text("1,1,10,10,50,50,1\n")
    files = [str(tmp_path / "gt.txt")] * 2
    with pytest.raises(InputError, match=r"gt\.txt is an input"):
        CliRunner().invoke(
            posetrack, ["evaluate", *files, option, str(tmp_path / "gt.txt")], catch_exceptions=False,
            standalone_mode=False,
        )  # fmt: skip
    assert (tmp_path / "gt.txt").read_text() == "1,1,10,10,50,50,1\n"


def test_a_confidence_of_0_counts_in_predictions(tmp_path: Path) -> None:
    """It marks ground-truth rows that are not scored; some trackers write it in all rows."""
    (tmp_path / "gt.txt").write_text("1,1,10,10,50,50,1\n1,2,200,10,50,50,0\n")
    (tmp_path / "pred.txt").write_text("1,1,10,10,50,50,0\n")
    assert evaluate(tmp_path / "gt.txt", tmp_path / "pred.txt", ["corrected"]).totals["MOTA"] == 100


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--images", "."], "--images is for the thumbnails of a report; give --report too"),
        (
            ["--images", "nowhere", "--report", "r.html"],
            "nowhere: no such folder; give the folder that contains 'images'",
        ),
        ([str(SET / "pred"), "--baseline", "b.json"], "--baseline takes the predictions of one result"),
        (["--report", "nowhere/r.html"], "the folder nowhere does not exist; create it first"),
    ],
)
def test_options_that_do_not_fit_together(options: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        _run(*options)


def test_errors_and_intervals_are_printed_and_stored(tmp_path: Path) -> None:
    folder = GOLDEN / "poseval" / "s08_empty_pred"
    printed = _run("--errors", "--intervals", "--json", tmp_path / "out.json", folder=folder).stdout
    assert re.search(r"missed +\d+ +[\d.]+ +[\d.]+ +90010\d_mpii_test", printed)
    assert re.search(r"90010\d_mpii_test frame \d+", printed)
    assert "95 % intervals" in printed
    content = _strict_json(tmp_path / "out.json")
    assert {loss["kind"] for loss in content["errors"]["ap_lost_to"]} >= {
        "swap",
        "inversion",
        "localisation",
        "missed",
    }
    assert content["intervals"]["corrected"]["MOTA"].keys() == {"low", "high"}


def test_several_results_are_compared_with_the_first(tmp_path: Path) -> None:
    other = tmp_path / "weaker"
    other.mkdir()
    for file in (SET / "pred").glob("*.json"):
        content = json.loads(file.read_text())
        for frame in content["annolist"][::3]:
            frame["annorect"] = []
        (other / file.name).write_text(json.dumps(content))
    files = [str(tmp_path / name) for name in ("c.json", "c.csv", "c.tex", "c.html")]
    options = (other, "--json", files[0], "--csv", files[1], "--latex", files[2], "--report", files[3])
    printed = _run(*options).stdout
    assert re.search(r"weaker +corrected +MOTA +−[\d.]+", printed)
    content = _strict_json(tmp_path / "c.json")
    mota = content["differences_from_first"][1]["corrected"]["MOTA"]
    totals = [result["totals"]["corrected MOTA"] for result in content["results"]]
    assert mota["difference"] == pytest.approx(totals[1] - totals[0])
    table = list(csv.DictReader((tmp_path / "c.csv").read_text().splitlines()))
    assert [
        (row["protocol"], float(row["MOTA Total"])) for row in table if row["protocol"] == "corrected"
    ] == [
        ("corrected", totals[0]),
        ("corrected", totals[1]),
    ]
    latex = (tmp_path / "c.tex").read_text()
    assert f"\\textbf{{{totals[0]:.1f}}}" in latex
    assert latex.count(r" \\") == 5  # head and 2 protocols of 2 results
    assert "better" in (tmp_path / "c.html").read_text() or "worse" in (tmp_path / "c.html").read_text()


def test_settings_of_the_predictions_are_stored(write: Any, make_video: Any, tmp_path: Path) -> None:
    content = make_video([[(0, 100.0)]] * 2)
    write("gt", content)
    write(
        "pred", {**content, "info": {"config": {"tracker": {"high_score": 0.4}}, "weights": {"pose": "sha"}}}
    )
    _run("--json", tmp_path / "out.json", "--report", tmp_path / "out.html", folder=tmp_path)
    assert _strict_json(tmp_path / "out.json")["run"]["weights"] == {"pose": "sha"}
    assert "high_score" in (tmp_path / "out.html").read_text()
