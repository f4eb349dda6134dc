"""The report page: complete, self-contained, sortable; and the same looked at by a browser, if there is one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from posetrack_app.evaluation.evaluate import Evaluation, evaluate
from posetrack_app.evaluation.report.main_table import main_table_latex
from posetrack_app.evaluation.report.page import report_page
from posetrack_app.formats.svg_chart import bar_chart, line_chart, ticks
from posetrack_app.jobs.evaluate import compare, image_crops

SET = Path(__file__).resolve().parents[1] / "golden" / "eval" / "poseval" / "s08_empty_pred"
BROWSER = next((path for name in ("chromium", "google-chrome") if (path := shutil.which(name))), None)
SCREENSHOTS = os.environ.get("POSETRACK_SCREENSHOTS")
"""A folder for screenshots of the pages; .ci/run sets it."""
needs_browser = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium to look at the page")


@pytest.fixture(scope="module")
def result() -> Evaluation:
    return evaluate(SET / "gt", SET / "pred", ["corrected", "poseval"], sweep=True, with_intervals=True)


@pytest.fixture(scope="module")
def page(result: Evaluation) -> str:
    return report_page(result)


def test_no_external_resources(page: str) -> None:
    assert not re.search(r"https?://|<link|src=", page)
    assert page.count("<svg") == page.count("</svg>")
    assert "NaN" not in page[: page.index("<script")]


@pytest.mark.parametrize(
    "title",
    [
        "Scores",
        "Curves",
        "What AP is lost to",
        "Joints",
        "Sequences",
        "Worst frames",
        r"Identity switches \(\d+\)",
    ],
)
def test_every_section_is_there_and_linked(page: str, title: str) -> None:
    section = re.search(rf'<section id="(s\d)"><h2>{title}</h2>', page)
    assert section
    assert f'href="#{section.group(1)}"' in page


def test_the_lowest_mota_comes_first(page: str) -> None:
    sequences = page[page.index("<h2>Sequences") :]
    assert sequences.index("900109_mpii_test") < sequences.index("900108_mpii_test")


def test_every_switch_and_frame_has_a_thumbnail(page: str, result: Evaluation) -> None:
    assert page.count("<figcaption>900108_mpii_test, frame") >= 2
    assert page.count('class="pair"') == min(12, len(result.id_switches))


def test_thumbnails_show_the_image(tmp_path: Path, result: Evaluation) -> None:
    import cv2

    name = result.id_switches[0].frame_name
    file = tmp_path / name if name.startswith("images/") else tmp_path / "images" / name
    file.parent.mkdir(parents=True)
    cv2.imwrite(str(file), np.full((400, 600, 3), 90, np.uint8))
    assert "data:image/jpeg;base64," in report_page(result, image_crops(tmp_path))


def test_texts_are_escaped(write: Any, make_video: Any) -> None:
    content = make_video([[(0, 100.0)], [(0, 100.0)]])
    name = "a&b<i>"
    found = evaluate(write("gt", content, name), write("pred", content, name), ["corrected"])
    assert "<i>" not in report_page(found).replace('<i class="c', "")
    comparison = compare(found.truth, [found.predictions] * 2, protocols=["corrected"])
    assert r"pred (2)" in main_table_latex(comparison.names, comparison.results)
    assert r"a\_b\&c" in main_table_latex(["a_b&c"], [found])


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0, 100, [0, 20, 40, 60, 80, 100]),
        (-43.7, 100, [-0.0, 50, 100]),
        (0, 0.95, [0, 0.2, 0.4, 0.6, 0.8]),
        (3, 3, [3]),
    ],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


def test_labels_are_not_cut() -> None:
    name = "a sequence with a very long name_mpii_test"
    chart = bar_chart([(name, 12.0), ("b", None)], "bars")
    start = re.search(rf'<text x="([\d.]+)"[^>]*>{name}', chart)
    assert start
    assert float(start.group(1)) >= 6 * len(name)
    lines = line_chart([("a", np.arange(3.0), np.arange(3.0))], "x", "y", (0.0, 2.0), (0.0, 2.0))
    assert [float(x) for x in re.findall(r'text-anchor="middle">([\d.]+)<', lines)] == [0, 0.5, 1, 1.5, 2]


def _browse(*arguments: str) -> str:
    quiet = (
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
    )
    command = [str(BROWSER), "--headless", *quiet, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout


_CLICK = """<script>
  const table = document.querySelector("#s4 table.sortable"), head = table.tHead.rows[0].cells[1];
  const first = () => Number(table.tBodies[0].rows[0].cells[1].dataset.value);
  head.querySelector("button").click(); const falling = first();
  head.querySelector("button").click(); const rising = first();
  const values = [...table.tBodies[0].rows].map(row => Number(row.cells[1].dataset.value));
  const sorted = falling === Math.max(...values) && rising === Math.min(...values);
  const wide = document.documentElement.scrollWidth > window.innerWidth;
  document.title = `sorted ${sorted} wide ${wide}`;
</script></body>"""


@needs_browser
def test_a_browser_sorts_the_tables_and_nothing_sticks_out(page: str, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text(page.replace("</body>", _CLICK))
    assert "<title>sorted true wide false</title>" in _browse(
        "--window-size=500,900", "--dump-dom", file.as_uri()
    )


@needs_browser
@pytest.mark.skipif(SCREENSHOTS is None, reason="POSETRACK_SCREENSHOTS names no folder for screenshots")
@pytest.mark.parametrize("width", [500, 1280])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_screenshots(page: str, width: int, theme: str, tmp_path: Path) -> None:
    comparison = compare(SET / "gt", [SET / "pred", SET / "gt"], protocols=["corrected"])
    from posetrack_app.evaluation.report.comparison_page import comparison_page

    for name, content in (("report", page), ("comparison", comparison_page(comparison))):
        file = tmp_path / f"{name}.html"
        file.write_text(content)
        target = Path(str(SCREENSHOTS)).absolute() / f"{name}-{width}-{theme}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        scheme = f"--blink-settings=preferredColorScheme={int(theme == 'light')}"
        _browse(
            f"--window-size={width},4000",
            "--hide-scrollbars",
            scheme,
            f"--screenshot={target}",
            file.as_uri(),
        )
        assert target.stat().st_size > 10_000
