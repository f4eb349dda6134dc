"""The Python API: light to import, the commands' options under the commands' names, and every documented example runs."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import posetrack_app
from posetrack_app.cli import posetrack
from posetrack_app.formats import TracksWriter
from posetrack_app.formats.json_file import load_json, write_json
from posetrack_app.skeleton import POSETRACK
from posetrack_app.synthetic import make_film, write_film

PAGE = (Path(__file__).parents[2] / "docs" / "python-api.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
FUNCTIONS = {
    "run": "track_video", "render": "render", "link": "link", "convert": "convert", "validate": "validate",
    "evaluate": "evaluate",
}  # fmt: skip
OF_THE_TERMINAL = {"json_file", "report", "baseline", "margin"}
"""Options that say where to print what the functions return."""


def test_importing_it_loads_nothing_heavy() -> None:
    heavy = ("torch", "cv2", "av", "decord", "numpy", "scipy")
    code = f"import sys, posetrack_app; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_networks_compute_after_a_video_was_read(tmp_path: Path) -> None:
    """In a process that did not load torch before, as where `render` comes first; decord brings a BLAS of its own."""
    write_film(make_film(), tmp_path / "video.mp4")
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


def test_every_name_is_there_and_hides_no_module() -> None:
    for name in posetrack_app.__all__:
        assert getattr(posetrack_app, name) is not None
        assert name in dir(posetrack_app)
    folder = Path(posetrack_app.__file__).parent
    modules = {path.stem for path in folder.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert not modules & set(posetrack_app.__all__), "whoever imports the module would lose the function"
    import_module("posetrack_app.cli.render")
    assert callable(posetrack_app.render)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        posetrack_app.nothing  # noqa: B018


@pytest.mark.parametrize("command", ["render", "link", "convert", "validate", "evaluate"])
def test_functions_have_the_commands_options(command: str) -> None:
    options = {option.name for option in posetrack.commands[command].params}
    arguments = set(inspect.signature(getattr(posetrack_app, FUNCTIONS[command])).parameters)
    renamed = {"config_file": "config"}
    assert arguments - {"on_frame"} == {renamed.get(str(name), name) for name in options} - OF_THE_TERMINAL


def test_the_page_shows_every_function() -> None:
    for function in FUNCTIONS.values():
        assert f"`{function}(" in PAGE
    for name in set(posetrack_app.__all__) - {
        "__version__",
        "Config",
        "Parts",
        "Style",
        "TrackedFrame",
        "TrackedPoses",
    }:
        assert name in PAGE, name


def test_every_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after another, as a reader would type them, on a short film with figures that the networks find."""
    film = make_film()
    film = replace(film, milliseconds=film.milliseconds[:8], people=film.people[:8], shots=film.shots[:8])
    write_film(film, tmp_path / "video.mp4")
    with TracksWriter(tmp_path / "truth.json", skeleton=POSETRACK, info={}) as writer:
        for index, (seconds, people) in enumerate(zip(film.seconds, film.people, strict=True)):
            writer.write(index, seconds, people)
    content = load_json(tmp_path / "truth.json")
    for person in content["annotations"]:
        person["bbox_head"] = [*person["bbox"][:2], 15, 20]
    write_json(tmp_path / "truth.json", content)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    assert len(EXAMPLES) == 7
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
    ):
        assert (tmp_path / made).exists(), made
