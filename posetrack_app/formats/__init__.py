"""Files in and out: tracks.json (PoseTrack18 layout) and the converters."""

from posetrack_app.formats.json_file import load_json
from posetrack_app.formats.tracks import SCHEMA_VERSION, TracksWriter
from posetrack_app.formats.tracks_reader import TrackedFrame, Tracks, read_tracks

__all__ = ["SCHEMA_VERSION", "TrackedFrame", "Tracks", "TracksWriter", "load_json", "read_tracks"]
