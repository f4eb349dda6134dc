"""The archive for the PoseTrack evaluation servers: one file for each sequence of the split, without folders."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from posetrack_app.core.errors import InputError
from posetrack_app.core.files import write_atomic
from posetrack_app.core.skeletons import POSETRACK
from posetrack_app.formats.posetrack.predictions import posetrack_predictions
from posetrack_app.formats.posetrack.sequence import PoseSequence
from posetrack_app.formats.posetrack.write17 import posetrack17_content
from posetrack_app.formats.tracks_json.tracks import TrackedFrame, Tracks

_TIME = (1980, 1, 1, 0, 0, 0)
"""Of every file in the archive, so that equal predictions give equal archives."""


def submission_content(listed: PoseSequence, tracks: Tracks, dataset: str) -> dict[str, Any]:
    """The content of the file of one sequence: the frames, names and ids of `listed`, the people of `tracks`.

    Frame k of `tracks`, counted from 0, belongs to frame k of `listed`; missing frames have no people. All frames get
    their people, labelled or not: only the server knows which count. Raises InputError for another skeleton, or for
    frames that `listed` does not have.
    """
    if tracks.skeleton is not POSETRACK:
        raise InputError(
            f"{tracks.path}: PoseTrack needs the keypoints of PoseTrack18, not those of {tracks.skeleton.name}"
        )
    beyond = [frame.info.index for frame in tracks.frames if not 0 <= frame.info.index < listed.frame_count]
    if beyond:
        raise InputError(
            f"{tracks.path} has frame {beyond[0]}, but {listed.path} lists {listed.frame_count} frames, from 0"
        )
    if dataset != "posetrack17":
        tracked = {frame.info.index: frame.people for frame in tracks.frames}
        return posetrack_predictions(listed, tracked, {}, all_frames=True)
    people = {frame.info.index: frame for frame in tracks.frames}
    return posetrack17_content(
        replace(tracks, frames=[_frame17(listed, people, k) for k in range(listed.frame_count)])
    )


def _frame17(listed: PoseSequence, frames: dict[int, TrackedFrame], index: int) -> TrackedFrame:
    """Frame `index` with its listed name, without keypoints that were not seen."""
    source = frames.get(index) or next(iter(frames.values()))
    people = source.people if index in frames else source.people[np.zeros(len(source.people), bool)]
    unseen = (people.keypoint_scores == 0)[..., None]
    people = replace(people, keypoints=np.where(unseen, 0.0, people.keypoints))
    return TrackedFrame(replace(source.info, index=index, file_name=listed.rows.frame_names[index]), people)


def write_submission(out: Path, contents: Iterable[tuple[str, dict[str, Any]]]) -> None:
    """Write the archive from file names and their contents. Its files are not in a folder: the servers look for none."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in contents:
            entry = zipfile.ZipInfo(name, _TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            file.writestr(entry, json.dumps(content, allow_nan=False))
    write_atomic(out, archive.getvalue())
