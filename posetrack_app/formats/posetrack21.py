"""PoseTrack21's layout: PoseTrack18's with the 11-digit image ids, `vid_id` and `person_id` that its kit reads."""

from __future__ import annotations

import json
from pathlib import Path

from posetrack_app.errors import InputError
from posetrack_app.formats.official import official_people
from posetrack_app.formats.tracks_reader import Tracks
from posetrack_app.formats.whole import write_whole
from posetrack_app.skeleton import POSETRACK

_MOST_FRAMES = 10_000


def write_posetrack21(tracks: Tracks, path: Path) -> None:
    """Write poses, boxes, scores and ids as predictions for the PoseTrack21 kit.

    Image ids are 1, the video's 6 digits, the frame's 4. The video is the number that the name of `path` begins
    with, as in 000342_mpii_test.json, else 000000. Absent keypoints and the ears, which PoseTrack leaves out,
    are 0, 0, 0. InputError for another skeleton, or more frames than 4 digits count.
    """
    if tracks.skeleton is not POSETRACK:
        raise InputError(
            f"{tracks.path}: PoseTrack21 needs PoseTrack18 keypoints, not {tracks.skeleton.name}'s"
        )
    if tracks.frames and tracks.frames[-1].index >= _MOST_FRAMES:
        raise InputError(
            f"{tracks.path}: goes to frame {tracks.frames[-1].index}; PoseTrack21's ids end at {_MOST_FRAMES - 1}"
        )
    leading = path.name.partition("_")[0].partition(".")[0]
    video = leading if leading.isdecimal() and len(leading) <= 6 else "0"
    first = 10**10 + int(video) * _MOST_FRAMES
    images = [
        {
            "id": first + frame.index, "frame_id": first + frame.index, "vid_id": f"{int(video):06d}",
            "file_name": frame.file_name, "nframes": len(tracks.frames), "is_labeled": True,
            "has_labeled_person": len(frame.tracked) > 0, "ignore_regions_x": [], "ignore_regions_y": [],
        }
        for frame in tracks.frames
    ]  # fmt: skip
    people = [
        {"image_id": first + frame.index, **person, "person_id": person["track_id"]}
        for frame in tracks.frames
        for person in official_people(frame.tracked)
    ]
    people = [{"id": number, **person} for number, person in enumerate(people, start=1)]
    category = {
        "id": 1, "name": "person", "supercategory": "person", "keypoints": list(POSETRACK.keypoints),
        "skeleton": [[a + 1, b + 1] for a, b in POSETRACK.limbs],
    }  # fmt: skip
    write_whole(path, json.dumps({"images": images, "annotations": people, "categories": [category]}))
