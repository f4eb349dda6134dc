"""MOTChallenge text: one line a box, `frame,id,left,top,width,height,score,-1,-1,-1`, frames from 1."""

from __future__ import annotations

from pathlib import Path

from posetrack_app.formats.tracks_reader import Tracks
from posetrack_app.formats.whole import write_whole


def write_mot(tracks: Tracks, path: Path) -> None:
    """Write boxes, scores and ids; keypoints have no place there. Pixels count from 0, as ours do."""
    lines = []
    for frame in tracks.frames:
        poses = frame.tracked
        for track_id, box, score in zip(
            poses.ids.tolist(), poses.boxes.tolist(), poses.scores.tolist(), strict=True
        ):
            x1, y1, x2, y2 = box
            place = f"{x1:.2f},{y1:.2f},{x2 - x1:.2f},{y2 - y1:.2f}"
            lines.append(f"{frame.index + 1},{track_id},{place},{score:.4f},-1,-1,-1\n")
    write_whole(path, "".join(lines))
