"""The Python API: it imports fast, has the options of the commands, and its documented examples run."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import killed_run
import pytest

import posetrack_app
from posetrack_app.cli import posetrack
from posetrack_app.core.json_file import load_json, write_json
from posetrack_app.core.records import FrameInfo
from posetrack_app.core.skeletons import POSETRACK
from posetrack_app.formats import TracksWriter
from posetrack_app.jobs import track
from posetrack_app.jobs.synthetic_video import make_synthetic_video, write_synthetic_video
from posetrack_app.models import build

PAGE = (Path(__file__).parents[1] / "docs" / "python-api.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
FUNCTIONS = {
    "run": "track_video", "render": "render", "link": "link", "convert": "convert", "validate": "validate",
    "evaluate": "evaluate",
}  # fmt: skip
CLI_ONLY = {
    "json_file", "report", "images", "csv_file", "latex_file", "baseline", "margin", "out_dir", "list_file", "workers",
    "overlay_dir", "skip_done", "part", "ray", "max_seconds", "metrics", "summary_html", "quiet", "log_format", "all_faults",
    "frames", "dataset",
}  # fmt: skip
"""Options for several videos, and for what to do with the scores that `evaluate` returns."""
PYTHON_ONLY = {"on_frame", "progress", "networks"}


def test_importing_the_package_loads_no_heavy_package() -> None:
    heavy = ("torch", "cv2", "av", "decord", "numpy", "scipy")
    code = f"import sys, posetrack_app; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_networks_compute_after_a_video_was_read(tmp_path: Path) -> None:
    """In a process that did not load torch before, as after `render`; decord has its own BLAS."""
    write_synthetic_video(make_synthetic_video(), tmp_path / "video.mp4")
    code = """
import sys
from pathlib import Path
from posetrack_app import open_video
with open_video(Path(sys.argv[1]), stop=0.2) as frames:
    list(frames)
    print(frames.info.decoder)
import torch
print(torch.mm(torch.ones(64, 64), torch.ones(64, 64)).sum().item())
"""
    run = [sys.executable, "-c", code, str(tmp_path / "video.mp4")]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ended with {done.returncode}: {done.stderr}"
    assert done.stdout.splitlines()[-1] == f"{64.0**3}"


def test_every_name_exists_and_no_subpackage_hides_it() -> None:
    """Python sets the attribute of a subpackage when it is imported, so no function may share its name."""
    for file in Path(posetrack_app.__file__).parent.glob("*/__init__.py"):
        import_module(f"posetrack_app.{file.parent.name}")
    for name in posetrack_app.__all__:
        assert not isinstance(getattr(posetrack_app, name), ModuleType), name
        assert name in dir(posetrack_app)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        posetrack_app.nothing  # noqa: B018


@pytest.mark.parametrize("command", FUNCTIONS)
def test_functions_have_the_options_of_the_commands(command: str) -> None:
    options = {option.name for option in posetrack.commands[command].params}
    arguments = set(inspect.signature(getattr(posetrack_app, FUNCTIONS[command])).parameters)
    renamed = {"videos": "video", "devices": "device"}
    assert arguments - PYTHON_ONLY == {renamed.get(str(name), name) for name in options} - CLI_ONLY


def test_the_page_has_every_function() -> None:
    for function in FUNCTIONS.values():
        assert f"`{function}(" in PAGE
    for name in posetrack_app.__all__:
        assert name in PAGE or name == "__version__", name


def test_every_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In order, as a reader would type them, on a short video with figures that the networks find."""
    video = make_synthetic_video().first(8)
    write_synthetic_video(video, tmp_path / "video.mp4")
    with TracksWriter(tmp_path / "truth.json", skeleton=POSETRACK, info={}) as writer:
        for index, (seconds, people) in enumerate(zip(video.seconds, video.people, strict=True)):
            writer.write(FrameInfo(index, seconds), people)
    content = load_json(tmp_path / "truth.json")
    for person in content["annotations"]:
        person["bbox_head"] = [*person["bbox"][:2], 15, 20]
    write_json(tmp_path / "truth.json", content)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    assert len(EXAMPLES) == 8
    for example in EXAMPLES:
        exec(compile(example, "docs/python-api.md", "exec"), names)
    assert len(names["tracks"].ids) >= 1
    assert names["report"].frames == 8
    for made in (
        "overlay.mp4",
        "drawn.mp4",
        "people.png",
        "relinked.json",
        "tracks.csv",
        "markers",
        "sure.json",
        "corrected.json",
    ):
        assert (tmp_path / made).exists(), made


def test_networks_are_loaded_once_for_two_videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`networks=` takes the place of loading; the tracks are those of separate runs."""
    monkeypatch.setattr(build, "load_networks", pytest.fail)
    monkeypatch.setattr(track, "load_networks", pytest.fail)
    write_synthetic_video(make_synthetic_video().first(6), tmp_path / "a.mp4")
    write_synthetic_video(make_synthetic_video().first(9), tmp_path / "b.mp4")
    detector = killed_run.HashDetector()
    networks = killed_run.fake_networks(detector)
    for name, frames in (("a", 6), ("b", 9)):
        video, before = tmp_path / f"{name}.mp4", sum(detector.batches)
        report = posetrack_app.track_video(video, tmp_path / f"{name}.json", networks=networks)
        assert report.frames == sum(detector.batches) - before == frames
        alone = tmp_path / f"{name}-alone.json"
        posetrack_app.track_video(video, alone, networks=killed_run.fake_networks())
        assert alone.read_bytes() == (tmp_path / f"{name}.json").read_bytes()
