"""The frame rate where nothing says one: image folders, PoseTrack and COCO files, streams before their first frames."""

USUAL_FPS = 25.0
"""Frames per second; the videos of PoseTrack have about this rate."""
