"""Trackers give the poses of a video their identities. They need NumPy and SciPy only."""

from posetrack_trackers.flow_tracker import FlowTracker
from posetrack_trackers.links import Expected, Links
from posetrack_trackers.motion import Motion
from posetrack_trackers.oks_tracker import OksTracker

__all__ = ["Expected", "FlowTracker", "Links", "Motion", "OksTracker"]
