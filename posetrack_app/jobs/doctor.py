"""`posetrack doctor`: packages, devices, codecs, weights and decoders on this machine.

This module imports no third-party package, so that it can report that one cannot be imported.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from posetrack_app.core.errors import one_line
from posetrack_app.core.version import __version__
from posetrack_app.jobs.findings import Finding

_NEEDED = {
    "torch": "torch", "torchvision": "torchvision", "numpy": "numpy", "scipy": "scipy", "filterpy": "filterpy",
    "cv2": "opencv-python-headless", "decord": "decord2", "av": "av", "motmetrics": "motmetrics",
    "safetensors": "safetensors", "platformdirs": "platformdirs", "rich": "rich",
}  # fmt: skip
"""Module -> its package on PyPI."""
_EXTRAS = {"pyarrow": "parquet", "onnx": "export", "onnxruntime": "export"}
"""Module -> the extra of posetrack-app that installs it."""


def examine(folder: Path) -> Iterator[Finding]:
    """Check everything. `folder` must be empty; the clip that the decoders read is written there."""
    yield Finding("posetrack", "ok", f"{__version__} in {Path(__file__).parents[1]}")
    yield Finding(
        "python", "ok", f"{platform.python_version()}, {platform.platform()}, {os.cpu_count()} CPUs"
    )
    broken = list(_broken_packages())
    yield from broken
    if broken:
        return
    yield Finding("packages", "ok", ", ".join(_version(package) for package in _NEEDED.values()))
    yield from _extras()
    from posetrack_app.jobs.doctor_checks import check_codecs, check_decoders, check_devices, check_weights

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
                what = f"needs {missing}, which is not installed: pip install {missing}"
            yield Finding(module, "broken", what)
        except Exception as error:
            # A broken package may raise anything: OSError for a shared library of another system, ValueError if it
            # was built for another NumPy.
            yield Finding(module, "broken", _import_error(error))


def _import_error(error: Exception) -> str:
    return f"cannot be imported: {type(error).__name__}: {one_line(error)}"


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"{package} (unknown version)"  # OpenCV has several package names, and torch may be a conda package


def _extras() -> Iterator[Finding]:
    for module, extra in _EXTRAS.items():
        try:
            # Ask the module, not the package: several packages install onnxruntime.
            yield Finding(module, "ok", str(getattr(import_module(module), "__version__", "installed")))
        except ModuleNotFoundError:
            yield Finding(module, "missing", f"pip install 'posetrack-app[{extra}]'")
        except Exception as error:  # may be anything, as above
            yield Finding(module, "missing", _import_error(error))
