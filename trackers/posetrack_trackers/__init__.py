"""Trackers link frames: poses in, identities out. NumPy, SciPy and filterpy only."""

from posetrack_trackers.flow_tracker import FlowTracker
from posetrack_trackers.motion import Motion
from posetrack_trackers.oks_tracker import Links, OksTracker

__all__ = ["FlowTracker", "Links", "Motion", "OksTracker"]
