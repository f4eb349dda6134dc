"""`posetrack doctor` lists what it finds, and reports what is broken."""

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

from posetrack_app.cli import posetrack
from posetrack_app.jobs import doctor, doctor_checks
from posetrack_app.models.weights import EMBEDDED
from posetrack_app.video.info import DecoderFailedError
from posetrack_app.video.pyav_frames import TimedImage, pyav_images


def test_it_finds_nothing_broken_here() -> None:
    result = CliRunner().invoke(posetrack, ["doctor"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    for part in ("posetrack", "python", "packages", "device", "reads", "cache", "PyAV", "decord"):
        assert any(line[6:].startswith(f"{part} ") for line in result.output.splitlines()), part
    assert "decord               all 100 frames correct" in result.output


def test_the_embedded_weights_have_the_listed_hashes() -> None:
    """After replacing the embedded weights, run sha256sum *.safetensors > SHA256SUMS."""
    lines = (EMBEDDED / "SHA256SUMS").read_text().splitlines()
    listed = {name: digest for digest, name in (line.split() for line in lines)}
    files = {path.name: path for path in EMBEDDED.glob("*.safetensors")}
    assert listed == {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}


def patch_import(monkeypatch: pytest.MonkeyPatch, module: str, result: Exception | ModuleType) -> None:
    """Make the import of `module` by the doctor give `result`."""

    def importing(name: str) -> ModuleType:
        if name != module:
            return import_module(name)
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr(doctor, "import_module", importing)


def broken_import(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    patch_import(monkeypatch, "cv2", ImportError("libGL.so.1: cannot open shared object file"))


def missing_dependency(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    patch_import(
        monkeypatch, "motmetrics", ModuleNotFoundError("No module named 'xmltodict'", name="xmltodict")
    )


def other_numpy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    patch_import(
        monkeypatch, "scipy", ValueError("\nnumpy.dtype size changed, may indicate\nbinary incompatibility")
    )


def missing_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(doctor._NEEDED, "no_such_module", "no-such-package")


def damaged_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "SHA256SUMS").write_text((EMBEDDED / "SHA256SUMS").read_text())
    (tmp_path / "pose.safetensors").write_bytes(b"half a downl")
    monkeypatch.setattr(doctor_checks, "EMBEDDED", tmp_path)


def no_encoder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor_checks, "_OUTPUT_CODECS", ("libx264", "no_such_codec"))


def no_h264(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def write(*arguments: Any, **options: Any) -> None:
        raise UnknownCodecError("libx264")

    monkeypatch.setattr(doctor_checks, "write_synthetic_video", write)


def changed_images(change: Callable[[TimedImage], TimedImage]) -> Callable[[pytest.MonkeyPatch, Path], None]:
    def read(*arguments: Any) -> Iterator[TimedImage]:
        return map(change, pyav_images(*arguments))

    return lambda monkeypatch, tmp_path: monkeypatch.setattr(doctor_checks, "pyav_images", read)


def stopping(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def read(*arguments: Any) -> Iterator[TimedImage]:
        yield next(pyav_images(*arguments[:2]))
        raise DecoderFailedError("decord stopped at frame 1")

    monkeypatch.setattr(doctor_checks, "DecordImages", read)


@pytest.mark.parametrize(
    ("break_part", "part", "message"),
    [
        (broken_import, "cv2", "libGL.so.1"),
        (missing_dependency, "motmetrics", "needs xmltodict, which is not installed: pip install xmltodict"),
        (other_numpy, "scipy", "ValueError: numpy.dtype size changed, may indicate binary incompatibility"),
        (missing_package, "no_such_module", "not installed: pip install no-such-package"),
        (damaged_weights, "pose.safetensors", "damaged (SHA-256 differs)"),
        (damaged_weights, "detector.safetensors", "missing from the package"),
        (no_encoder, "writes", "lacks no_such_codec"),
        (no_h264, "clip", "cannot be written, so no decoder was checked: libx264"),
        (changed_images(lambda image: (image[0] + 1, *image[1:])), "PyAV", "frame 0 has index 1; expected 0"),
        (
            changed_images(lambda image: (image[0], image[1] + 0.1, image[2])),
            "PyAV",
            "frame 0 has time 0.100 s, not 0.000 s",
        ),
        (changed_images(lambda image: (*image[:2], image[2][::-1])), "PyAV", "has index 0; expected 0"),
        (changed_images(lambda image: (*image[:2], image[2].transpose(1, 0, 2))), "PyAV", "wrong rotation"),
        (changed_images(lambda image: (*image[:2], image[2][..., ::-1])), "PyAV", "levels of 255 on average"),
        (stopping, "decord", "stopped at frame 1"),
    ],
)
def test_broken_parts_are_reported(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    break_part: Callable[[pytest.MonkeyPatch, Path], None],
    part: str,
    message: str,
) -> None:
    break_part(monkeypatch, tmp_path)
    result = CliRunner().invoke(posetrack, ["doctor"], catch_exceptions=False)
    assert result.exit_code == 1
    line = next(line for line in result.output.splitlines() if line.startswith(f"FAIL  {part} "))
    assert message in line


def test_optional_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken one is reported and the others are still checked; a package of another name may install onnxruntime."""
    monkeypatch.setattr(
        doctor, "_EXTRAS", {"broken": "export", "no_such_module": "export", "runtime": "export"}
    )
    monkeypatch.setitem(sys.modules, "runtime", ModuleType("runtime"))
    monkeypatch.setattr(sys.modules["runtime"], "__version__", "1.22.0", raising=False)
    patch_import(monkeypatch, "broken", TypeError("Descriptors cannot be created directly."))
    broken, missing, other = doctor._extras()
    assert (broken.state, broken.detail) == (
        "missing",
        "cannot be imported: TypeError: Descriptors cannot be created directly.",
    )
    assert (missing.state, missing.detail) == ("missing", "pip install 'posetrack-app[export]'")
    assert (other.state, other.detail) == ("ok", "1.22.0")
