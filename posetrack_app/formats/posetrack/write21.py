"""Write the layout of PoseTrack21: that of PoseTrack18 with 11-digit image ids, `vid_id` and `person_id`."""

from __future__ import annotations

import json
from pathlib import Path

from posetrack_app.core.errors import InputError
from posetrack_app.core.files import write_atomic
from posetrack_app.core.skeletons import POSETRACK
from posetrack_app.formats.posetrack.predictions import posetrack_annotations
from posetrack_app.formats.tracks_json.tracks import Tracks

_MAX_FRAMES = 10_000


def write_posetrack21(tracks: Tracks, path: Path) -> None:
    """Write poses, boxes, scores and ids as predictions for the PoseTrack21 evaluation kit.

    An image id is 1, 6 digits of the video and 4 of the frame. The video is the number at the start of the name of
    `path`, as in 000342_mpii_test.json, else 000000. Missing keypoints and the ears, which PoseTrack does not score, are
    0, 0, 0. Raises InputError for another skeleton, or if a frame index has more than 4 digits.
    """
    if tracks.skeleton is not POSETRACK:
        raise InputError(
            f"{tracks.path}: PoseTrack21 needs the keypoints of PoseTrack18, not those of {tracks.skeleton.name}"
        )
    if tracks.frames and tracks.frames[-1].info.index >= _MAX_FRAMES:
        raise InputError(
            f"{tracks.path} has frame {tracks.frames[-1].info.index}; the ids of PoseTrack21 end at {_MAX_FRAMES - 1}"
        )
    leading = path.name.partition("_")[0].partition(".")[0]
    video = leading if leading.isdecimal() and len(leading) <= 6 else "0"
    first = 10**10 + int(video) * _MAX_FRAMES
    images = [
        {
            "id": first + frame.info.index, "frame_id": first + frame.info.index, "vid_id": f"{int(video):06d}",
            "file_name": frame.info.file_name, "nframes": len(tracks.frames), "is_labeled": True,
            "has_labeled_person": len(frame.people) > 0, "ignore_regions_x": [], "ignore_regions_y": [],
        }
        for frame in tracks.frames
    ]  # fmt: skip
    people = [
        {"image_id": first + frame.info.index, **person, "person_id": person["track_id"]}
        for frame in tracks.frames
        for person in posetrack_annotations(frame.people)
    ]
    people = [{"id": number, **person} for number, person in enumerate(people, start=1)]
    category = {
        "id": 1, "name": "person", "supercategory": "person", "keypoints": list(POSETRACK.keypoints),
        "skeleton": [[a + 1, b + 1] for a, b in POSETRACK.limbs],
    }  # fmt: skip
    write_atomic(path, json.dumps({"images": images, "annotations": people, "categories": [category]}))
