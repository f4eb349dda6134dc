"""The server of the review page: who may talk to it, and what it does with edits and frames."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from review_film import BREAK, SWITCH, write_film

from posetrack_app.core.errors import InputError
from posetrack_app.formats.edits_json.file import edits_file, open_edits, read_edits
from posetrack_app.jobs.review import ReviewSession, export_review, open_session
from posetrack_app.jobs.synthetic_video import read_number
from posetrack_app.review.columns import BLOCK_FRAMES
from posetrack_app.review.server import application
from posetrack_app.review.static_files import static_files

TOKEN, HOST = "secret-token", "127.0.0.1:8000"


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_film(tmp_path_factory.mktemp("film"))


@pytest.fixture
def session(film: Path) -> Iterator[ReviewSession]:
    with open_session(film, None) as opened:
        yield opened
    edits_file(film).unlink(missing_ok=True)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


def ask(session: Any, path: str, method: str = "GET", body: Any = None, **headers: str) -> Answer:
    """Send a request to the application, without a network."""
    content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {"host": HOST, "content-length": str(len(content)), **headers}
    scope = {
        "type": "http", "http_version": "1.1", "method": method, "path": path, "raw_path": path.encode(),
        "query_string": b"", "root_path": "", "scheme": "http", "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8000),
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
    }  # fmt: skip
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": content, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(application(session, TOKEN, {HOST})(scope, receive, send))
    found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], found, b"".join(message.get("body", b"") for message in sent[1:]))


def change(session: ReviewSession, what: str, revision: int, edit: Any = None) -> tuple[int, Any]:
    body = {"revision": revision, "edit": edit or {}}
    answer = ask(session, f"/{TOKEN}/edits/{what}", "POST", body, origin=f"http://{HOST}")
    return answer.status, json.loads(answer.body)


def header_of(message: bytes) -> Any:
    return json.loads(message[4 : 4 + int.from_bytes(message[:4], "little")])


@pytest.mark.parametrize("path", ["/", "/wrong/", "/wrong/tracks", f"/{TOKEN}x/", "//", "/%2e%2e/", "*", ""])
def test_another_token_is_refused(session: ReviewSession, path: str) -> None:
    answer = ask(session, path)
    assert answer.status == 403
    assert TOKEN.encode() not in answer.body


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1", "127.0.0.1:1", ""])
def test_another_host_is_refused(session: ReviewSession, host: str) -> None:
    assert ask(session, f"/{TOKEN}/", host=host).status == 403


@pytest.mark.parametrize(
    "origin", [None, "null", "http://evil.example", "https://127.0.0.1:8000", "http://127.0.0.1:1"]
)
def test_changes_from_another_page_are_refused(
    session: ReviewSession, film: Path, origin: str | None
) -> None:
    body = {"revision": 0, "edit": {"op": "delete", "ids": [1]}}
    headers = {} if origin is None else {"origin": origin}
    assert ask(session, f"/{TOKEN}/edits/add", "POST", body, **headers).status == 403
    assert not edits_file(film).exists()


@pytest.mark.parametrize(
    "name",
    ["../server.py", "..%2fserver.py", "/etc/passwd", "%2e%2e/__init__.py", "style.css/", "nothing.js", ""],
)
def test_only_the_files_of_the_page_are_served(session: ReviewSession, name: str) -> None:
    assert ask(session, f"/{TOKEN}/static/{name}").status in (404, 307)
    assert ask(session, f"/{TOKEN}/static/style.css").body == static_files()["style.css"]


def test_the_page_allows_nothing_from_elsewhere(session: ReviewSession) -> None:
    answer = ask(session, f"/{TOKEN}/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "http" not in policy
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert b"//" not in answer.body.replace(b"<!doctype", b"")


def test_large_and_foreign_requests_are_refused(session: ReviewSession) -> None:
    origin = {"origin": f"http://{HOST}"}
    path = f"/{TOKEN}/edits/add"
    assert ask(session, path, "POST", b"{}", **{**origin, "content-length": "99999999"}).status == 413
    for body in (
        b"",
        b"nonsense",
        b"[]",
        b'{"revision": true}',
        b'{"revision": 0, "edit": 1}',
        b"[" * 100_000,
    ):
        assert ask(session, path, "POST", body, **origin).status == 400, body[:20]
    for other in ("edits/remove", "edits/", "tracks"):
        assert ask(session, f"/{TOKEN}/{other}", "POST", {}, **origin).status in (404, 405)


def test_edits_are_stored_at_once_and_can_be_undone_and_redone(session: ReviewSession, film: Path) -> None:
    swap = {"op": "swap", "ids": [1, 2], "from": SWITCH, "to": 65, "reason": "crossed"}
    status, state = change(session, "add", 0, swap)
    assert (status, state["revision"], [edit["text"] for edit in state["edits"]]) == (
        200,
        1,
        ["swap 1 2 from 42 to 65"],
    )
    (stored,) = read_edits(edits_file(film))[1]
    assert (stored.reason, stored.first, stored.last) == ("crossed", SWITCH, 65)
    assert stored.time
    assert stored.seen
    _, state = change(session, "undo", 1)
    assert (state["edits"], state["can_redo"], read_edits(edits_file(film))[1]) == ([], True, [])
    _, state = change(session, "redo", 2)
    assert read_edits(edits_file(film))[1][0].ids == (1, 2)
    change(session, "undo", 3)
    _, state = change(session, "add", 4, {"op": "merge", "ids": [3, 9]})
    assert (len(state["edits"]), state["can_redo"]) == (1, False)


def test_the_session_goes_on_where_the_last_one_ended(film: Path) -> None:
    with open_session(film, None) as session:
        change(session, "add", 0, {"op": "merge", "ids": [3, 9]})
    with open_session(film, None) as session:
        assert header_of(session.tracks())["track_ids"] == [1, 2, 3, 4, 5]
        assert header_of(session.tracks())["edits"][0]["text"] == "merge 3 9"
    edits_file(film).unlink()


def test_possible_id_switches_follow_the_edits(session: ReviewSession) -> None:
    def now() -> Any:
        return [switch["now"] for switch in header_of(session.tracks())["switches"]]

    assert now() == [[1, 2], [3, 9], [4]]
    change(session, "add", 0, {"op": "rename", "ids": [9, 30]})
    assert now() == [[1, 2], [3, 30], [4]]
    change(session, "add", 1, {"op": "merge", "ids": [3, 30]})
    change(session, "add", 2, {"op": "delete", "ids": [4]})
    assert now() == [[1, 2], [3], []]
    change(session, "undo", 3)
    change(session, "add", 4, {"op": "confirm", "ids": [4], "from": 80, "to": 80})
    change(session, "add", 5, {"op": "rename", "ids": [4, 40]})
    last = header_of(session.tracks())["switches"][2]
    assert (last["ids"], last["now"], last["confirmed"]) == ([4], [40], True)


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        ({"op": "merge", "ids": [1, 2]}, "both seen"),
        ({"op": "swap", "ids": [1, 77]}, "no person with id 77"),
        ({"op": "delete", "ids": [1], "from": 100_000}, "no frame 100000"),
        ({"op": "erase", "ids": [1]}, "op must be one of"),
        ({"op": "swap", "ids": "12"}, "ids must be an array"),
        ({"op": "swap", "ids": [1]}, "needs 2 ids"),
        ({"op": "move_keypoint", "ids": [1], "from": 3, "to": 3, "keypoint": "nose", "x": 1}, "x and y"),
        ({}, "has no 'op'"),
    ],
)
def test_edits_that_do_not_fit_are_refused(
    session: ReviewSession, film: Path, edit: Any, reason: str
) -> None:
    status, answer = change(session, "add", 0, edit)
    assert status == 422
    assert reason in answer["error"]
    assert not edits_file(film).exists()
    assert change(session, "undo", 0)[0] == 422
    assert change(session, "redo", 0)[0] == 422


def test_a_second_window_cannot_overwrite_the_first(session: ReviewSession) -> None:
    change(session, "add", 0, {"op": "delete", "ids": [4]})
    status, answer = change(session, "add", 0, {"op": "delete", "ids": [5]})
    assert status == 409
    assert "another window" in answer["error"]


def test_one_process_at_a_time_edits_the_tracks(session: ReviewSession, film: Path) -> None:
    with pytest.raises(InputError, match="being edited by another posetrack process"), open_edits(film, 100):
        pass


def test_frames_are_exact_in_any_order(session: ReviewSession) -> None:
    for index in (0, 50, 49, 48, 99, 3, 98, 0, 66, 65):
        answer = ask(session, f"/{TOKEN}/frame/{index}")
        assert answer.headers["content-type"] == "image/jpeg"
        image = cv2.imdecode(np.frombuffer(answer.body, np.uint8), cv2.IMREAD_COLOR)
        assert image is not None
        assert read_number(np.asarray(image, np.uint8)) == index
    for index in (100, 10**12):
        assert ask(session, f"/{TOKEN}/frame/{index}").status == 404
    assert ask(session, f"/{TOKEN}/frame/-1").status == 404


def test_keypoints_come_in_blocks(session: ReviewSession) -> None:
    message = ask(session, f"/{TOKEN}/keypoints/0").body
    about = header_of(message)["arrays"]
    rows = header_of(session.tracks())["arrays"]["tracks"]["values"]
    assert BLOCK_FRAMES > 100
    assert about["keypoints"]["values"] == rows * 17 * 2
    assert header_of(session.keypoints(5))["arrays"]["scores"]["values"] == 0


def test_without_the_video_the_page_still_opens(tmp_path: Path, film: Path) -> None:
    copy = tmp_path / "tracks.json"
    copy.write_bytes(film.read_bytes())
    with open_session(copy, None) as session:
        assert header_of(session.tracks())["has_video"] is False
        assert ask(session, f"/{TOKEN}/frame/0").status == 404


def test_another_video_is_refused(tmp_path: Path, film: Path) -> None:
    import clips

    clips.write_clip(tmp_path / "other.mp4", times=5)
    with (
        pytest.raises(InputError, match="was made from a video of 360x240"),
        open_session(film, tmp_path / "other.mp4"),
    ):
        pass


def test_the_exported_page_shows_the_edited_tracks(film: Path, tmp_path: Path) -> None:
    with open_session(film, None) as session:
        change(session, "add", 0, {"op": "merge", "ids": [3, 9], "from": BREAK})
    with pytest.raises(InputError, match="is the tracks file itself"):
        export_review(film, film, force=True)
    page = tmp_path / "page.html"
    size = export_review(film, page)
    edits_file(film).unlink()
    text = page.read_text()
    assert size == page.stat().st_size
    assert text.count('id="frame-') == 100
    assert 'src="static' not in text
    with pytest.raises(InputError, match="already exists"):
        export_review(film, page)
