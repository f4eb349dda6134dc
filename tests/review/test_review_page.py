"""The review page in Chromium: look, step, correct, save; one film for all tests of this file."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from review_browser import browser, keep_screenshot, needs_chromium, page_at, serving
from review_film import CUT, FRAMES, SWITCH, write_film

from posetrack_app.core.records import Detections, FrameInfo
from posetrack_app.core.skeletons import POSETRACK
from posetrack_app.drawing.draw import colour_of
from posetrack_app.formats import Tracks, read_tracks
from posetrack_app.formats.edits_json.file import edits_file, read_edits
from posetrack_app.jobs.review import export_review, open_session
from posetrack_app.jobs.synthetic_video import make_synthetic_video
from posetrack_app.pipeline.editing.history import apply_edits
from posetrack_app.pipeline.editing.table import TrackTable
from posetrack_app.review.columns import Columns, columns_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_film(tmp_path_factory.mktemp("film"))


@pytest.fixture
def address(film: Path) -> Iterator[str]:
    """The page of the film, without edits."""
    with open_session(film, None) as session, serving(session) as page:
        yield page
    edits_file(film).unlink(missing_ok=True)


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def wait_for(page: Page, condition: str) -> None:
    """Until the JavaScript expression is true; `review` is the state of the page."""
    # Not page.wait_for_function: it uses eval, which the page's policy forbids.
    deadline = time.monotonic() + 60
    while not page.evaluate(f"Boolean({condition})"):
        assert time.monotonic() < deadline, condition
        page.wait_for_timeout(20)


def wait_for_edits(page: Page, count: int) -> None:
    wait_for(page, f"review.header.edits.length === {count} && !document.querySelector('dialog[open]')")


def go_to(page: Page, frame: int) -> None:
    """Type the number of a frame, and wait until its image is shown."""
    press(page, "g")
    page.keyboard.type(str(frame))
    press(page, "Enter")
    wait_for(page, f"document.getElementById('stage').dataset.frame === '{frame}'")


def shown_number(page: Page) -> int:
    """The frame number that is drawn along the bottom of the image on the page."""
    bits: list[int] = page.evaluate(
        """() => {
          const canvas = document.createElement("canvas");
          canvas.width = 360; canvas.height = 240;
          const context = canvas.getContext("2d");
          context.drawImage(review.images.get(review.index), 0, 0, 360, 240);
          return Array.from({ length: 8 }, (_, k) => context.getImageData((2 * k + 1) * 22.5, 232, 1, 1).data[0]);
        }"""
    )
    return sum(1 << k for k, level in enumerate(bits) if level > 127)


def corrected(film: Path) -> list[list[int]]:
    """The ids of each frame with the stored edits."""
    tracks = read_tracks(film)
    table = apply_edits(TrackTable.of(tracks), read_edits(edits_file(film))[1])
    return [frame.people.ids.tolist() for frame in table.tracked_frames()]


def test_correct_a_film_with_the_keyboard_only(chromium: Browser, address: str, film: Path) -> None:
    with page_at(chromium, address) as page:
        wait_for(page, "document.getElementById('stage').dataset.frame === '0'")
        press(page, "ArrowRight", "ArrowRight", "ArrowRight", "ArrowLeft")
        wait_for(page, "document.getElementById('stage').dataset.frame === '2'")
        assert shown_number(page) == 2
        press(page, "End")
        wait_for(page, f"document.getElementById('stage').dataset.frame === '{FRAMES - 1}'")
        assert shown_number(page) == FRAMES - 1
        press(page, "Home", "]")  # the first possible id switch: 1 and 2
        wait_for(page, f"document.getElementById('stage').dataset.frame === '{SWITCH}'")
        assert shown_number(page) == SWITCH
        page.wait_for_selector("figcaption:has-text('before:')")
        keep_screenshot(page, "possible-id-switch")
        press(page, "s")
        page.wait_for_selector("#operation[open]")
        assert "1 becomes 2 in" in page.inner_text("#operation-summary")
        page.fill("#operation [name=to]", str(CUT - 1))
        page.fill("#operation [name=reason]", "crossed")
        keep_screenshot(page, "swap")
        press(page, "Enter")
        wait_for_edits(page, 1)
        press(page, "z")
        wait_for_edits(page, 0)
        assert read_edits(edits_file(film))[1] == []
        press(page, "Z")
        wait_for_edits(page, 1)
        press(page, "]", "m")  # the second one: 3 is 9 after a gap
        page.wait_for_selector("#operation[open]")
        assert "Between them:" in page.inner_text("#operation-summary")
        keep_screenshot(page, "merge")
        press(page, "Enter")
        wait_for_edits(page, 2)
        press(page, "]", "n")  # the third one is no mistake
        wait_for_edits(page, 3)
        assert "0 of 3 open" in page.inner_text("#doubts-title")
        assert "saved in tracks.edits.json" in page.inner_text("#saved")
        keep_screenshot(page, "corrected")
    assert [str(edit) for edit in read_edits(edits_file(film))[1]] == [
        f"swap 1 2 from {SWITCH} to {CUT - 1}", "merge 3 9", "confirm 4 in frame 80"
    ]  # fmt: skip
    assert corrected(film) == [people.ids.tolist() for people in make_synthetic_video().people]


def test_every_other_correction(chromium: Browser, address: str, film: Path) -> None:
    with page_at(chromium, address) as page:
        go_to(page, 10)
        press(page, "ArrowDown", "x")
        page.wait_for_selector("#operation[open]")
        press(page, "Enter")
        wait_for_edits(page, 1)
        page.click("#chips [data-person='2']")
        press(page, "8")
        page.wait_for_selector("#operation[open]")
        press(page, "8", "Enter")
        wait_for_edits(page, 2)
        page.click("#chips [data-person='88']")
        for key in "de":
            press(page, key)
            page.wait_for_selector("#operation[open]")
            page.fill("#operation [name=from]", "20")
            page.fill("#operation [name=to]", "24" if key == "d" else "30")
            press(page, "Enter")
            wait_for_edits(page, 3 + "de".index(key))
        wait_for(page, "review.film.keypointsOf(review.film.rowOf(88, review.position))")
        press(page, "k", "Alt+ArrowRight")
        wait_for_edits(page, 5)
        wait_for(page, "review.film.keypointsOf(review.film.rowOf(88, review.position))")
        press(page, "k", "h")
        wait_for_edits(page, 6)
    edits = read_edits(edits_file(film))[1]
    assert [edit.op for edit in edits] == [
        "split", "rename", "delete", "exchange_sides", "move_keypoint", "hide_keypoint"
    ]  # fmt: skip
    assert edits[0].ids[0] == 1
    assert (edits[0].first, edits[1].ids, edits[1].first, edits[2].first, edits[2].last) == (
        10,
        (2, 88),
        10,
        20,
        24,
    )
    assert (edits[4].keypoint, edits[5].keypoint, edits[4].first) == ("nose", "head_bottom", 10)
    ids = corrected(film)
    assert 88 in ids[19]
    assert 88 not in ids[22]


def test_people_who_are_seen_together_are_not_merged(chromium: Browser, address: str, film: Path) -> None:
    with page_at(chromium, address) as page:
        go_to(page, 5)
        press(page, "ArrowDown", "Shift+ArrowDown", "m")
        page.wait_for_selector("#operation[open]")
        assert "are both seen in frames 0 to" in page.inner_text("#operation-summary")
        assert page.is_disabled("#operation-do")
        press(page, "Enter", "Escape")
    assert not edits_file(film).exists()


def test_a_click_selects_a_person_and_a_drag_moves_a_keypoint(
    chromium: Browser, address: str, film: Path
) -> None:
    with page_at(chromium, address) as page:
        go_to(page, 5)
        wait_for(page, "review.film.keypointsOf(0)")
        where = """([id, k]) => {
          const film = review.film, row = film.rowOf(id, review.position), canvas = document.getElementById("stage");
          const box = canvas.getBoundingClientRect(), scale = Math.min(box.width / 360, box.height / 240);
          const xy = k < 0 ? [(film.boxOf(row)[0] + film.boxOf(row)[2]) / 2, (film.boxOf(row)[1] + film.boxOf(row)[3]) / 2]
            : film.keypointsOf(row).xy.subarray(2 * k, 2 * k + 2);
          return [box.left + box.width / 2 + (xy[0] - 180) * scale, box.top + box.height / 2 + (xy[1] - 120) * scale, scale];
        }"""
        x, y, _ = page.evaluate(where, [3, -1])
        page.mouse.click(x, y)
        wait_for(page, "review.selected.join() === '3'")
        press(page, "k")
        nose = POSETRACK.keypoints.index("nose")
        x, y, scale = page.evaluate(where, [3, nose])
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 10 * scale, y, steps=3)
        page.mouse.up()
        wait_for_edits(page, 1)
    (edit,) = read_edits(edits_file(film))[1]
    before = read_tracks(film).frames[5].people
    old = before.smoothed_keypoints[before.ids.tolist().index(3), nose]
    assert (edit.op, edit.keypoint, edit.first, edit.last) == ("move_keypoint", "nose", 5, 5)
    assert edit.xy == pytest.approx((old[0] + 10, old[1]), abs=1.5)


def test_playing_shows_the_frames_in_order(chromium: Browser, address: str) -> None:
    with page_at(chromium, address) as page:
        page.select_option("#speed", "4")
        page.evaluate(
            "() => { review.seen = []; review.on(['position'], () => review.seen.push(review.index)); }"
        )
        press(page, " ")
        wait_for(page, f"!review.isPlaying && review.index === {FRAMES - 1}")
        seen = page.evaluate("review.seen")
        assert seen == sorted(seen)
        assert len(seen) > 5


def test_another_window_shows_the_newest_edits(chromium: Browser, address: str) -> None:
    with page_at(chromium, address, ignored="status of 409") as one:
        with page_at(chromium, address) as other:
            press(other, "]", "n")
            wait_for_edits(other, 1)
        press(one, "]", "n")
        one.wait_for_selector("#toast:has-text('changed in another window')")
        wait_for_edits(one, 1)


@pytest.mark.parametrize(
    ("name", "width", "height", "scale", "dark"),
    [
        ("laptop-light", 1366, 768, 1, False),
        ("laptop-dark", 1366, 768, 1, True),
        ("laptop-at-200-percent", 683, 384, 2, False),
    ],
)
def test_nothing_is_cut_off(
    chromium: Browser, address: str, name: str, width: int, height: int, scale: float, dark: bool
) -> None:
    with page_at(chromium, address, width=width, height=height, scale=scale, dark=dark) as page:
        wait_for(page, "document.getElementById('stage').dataset.frame === '0'")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        cut_off = page.evaluate(
            """() => [...document.querySelectorAll("button, input, select")].filter((each) => {
                 const box = each.getBoundingClientRect();
                 return box.width && (box.left < 0 || box.right > innerWidth + 1);
               }).map((each) => each.id || each.textContent)"""
        )
        assert cut_off == []
        press(page, "]")
        wait_for(page, f"document.getElementById('stage').dataset.frame === '{SWITCH}'")
        keep_screenshot(page, name)
        page.locator("#doubt-list li").first.scroll_into_view_if_needed()
        page.wait_for_selector("figcaption:has-text('after:')")
        keep_screenshot(page, f"{name}-list")
        press(page, "?")
        page.wait_for_selector("#keys[open]")
        keep_screenshot(page, f"{name}-keys")


def test_everything_has_a_name_for_screen_readers(chromium: Browser, address: str) -> None:
    with page_at(chromium, address) as page:
        unnamed = page.evaluate(
            """() => [...document.querySelectorAll("button, input, select, canvas[role], section, [role=slider]")]
                 .filter((each) => !(each.getAttribute("aria-label") || each.getAttribute("aria-labelledby")
                   || each.textContent.trim() || each.closest("label")?.textContent.trim()))
                 .map((each) => each.outerHTML.slice(0, 80))"""
        )
        assert unnamed == []
        go_to(page, 7)
        assert page.get_attribute("#stage", "aria-label") == "Frame 7, people 1, 2, 3"
        assert page.get_attribute("#lanes", "aria-valuenow") == "7"


def test_colours_are_those_of_the_overlay(chromium: Browser, address: str) -> None:
    with page_at(chromium, address) as page:
        ids = [*range(200), 999, 123_456]
        colours = page.evaluate(
            "async (ids) => { const { colourOf } = await import('review/colours.js'); return ids.map(colourOf); }",
            ids,
        )
        assert np.abs(np.array(colours) - [colour_of(each) for each in ids]).max() <= 1


def test_a_wrong_token_shows_no_page(chromium: Browser, address: str) -> None:
    page = chromium.new_page()
    response = page.goto(address.rstrip("/")[:-3] + "xyz/")
    assert response is not None
    assert response.status == 403
    assert "token in this address is wrong" in page.inner_text("body")
    page.close()


def test_the_exported_page_needs_no_server(chromium: Browser, film: Path, tmp_path: Path) -> None:
    export_review(film, tmp_path / "page.html")
    with page_at(chromium, (tmp_path / "page.html").as_uri()) as page:
        go_to(page, 60)
        assert shown_number(page) == 60
        wait_for(page, "review.film.keypointsOf(0)")
        assert page.inner_text("#saved") == "view only"
        press(page, "ArrowDown", "d")
        page.wait_for_selector("#toast:has-text('only shows the tracks')")
        keep_screenshot(page, "exported")


class LargeSession:
    """10,000 frames with 60 tracks, of which 15 are seen in each frame; without a video."""

    def __init__(self) -> None:
        frames = np.repeat(np.arange(10_000), 15)
        ids = np.tile(np.arange(15), 10_000) + 15 * (frames // 2500)
        corner = np.stack([ids * 97 % 1800, ids * 53 % 900], axis=1) + (frames % 100)[:, None]
        boxes = np.concatenate([corner, corner + (40, 100)], axis=1).astype(float)
        keypoints = np.repeat(corner[:, None] + 20.0, 17, axis=1)
        found = Detections.detected(boxes, np.full(len(ids), 0.9))
        people = found.with_keypoints(keypoints, np.full((len(ids), 17), 0.9)).with_ids(ids)
        infos = [FrameInfo(index, index / 25, (1920, 1080)) for index in range(10_000)]
        self.columns: Columns = columns_of(infos, frames, people)

    def tracks(self) -> bytes:
        about: dict[str, Any] = {
            "file": "large.json", "edits_file": "large.edits.json", "width": 1920, "height": 1080, "has_video": False,
            "pixel_aspect": 1.0, "keypoint_names": POSETRACK.keypoints, "limbs": POSETRACK.limbs, "switches": [],
            "edits": [], "can_redo": False, "revision": 0, "can_edit": True,
        }  # fmt: skip
        return self.columns.tracks_message(about)

    def keypoints(self, block: int) -> bytes:
        return self.columns.keypoints_message(block)

    def frame(self, index: int) -> bytes | None:
        return None

    def change(self, what: str, edit: Mapping[str, Any], revision: int) -> Mapping[str, Any]:
        raise NotImplementedError


def test_ten_thousand_frames(chromium: Browser) -> None:
    with serving(LargeSession()) as address, page_at(chromium, address) as page:
        assert page.evaluate("review.film.count") == 10_000
        go_to(page, 9_000)
        wait_for(page, "review.film.keypointsOf(review.film.rowsAt(9000)[0])")
        assert (
            page.get_attribute("#stage", "aria-label")
            == f"Frame 9000, people {', '.join(map(str, range(45, 60)))}"
        )
        press(page, "ArrowDown", "+", "+")
        keep_screenshot(page, "ten-thousand-frames")


def test_tracks_without_frames_or_people(chromium: Browser, film: Path, tmp_path: Path) -> None:
    content = json.loads(film.read_text())
    content["annotations"], content["info"]["possible_id_switches"] = [], []
    for frames in (0, 3):
        path = tmp_path / f"{frames}.json"
        path.write_text(json.dumps({**content, "images": content["images"][:frames]}))
        tracks: Tracks = read_tracks(path)
        assert len(tracks.frames) == frames
        with (
            open_session(path, None) as session,
            serving(session) as address,
            page_at(chromium, address) as page,
        ):
            press(page, "ArrowRight", "]", " ", " ", "ArrowDown", "s", "Escape", "z", "f", "k")
            assert page.inner_text("#edits-count") == "none yet"
