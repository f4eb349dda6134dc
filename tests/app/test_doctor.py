"""The doctor: calls what is there by its name, and finds what is broken."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from av.codec.codec import UnknownCodecError
from click.testing import CliRunner

from posetrack_app import doctor, doctor_checks
from posetrack_app.cli import posetrack
from posetrack_app.video.info import DecoderFailedError
from posetrack_app.video.pyav_frames import Picture, pyav_pictures
from posetrack_app.weights import EMBEDDED


def test_it_finds_nothing_broken_here() -> None:
    result = CliRunner().invoke(posetrack, ["doctor"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    for part in ("posetrack", "python", "packages", "device", "reads", "cache", "PyAV", "decord"):
        assert any(line[6:].startswith(f"{part} ") for line in result.output.splitlines()), part
    assert "decord              100 frames of a clip true" in result.output


def test_the_shipped_weights_are_those_of_the_list() -> None:
    """Whoever replaces the embedded weights writes the list anew: sha256sum *.safetensors > SHA256SUMS."""
    lines = (EMBEDDED / "SHA256SUMS").read_text().splitlines()
    listed = {name: digest for digest, name in (line.split() for line in lines)}
    files = {path.name: path for path in EMBEDDED.glob("*.safetensors")}
    assert listed == {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}


def importing(monkeypatch: pytest.MonkeyPatch, module: str, result: Exception | ModuleType) -> None:
    """Let the doctor's import of `module` end so."""

    def importing(name: str) -> ModuleType:
        if name != module:
            return import_module(name)
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr(doctor, "import_module", importing)


def broken_import(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    importing(monkeypatch, "cv2", ImportError("libGL.so.1: cannot open shared object file"))


def no_need_of_a_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    importing(monkeypatch, "motmetrics", ModuleNotFoundError("No module named 'xmltodict'", name="xmltodict"))


def other_numpy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    importing(
        monkeypatch, "scipy", ValueError("\nnumpy.dtype size changed, may indicate\nbinary incompatibility")
    )


def missing_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(doctor._NEEDED, "no_such_module", "no-such-package")


def other_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "SHA256SUMS").write_text((EMBEDDED / "SHA256SUMS").read_text())
    (tmp_path / "pose.safetensors").write_bytes(b"half a downl")
    monkeypatch.setattr(doctor_checks, "EMBEDDED", tmp_path)


def no_encoder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor_checks, "_WRITTEN", ("libx264", "no_such_codec"))


def no_h264(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def write(*arguments: Any, **options: Any) -> None:
        raise UnknownCodecError("libx264")

    monkeypatch.setattr(doctor_checks, "write_film", write)


def pictures(change: Callable[[Picture], Picture]) -> Callable[[pytest.MonkeyPatch, Path], None]:
    def read(*arguments: Any) -> Iterator[Picture]:
        return map(change, pyav_pictures(*arguments))

    return lambda monkeypatch, tmp_path: monkeypatch.setattr(doctor_checks, "pyav_pictures", read)


def stopping(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def read(*arguments: Any) -> Iterator[Picture]:
        yield next(pyav_pictures(*arguments[:3]))
        raise DecoderFailedError("decord stopped at frame 1")

    monkeypatch.setattr(doctor_checks, "DecordPictures", read)


@pytest.mark.parametrize(
    ("broken", "part", "says"),
    [
        (broken_import, "cv2", "libGL.so.1"),
        (no_need_of_a_package, "motmetrics", "lacks xmltodict, which it needs: pip install xmltodict"),
        (other_numpy, "scipy", "ValueError: numpy.dtype size changed, may indicate binary incompatibility"),
        (missing_package, "no_such_module", "not installed: pip install no-such-package"),
        (other_weights, "pose.safetensors", "is not as shipped"),
        (other_weights, "detector.safetensors", "is missing"),
        (no_encoder, "writes", "lacks no_such_codec"),
        (no_h264, "clip", "cannot be written, so no decoder was tried: libx264"),
        (pictures(lambda picture: (picture[0] + 1, *picture[1:])), "PyAV", "frame 0 came as 1"),
        (pictures(lambda picture: (picture[0], picture[1] + 0.1, picture[2])), "PyAV", "at 0.100 s"),
        (pictures(lambda picture: (*picture[:2], picture[2][::-1])), "PyAV", "came as 0"),
        (pictures(lambda picture: (*picture[:2], picture[2].transpose(1, 0, 2))), "PyAV", "turned"),
        (pictures(lambda picture: (*picture[:2], picture[2][..., ::-1])), "PyAV", "levels of 255 off"),
        (stopping, "decord", "stopped at frame 1"),
    ],
)
def test_what_is_broken_is_found(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    broken: Callable[[pytest.MonkeyPatch, Path], None],
    part: str,
    says: str,
) -> None:
    broken(monkeypatch, tmp_path)
    result = CliRunner().invoke(posetrack, ["doctor"], catch_exceptions=False)
    assert result.exit_code == 1
    line = next(line for line in result.output.splitlines() if line.startswith(f"FAIL  {part} "))
    assert says in line


def test_extras_by_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken one is named and the others are still looked at; onnxruntime may come from another package."""
    monkeypatch.setattr(
        doctor, "_EXTRAS", {"broken": "export", "no_such_module": "export", "runtime": "export"}
    )
    monkeypatch.setitem(sys.modules, "runtime", ModuleType("runtime"))
    monkeypatch.setattr(sys.modules["runtime"], "__version__", "1.22.0", raising=False)
    importing(monkeypatch, "broken", TypeError("Descriptors cannot be created directly."))
    broken, absent, other = doctor._extras()
    assert (broken.state, broken.detail) == (
        "absent",
        "cannot be imported: TypeError: Descriptors cannot be created directly.",
    )
    assert (absent.state, absent.detail) == ("absent", "pip install 'posetrack-app[export]'")
    assert (other.state, other.detail) == ("ok", "1.22.0")
