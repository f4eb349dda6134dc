"""Multi-person pose tracking in video: every person's identity, box and keypoints over time.

The functions of docs/python-api.md are here; what they need (torch, OpenCV, ...) is imported when one is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from posetrack_app.api import convert as convert
    from posetrack_app.api import evaluate as evaluate
    from posetrack_app.api import link as link
    from posetrack_app.api import read_tracks as read_tracks
    from posetrack_app.api import render as render
    from posetrack_app.api import track_video as track_video
    from posetrack_app.api import validate as validate
    from posetrack_app.api import write_tracks as write_tracks
    from posetrack_app.assemble import Parts as Parts
    from posetrack_app.assemble import build_parts as build_parts
    from posetrack_app.chain import track_people as track_people
    from posetrack_app.config import Config as Config
    from posetrack_app.config import load_config as load_config
    from posetrack_app.drawing import Style as Style
    from posetrack_app.drawing import draw_poses as draw_poses
    from posetrack_app.errors import InputError as InputError
    from posetrack_app.formats import TrackedFrame as TrackedFrame
    from posetrack_app.formats import Tracks as Tracks
    from posetrack_app.records import Frame as Frame
    from posetrack_app.records import TrackedPoses as TrackedPoses
    from posetrack_app.video import open_video as open_video

_WHERE = {
    "api": (
        "track_video", "render", "link", "convert", "validate", "evaluate", "read_tracks", "write_tracks",
    ),
    "assemble": ("Parts", "build_parts"),
    "chain": ("track_people",),
    "config": ("Config", "load_config"),
    "drawing": ("Style", "draw_poses"),
    "errors": ("InputError",),
    "formats": ("TrackedFrame", "Tracks"),
    "records": ("Frame", "TrackedPoses"),
    "video": ("open_video",),
}  # fmt: skip
"""Module -> what the package offers of it."""

__all__ = ["__version__", *(name for names in _WHERE.values() for name in names)]


def __getattr__(name: str) -> Any:
    for module, names in _WHERE.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
