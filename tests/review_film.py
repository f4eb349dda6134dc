"""A made film with tracks that have known mistakes, for the review page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from posetrack_app.core.records import FrameInfo
from posetrack_app.core.skeletons import POSETRACK
from posetrack_app.formats import TracksWriter
from posetrack_app.jobs.synthetic_video import make_synthetic_video, write_synthetic_video

SWITCH, BREAK, CUT = 42, 54, 66
"""First frames in which people 1 and 2 have each other's id; in which person 3 is called 9; and of the second shot."""
FRAMES = 100


def write_film(folder: Path) -> Path:
    """Write film.mp4 and tracks.json into `folder`; returns the tracks file.

    People 1 and 2 cross and exchange ids at frame SWITCH until the cut. Person 3 is 9 after a gap, from frame BREAK on.
    """
    video = make_synthetic_video()
    write_synthetic_video(video, folder / "film.mp4", sound=False)
    info = {
        "video": {"file": "film.mp4", "width": 360, "height": 240, "rotation": 0, "frame_rate": 29.0},
        "possible_id_switches": [
            {"frame": SWITCH, "ids": [1, 2], "reason": "exchanged", "score": 0.9},
            {"frame": BREAK, "ids": [3, 9], "reason": "new", "score": 0.6},
            {"frame": 80, "ids": [4], "reason": "jump", "score": 0.3},
        ],
    }
    path = folder / "tracks.json"
    with TracksWriter(path, skeleton=POSETRACK, info=info) as writer:
        for frame, people in enumerate(video.people):
            ids = people.ids.copy()
            if SWITCH <= frame < CUT:
                ids = np.select([ids == 1, ids == 2], [2, 1], ids)
            if frame >= BREAK:
                ids = np.where(ids == 3, 9, ids)
            frame_info = FrameInfo(frame, video.seconds[frame], (360, 240), is_cut=frame == CUT)
            writer.write(frame_info, replace(people, ids=ids))
    return path
