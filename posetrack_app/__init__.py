"""Multi-person pose tracking in video: every person's identity, box and keypoints over time.

The functions of docs/python-api.md are here; what they need (torch, OpenCV, ...) is imported when one is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from posetrack_app.core.version import __version__

if TYPE_CHECKING:
    from posetrack_app.core.config import Config as Config
    from posetrack_app.core.config import load_config as load_config
    from posetrack_app.core.errors import InputError as InputError
    from posetrack_app.core.protocols import Networks as Networks
    from posetrack_app.core.records import Frame as Frame
    from posetrack_app.core.records import FrameInfo as FrameInfo
    from posetrack_app.core.records import TrackedPoses as TrackedPoses
    from posetrack_app.drawing.draw import Style as Style
    from posetrack_app.drawing.draw import draw_poses as draw_poses
    from posetrack_app.formats import TrackedFrame as TrackedFrame
    from posetrack_app.formats import Tracks as Tracks
    from posetrack_app.formats.edits_json.edit import Edit as Edit
    from posetrack_app.jobs.convert import convert as convert
    from posetrack_app.jobs.convert import read_tracks as read_tracks
    from posetrack_app.jobs.convert import validate as validate
    from posetrack_app.jobs.convert import write_tracks as write_tracks
    from posetrack_app.jobs.edit import add_edit as add_edit
    from posetrack_app.jobs.edit import apply_edits as apply_edits
    from posetrack_app.jobs.edit import edit_tracks as edit_tracks
    from posetrack_app.jobs.edit import read_edits as read_edits
    from posetrack_app.jobs.edit import replay_edits as replay_edits
    from posetrack_app.jobs.edit import undo_edit as undo_edit
    from posetrack_app.jobs.evaluate import evaluate as evaluate
    from posetrack_app.jobs.link import link as link
    from posetrack_app.jobs.render import render as render
    from posetrack_app.jobs.track import track_video as track_video
    from posetrack_app.models.build import load_networks as load_networks
    from posetrack_app.pipeline.track_people import track_people as track_people
    from posetrack_app.video import open_video as open_video

_WHERE = {
    "core.config": ("Config", "load_config"),
    "core.errors": ("InputError",),
    "core.protocols": ("Networks",),
    "core.records": ("Frame", "FrameInfo", "TrackedPoses"),
    "formats": ("TrackedFrame", "Tracks"),
    "formats.edits_json.edit": ("Edit",),
    "jobs.convert": ("convert", "read_tracks", "validate", "write_tracks"),
    "jobs.edit": ("add_edit", "apply_edits", "edit_tracks", "read_edits", "replay_edits", "undo_edit"),
    "jobs.evaluate": ("evaluate",),
    "jobs.link": ("link",),
    "jobs.render": ("render",),
    "jobs.track": ("track_video",),
    "models.build": ("load_networks",),
    "pipeline.track_people": ("track_people",),
    "drawing.draw": ("Style", "draw_poses"),
    "video": ("open_video",),
}
"""Module -> what the package offers of it."""

__all__ = ["__version__", *(name for names in _WHERE.values() for name in names)]


def __getattr__(name: str) -> Any:
    for module, names in _WHERE.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
