"""MOTChallenge text: a line for each box, `frame,id,left,top,width,height,score,-1,-1,-1`; frames count from 1."""

from __future__ import annotations

from pathlib import Path

from posetrack_app.core.files import write_atomic
from posetrack_app.formats.tracks_json.tracks import Tracks


def write_mot(tracks: Tracks, path: Path) -> None:
    """Write boxes, scores and ids; the format has no keypoints. Pixels count from 0."""
    lines = []
    for frame in tracks.frames:
        poses = frame.people
        for track_id, box, score in zip(
            poses.ids.tolist(), poses.boxes.tolist(), poses.scores.tolist(), strict=True
        ):
            x1, y1, x2, y2 = box
            xywh = f"{x1:.2f},{y1:.2f},{x2 - x1:.2f},{y2 - y1:.2f}"
            lines.append(f"{frame.info.index + 1},{track_id},{xywh},{score:.4f},-1,-1,-1\n")
    write_atomic(path, "".join(lines))
