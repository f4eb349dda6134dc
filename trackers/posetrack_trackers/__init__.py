"""Trackers link frames: poses in, identities out. NumPy, SciPy and filterpy only."""

from posetrack_trackers.motion import Motion
from posetrack_trackers.oks_tracker import Links, OksTracker

__all__ = ["Links", "Motion", "OksTracker"]
