"""Reading and writing tracks: tracks.json (PoseTrack18 layout) and the other formats."""

from __future__ import annotations

from posetrack_app.core.json_file import load_json
from posetrack_app.formats.tracks_json.reader import read_tracks
from posetrack_app.formats.tracks_json.tracks import TrackedFrame, Tracks
from posetrack_app.formats.tracks_json.version import SCHEMA_VERSION
from posetrack_app.formats.tracks_json.writer import TracksWriter

__all__ = ["SCHEMA_VERSION", "TrackedFrame", "Tracks", "TracksWriter", "load_json", "read_tracks"]
