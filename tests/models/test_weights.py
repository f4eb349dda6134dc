"""Published weights, downloaded from a local server that loses connections, sends wrong files and resumes."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import http.server
import io
import pickle
import re
import sys
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

from posetrack_app.cli import posetrack
from posetrack_app.core.errors import InputError
from posetrack_app.models import download, weights
from posetrack_app.models.weights import (
    PublishedWeights,
    bundle,
    check_file,
    fetch,
    find,
    import_file,
    published,
    weights_folder,
)

CONTENT = bytes(range(256)) * 4000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT; `cut` ends the first responses after this many bytes; `ranges` collects the Range headers."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.cut: list[int] = []
        self.status: int | None = None
        self.ranges: list[str | None] = []
        self.supports_ranges = True

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.ranges.append(wanted)
        if self.server.status:
            self.send_error(self.server.status)
            return
        start = (
            int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.server.supports_ranges else 0
        )
        if start >= len(self.server.content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(self.server.content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = self.server.content[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(self.server.content) - 1}/*")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.server.cut.pop(0)] if self.server.cut else body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PAUSE_SECONDS", 0.0)
    monkeypatch.delenv("POSETRACK_WEIGHTS_MIRROR", raising=False)


@contextmanager
def running_server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    with running_server() as running:
        yield running


@pytest.fixture
def mirror() -> Iterator[Server]:
    """A second server with the same file."""
    with running_server() as running:
        yield running


@pytest.fixture
def served(server: Server) -> PublishedWeights:
    url = f"{server.address}/weights.pth"
    return dataclasses.replace(
        find("hrnet-w32-coco-256x192"), file="weights.pth", url=url, mirrors=(), sha256=DIGEST[:8]
    )


@pytest.fixture
def registered(served: PublishedWeights, monkeypatch: pytest.MonkeyPatch) -> PublishedWeights:
    """The served file is the only published one."""
    monkeypatch.setattr(weights, "published", lambda: {served.name: served})
    return served


def test_download(server: Server, served: PublishedWeights, tmp_path: Path) -> None:
    progress: list[tuple[int, int | None]] = []
    path = fetch(served, tmp_path / "new" / "folder", progress=lambda *sizes: progress.append(sizes))
    assert path.read_bytes() == CONTENT
    assert progress[-1] == (len(CONTENT), len(CONTENT))
    assert fetch(served, tmp_path / "new" / "folder") == path
    assert len(server.ranges) == 1, "the second time nothing is downloaded"
    assert sorted(p.name for p in path.parent.iterdir()) == ["weights.pth"]


def test_a_broken_connection_is_resumed(server: Server, served: PublishedWeights, tmp_path: Path) -> None:
    server.cut = [300_000, 200_000]
    assert fetch(served, tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=300000-", "bytes=500000-"]


def test_a_connection_that_is_lost_again_and_again_keeps_the_partial_file(
    server: Server, served: PublishedWeights, tmp_path: Path
) -> None:
    server.cut = [1000, 1000, 1000]
    with pytest.raises(InputError, match="3000 bytes are kept, and the next try resumes there") as caught:
        fetch(served, tmp_path)
    assert str(served.url) in str(caught.value)
    assert fetch(served, tmp_path).read_bytes() == CONTENT
    assert server.ranges[-1] == "bytes=3000-"


@pytest.mark.skipif(sys.platform == "win32", reason="files are not locked on Windows")
def test_two_processes_do_not_mix(server: Server, served: PublishedWeights, tmp_path: Path) -> None:
    refused: list[InputError] = []

    def second(_received: int, _total: int | None) -> None:
        if not refused:
            with pytest.raises(
                InputError, match=r"weights\.pth\.part: another posetrack process is downloading"
            ) as caught:
                fetch(served, tmp_path)
            refused.append(caught.value)

    assert fetch(served, tmp_path, progress=second).read_bytes() == CONTENT
    assert len(refused) == 1
    assert server.ranges == [None]
    assert [path.name for path in tmp_path.iterdir()] == ["weights.pth"]


def test_a_server_that_does_not_resume(server: Server, served: PublishedWeights, tmp_path: Path) -> None:
    server.supports_ranges = False
    (tmp_path / "weights.pth.part").write_bytes(b"old")
    assert fetch(served, tmp_path).read_bytes() == CONTENT


def test_a_partial_file_longer_than_the_file(
    server: Server, served: PublishedWeights, tmp_path: Path
) -> None:
    (tmp_path / "weights.pth.part").write_bytes(CONTENT + b"more")
    assert fetch(served, tmp_path).read_bytes() == CONTENT


def test_a_complete_partial_file_is_kept(server: Server, served: PublishedWeights, tmp_path: Path) -> None:
    """A process that was ended between the last byte and the check."""
    (tmp_path / "weights.pth.part").write_bytes(CONTENT)
    assert fetch(served, tmp_path).read_bytes() == CONTENT
    assert server.ranges == [f"bytes={len(CONTENT)}-"]


def test_the_next_address_goes_on_where_the_first_was_lost(
    server: Server, mirror: Server, served: PublishedWeights, tmp_path: Path
) -> None:
    server.cut = [300_000]
    both = dataclasses.replace(served, mirrors=(f"{mirror.address}/weights.pth",))
    assert fetch(both, tmp_path).read_bytes() == CONTENT
    assert (server.ranges, mirror.ranges) == ([None], ["bytes=300000-"])


@pytest.mark.parametrize("fault", ["gone", "busy", "no server", "another file"])
def test_the_next_address_is_tried(
    server: Server, mirror: Server, served: PublishedWeights, tmp_path: Path, fault: str
) -> None:
    server.status = {"gone": 404, "busy": 503}.get(fault)
    if fault == "another file":
        server.content = CONTENT[:-1] + b"!"
    url = "http://127.0.0.1:1/weights.pth" if fault == "no server" else served.url
    both = dataclasses.replace(served, url=url, mirrors=(f"{mirror.address}/weights.pth",))
    assert fetch(both, tmp_path).read_bytes() == CONTENT
    assert mirror.ranges == [None]
    assert [path.name for path in tmp_path.iterdir()] == ["weights.pth"]


def test_a_busy_server_is_tried_again(server: Server, served: PublishedWeights, tmp_path: Path) -> None:
    server.status = 503
    with pytest.raises(InputError, match="the server replied 503"):
        fetch(served, tmp_path)
    assert len(server.ranges) == 3


def test_a_wrong_start_is_dropped(server: Server, served: PublishedWeights, tmp_path: Path) -> None:
    """The bytes of an earlier try may be those of another file."""
    (tmp_path / "weights.pth.part").write_bytes(b"!" * 1000)
    assert fetch(served, tmp_path).read_bytes() == CONTENT
    assert server.ranges == ["bytes=1000-", None]


def test_every_problem_is_told(
    server: Server, mirror: Server, served: PublishedWeights, tmp_path: Path
) -> None:
    server.status, mirror.status = 404, 403
    both = dataclasses.replace(served, mirrors=(f"{mirror.address}/weights.pth",))
    with pytest.raises(
        InputError, match=r"replied 404 Not Found; http.* replied 403 .*, try again or put"
    ) as caught:
        fetch(both, tmp_path)
    assert "\n" not in str(caught.value)
    assert len(server.ranges) == len(mirror.ranges) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("end", ["", "/"])
def test_a_mirror_is_tried_first(
    server: Server, mirror: Server, served: PublishedWeights, tmp_path: Path, end: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("POSETRACK_WEIGHTS_MIRROR", mirror.address + end)
    assert fetch(served, tmp_path).read_bytes() == CONTENT
    assert (server.ranges, mirror.ranges) == ([], [None])


def test_a_mirror_without_the_file(
    server: Server, mirror: Server, served: PublishedWeights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror.status = 404
    monkeypatch.setenv("POSETRACK_WEIGHTS_MIRROR", mirror.address)
    assert fetch(served, tmp_path).read_bytes() == CONTENT
    assert len(mirror.ranges) == 1


def test_a_folder_as_mirror_works_offline(
    server: Server, served: PublishedWeights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "disk").mkdir()
    monkeypatch.setenv("POSETRACK_WEIGHTS_MIRROR", str(tmp_path / "disk"))
    monkeypatch.setenv("POSETRACK_OFFLINE", "1")
    with pytest.raises(InputError, match=r"disk/weights\.pth: no such file, try again or put"):
        fetch(served, tmp_path / "a")
    (tmp_path / "disk" / "weights.pth").write_bytes(CONTENT)
    assert fetch(served, tmp_path / "a").read_bytes() == CONTENT
    assert server.ranges == []


def test_a_mirror_has_the_authors_files_too(
    mirror: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSETRACK_WEIGHTS_MIRROR", mirror.address)
    by_authors = dataclasses.replace(find("hrnet-w48-coco-384x288-authors"), sha256=DIGEST)
    assert fetch(by_authors, tmp_path).name == "pose_hrnet_w48_384x288.pth"


def test_a_mirror_of_another_kind(
    served: PublishedWeights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSETRACK_WEIGHTS_MIRROR", "ftp://example.org")
    with pytest.raises(InputError, match=r"'ftp://example\.org'; give an http or https address, or a folder"):
        fetch(served, tmp_path)


def test_a_file_with_a_wrong_hash_is_deleted(
    server: Server, served: PublishedWeights, tmp_path: Path
) -> None:
    server.content = CONTENT[:-1] + b"!"
    with pytest.raises(
        InputError, match=rf"the published one with {DIGEST[:8]}.*deleted, try again or put weights.pth"
    ):
        fetch(served, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_local_file_is_refused(served: PublishedWeights, tmp_path: Path) -> None:
    (tmp_path / "weights.pth").write_bytes(CONTENT[:-1])
    with pytest.raises(InputError, match="is not hrnet-w32-coco-256x192: its SHA-256"):
        fetch(served, tmp_path)


def test_no_space_left(
    server: Server, served: PublishedWeights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class FullDisk(io.BytesIO):
        def write(self, _: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "open", lambda *_args, **_options: FullDisk())
    with pytest.raises(InputError, match="no space left in"):
        fetch(served, tmp_path)


@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_file_that_is_gone(server: Server, served: PublishedWeights, tmp_path: Path, status: int) -> None:
    server.status = status
    with pytest.raises(InputError, match=rf"the server replied {status}.*put weights.pth .* into"):
        fetch(served, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_no_network(served: PublishedWeights, tmp_path: Path) -> None:
    unreachable = dataclasses.replace(served, url="http://127.0.0.1:1/weights.pth")
    with pytest.raises(InputError, match=r"no connection to http://127.0.0.1:1/weights\.pth") as caught:
        fetch(unreachable, tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "are kept" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_offline_mode_says_which_file_to_put_where(
    server: Server, served: PublishedWeights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSETRACK_OFFLINE", "1")
    with pytest.raises(InputError, match=r"offline mode is on; put weights.pth") as caught:
        fetch(served, tmp_path)
    assert str(served.url) in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert server.ranges == []
    (tmp_path / "weights.pth").write_bytes(CONTENT)
    assert fetch(served, tmp_path).name == "weights.pth"


def test_the_authors_files_are_downloaded_by_hand(tmp_path: Path) -> None:
    weights_of_authors = find("hrnet-w48-coco-384x288-authors")
    with pytest.raises(
        InputError, match=r"download pose_hrnet_w48_384x288\.pth from https://github\.com/leoxiaobin"
    ):
        fetch(weights_of_authors, tmp_path)


def test_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("POSETRACK_WEIGHTS", str(tmp_path))
    assert weights.weights_folder() == tmp_path
    assert weights.weights_folder(tmp_path / "other") == tmp_path / "other"
    monkeypatch.delenv("POSETRACK_WEIGHTS")
    assert "posetrack" in weights.weights_folder().parts


def test_the_folder_is_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "t.json").touch()
    monkeypatch.setenv("POSETRACK_WEIGHTS", str(tmp_path / "t.json"))
    with pytest.raises(InputError, match=r"t.json, the folder for weights \(POSETRACK_WEIGHTS\), is a file"):
        weights_folder()


def test_bundle_and_import(registered: PublishedWeights, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "weights.pth").write_bytes(CONTENT)
    bundle([registered], tmp_path / "out.tar", tmp_path / "a")
    assert import_file(tmp_path / "out.tar", tmp_path / "b") == [registered]
    assert (tmp_path / "b" / "weights.pth").read_bytes() == CONTENT


def test_a_bundle_may_have_any_name(registered: PublishedWeights, tmp_path: Path) -> None:
    fetch(registered, tmp_path / "a")
    bundle([registered], tmp_path / "my.bundle", tmp_path / "a")
    assert import_file(tmp_path / "my.bundle", tmp_path / "b") == [registered]


def test_embedded_weights_need_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="embedded-pose is part of posetrack and needs no bundle"):
        bundle([find("embedded-pose")], tmp_path / "out.tar", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_import_by_hash_under_any_name(registered: PublishedWeights, tmp_path: Path) -> None:
    (tmp_path / "download(1).pth").write_bytes(CONTENT)
    assert import_file(tmp_path / "download(1).pth", tmp_path / "b") == [registered]
    assert (tmp_path / "b" / "weights.pth").is_file()


def hostile_tar(path: Path, *members: tuple[str, bytes, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, kind, content in members:
            member = tarfile.TarInfo(name)
            member.type, member.size, member.linkname = kind, len(content), "/etc/passwd"
            archive.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize(
    "member",
    [
        ("../weights.pth", tarfile.REGTYPE, CONTENT),
        ("/tmp/weights.pth", tarfile.REGTYPE, CONTENT),
        ("folder/weights.pth", tarfile.REGTYPE, CONTENT),
        ("weights.pth", tarfile.SYMTYPE, b""),
        ("weights.pth", tarfile.LNKTYPE, b""),
        ("readme.txt", tarfile.REGTYPE, b"hello"),
    ],
    ids=["parent folder", "absolute", "folder", "symbolic link", "hard link", "another file"],
)
def test_a_strange_bundle_writes_nothing(
    registered: PublishedWeights, tmp_path: Path, member: tuple[str, bytes, bytes]
) -> None:
    path = hostile_tar(tmp_path / "out.tar", ("weights.pth", tarfile.REGTYPE, CONTENT), member)
    with pytest.raises(InputError, match="nothing was imported"):
        import_file(path, tmp_path / "b")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.tar"]


def test_a_damaged_bundle(registered: PublishedWeights, tmp_path: Path) -> None:
    path = hostile_tar(tmp_path / "out.tar", ("weights.pth", tarfile.REGTYPE, CONTENT[:-1] + b"!"))
    with pytest.raises(
        InputError, match=r"out\.tar: weights\.pth is not hrnet-w32-coco-256x192: its SHA-256"
    ):
        import_file(path, tmp_path / "b")
    path.write_bytes(path.read_bytes()[:600_000])
    with pytest.raises(InputError, match=r"out\.tar"):
        import_file(path, tmp_path / "b")
    assert list((tmp_path / "b").iterdir()) == []


def test_the_published_weights_are_consistent() -> None:
    entries = list(published().values())
    assert len(entries) > 80
    assert len({entry.file for entry in entries}) == len(entries)
    for entry in entries:
        assert (entry.url is None) == (entry.page is not None), entry.name
        if entry.url:
            assert entry.url.startswith("https://"), entry.name
            assert entry.url.endswith(entry.file), entry.name
            assert entry.sha256, entry.name
            assert entry.sha256 in entry.file, entry.name
        if entry.task == "pose":
            assert entry.input, entry.name
            assert entry.decoding, entry.name
            maps = 3 if entry.decoding == "udp-offsets" else 1
            assert entry.outputs == maps * {"coco": 17, "mpii": 16, "posetrack18": 17}[str(entry.keypoints)]
        if entry.source == "authors":
            assert entry.sha256 is None or len(entry.sha256) == 64, entry.name
        for address in entry.mirrors:
            assert address.startswith("https://"), entry.name
            assert address.endswith(entry.file), entry.name
            assert address != entry.url, entry.name
    assert find("hrnet-w48-posetrack18-384x288").metric == (
        "AP 77.8 PoseTrack18 val, boxes of Cascade R-CNN X101 (score 0.4, OKS NMS 0.9, keypoint visibility 0.2); "
        "84.6 with labelled boxes"
    )
    assert find("hrnet-w32-coco-256x192-merge").sha256 == "a9ea6d77"
    assert find("resnet-101-coco-384x288").input == (288, 384)
    assert str(find("hrnet-w32-coco-256x192-authors").sha256).startswith("19bc0837")
    assert "hrnet-w48-mpii-256x256-authors" not in published()
    assert find("resnet-50-coco-256x192-authors").colour == "BGR"
    assert find("resnet-50-coco-256x192").colour == "RGB"


def test_an_unknown_name() -> None:
    with pytest.raises(InputError, match="did you mean hrnet-w48-coco-384x288"):
        find("hrnet-w48-coco-384x28")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(posetrack, [str(argument) for argument in arguments])


def test_commands(registered: PublishedWeights, tmp_path: Path) -> None:
    folder = ("--folder", tmp_path / "a")
    assert f"1 of 1 are in {tmp_path}" not in run("weights", "list", *folder).output
    pulled = run("weights", "pull", registered.name, *folder)
    assert pulled.output == f"{registered.name}: {tmp_path / 'a' / 'weights.pth'}\n"
    assert f"* {registered.name}" in run("weights", "list", *folder).output
    assert "ok      " in run("weights", "verify", *folder).output
    assert run("weights", "bundle", tmp_path / "out.tar", *folder).exit_code == 0
    assert run("weights", "import", tmp_path / "out.tar", "--folder", tmp_path / "b").exit_code == 0
    check_file(tmp_path / "b" / "weights.pth", registered)
    (tmp_path / "a" / "weights.pth").write_bytes(b"no")
    damaged = run("weights", "verify", *folder)
    assert isinstance(damaged.exception, InputError)
    assert "DAMAGED" in damaged.output
    assert isinstance(
        run("weights", "bundle", tmp_path / "x.tar", "--folder", tmp_path / "c").exception, InputError
    )


def test_models_prints_the_published_numbers(tmp_path: Path) -> None:
    lines = run("models", "--folder", tmp_path).output.splitlines()
    line = next(line for line in lines if line.startswith("hrnet-w48-coco-384x288 "))
    assert line.split()[:7] == [
        "hrnet-w48-coco-384x288",
        "384x288",
        "63.60",
        "32.88",
        "35.31",
        "Apache-2.0",
        "no",
    ]
    assert "AP 76.7 COCO val2017" in line
    assert not any(line.startswith(("htc", "fcos")) for line in lines)
    assert not any(" - " in line for line in lines if line.startswith(("faster", "mask", "cascade")))
    shipped = next(line for line in lines if line.startswith("embedded-detector "))
    assert shipped.split()[1:7] == ["320x544", "6.69", "6.39", "6.87", "research", "yes"]


def test_export_refuses_networks_that_are_not_built(tmp_path: Path) -> None:
    outcome = run("export", "htc-w18-20e", "--folder", tmp_path)
    assert isinstance(outcome.exception, InputError)
    assert "is for htc-w18, which posetrack does not build" in str(outcome.exception)
    outcome = run("export", "embedded-detector", "--frames", "0x9")
    assert "--frames 0x9: give width and height" in str(outcome.exception)


def test_a_bundle_contains_the_files_that_links_point_to(
    registered: PublishedWeights, tmp_path: Path
) -> None:
    for folder in ("disk", "a"):
        (tmp_path / folder).mkdir()
    (tmp_path / "disk" / "weights.pth").write_bytes(CONTENT)
    (tmp_path / "a" / "weights.pth").symlink_to(tmp_path / "disk" / "weights.pth")
    bundle([registered], tmp_path / "out.tar", tmp_path / "a")
    assert import_file(tmp_path / "out.tar", tmp_path / "b") == [registered]
    assert (tmp_path / "b" / "weights.pth").read_bytes() == CONTENT


def _without_hash() -> PublishedWeights:
    return next(one for one in published().values() if one.sha256 is None and one.file.endswith(".pth"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<!DOCTYPE html><html>Sign in to continue</html>", "is damaged or not a weight file"),
        (b"", "is damaged or not a weight file"),
        (pickle.dumps({"epoch": 7}, protocol=4), "is damaged or not a weight file"),
        (pickle.dumps(Path("x"), protocol=4), "is damaged or not a weight file"),
    ],
)
@pytest.mark.parametrize("bundled", [False, True])
def test_what_is_no_weight_file_is_not_imported(
    tmp_path: Path, content: bytes, message: str, bundled: bool, recwarn: pytest.WarningsRecorder
) -> None:
    """Also where no hash is published, as for the files of the HRNet authors: a page of a login is no network."""
    file = tmp_path / _without_hash().file
    file.write_bytes(content)
    source = file
    if bundled:
        source = tmp_path / "all.tar"
        with tarfile.open(source, "w") as archive:
            archive.add(file, arcname=file.name)
    with pytest.raises(InputError, match=f"{re.escape(file.name)} {message}"):
        import_file(source, tmp_path / "b")
    assert not list((tmp_path / "b").iterdir())
    assert not recwarn.list  # PyTorch warns of pickle protocol 4


def test_weights_without_a_hash_are_imported(tmp_path: Path) -> None:
    file = tmp_path / _without_hash().file
    torch.save({"conv1.weight": torch.zeros(2)}, file)
    assert import_file(file, tmp_path / "b") == [_without_hash()]
    assert (tmp_path / "b" / file.name).read_bytes() == file.read_bytes()
