"""What this machine offers: packages, devices, codecs, weights, decoders.

This file imports nothing heavy: it must be able to say that torch or OpenCV cannot be imported.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from posetrack_app import __version__

State = Literal["ok", "absent", "broken"]

_NEEDED = {
    "torch": "torch", "torchvision": "torchvision", "numpy": "numpy", "scipy": "scipy", "filterpy": "filterpy",
    "cv2": "opencv-python-headless", "decord": "decord2", "av": "av", "motmetrics": "motmetrics",
    "safetensors": "safetensors", "platformdirs": "platformdirs", "rich": "rich",
}  # fmt: skip
"""Module -> the package that brings it."""
_EXTRAS = {"pyarrow": "parquet", "onnx": "export", "onnxruntime": "export"}


@dataclass(frozen=True)
class Finding:
    """One fact; "absent" is what can be done without, "broken" is not."""

    part: str
    state: State
    detail: str


def examine(folder: Path) -> Iterator[Finding]:
    """Look at everything; `folder` is an empty one for the clip that the decoders read."""
    yield Finding("posetrack", "ok", f"{__version__} in {Path(__file__).parent}")
    yield Finding(
        "python", "ok", f"{platform.python_version()}, {platform.platform()}, {os.cpu_count()} CPUs"
    )
    broken = list(_broken_packages())
    yield from broken
    if broken:
        return
    yield Finding("packages", "ok", ", ".join(_version(package) for package in _NEEDED.values()))
    yield from _extras()
    from posetrack_app.doctor_checks import check_codecs, check_decoders, check_devices, check_weights

    yield from check_devices()
    yield from check_codecs()
    yield from check_weights()
    yield from check_decoders(folder)


def _broken_packages() -> Iterator[Finding]:
    for module, package in _NEEDED.items():
        try:
            import_module(module)
        except ModuleNotFoundError as error:
            missing = (error.name or module).partition(".")[0]
            what = f"not installed: pip install {package}"
            if missing != module:
                what = f"lacks {missing}, which it needs: pip install {missing}"
            yield Finding(module, "broken", what)
        except Exception as error:
            # What a broken package raises as it is imported is its own affair: OSError for a shared library
            # of another system, ValueError where it was built for another NumPy. All of it is to be named here.
            yield Finding(module, "broken", _why(error))


def _why(error: Exception) -> str:
    return f"cannot be imported: {type(error).__name__}: {' '.join(str(error).split())}"


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"{package} (from elsewhere)"  # OpenCV has several names, torch may be a conda package


def _extras() -> Iterator[Finding]:
    for module, extra in _EXTRAS.items():
        try:
            # By the module: onnxruntime comes from packages of several names.
            yield Finding(module, "ok", str(getattr(import_module(module), "__version__", "is here")))
        except ModuleNotFoundError:
            yield Finding(module, "absent", f"pip install 'posetrack-app[{extra}]'")
        except Exception as error:  # anything, as above; but it can be done without
            yield Finding(module, "absent", _why(error))
