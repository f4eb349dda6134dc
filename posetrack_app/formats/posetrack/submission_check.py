"""Why an evaluation server would refuse a submission, or score it as worse than it is.

The reasons are those that users met: DetectAndTrack issue 17 and poseval issue 14 (files in a folder of the archive, "0
results found in archive"), poseval issues 19 and 34 (only annotated frames), 35 (the layout of another year), and the
rules that the reading of poseval and of the PoseTrack21 kit imply.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from posetrack_app.core.errors import InputError, one_line
from posetrack_app.core.json_file import json_files
from posetrack_app.core.skeletons import POSETRACK
from posetrack_app.core.words import counted
from posetrack_app.formats.posetrack.read import posetrack_sequence
from posetrack_app.formats.posetrack.sequence import NO_SCORE, PoseSequence

LARGEST_ID = 9999
"""poseval accepts track ids up to this."""
_Load = Callable[[], bytes]


def check_submission(
    path: Path, dataset: str, listed: dict[str, PoseSequence] | None = None
) -> Iterator[str]:
    """One line for each fault of the predictions in a folder or .zip file.

    Args:
        path: the folder or the archive.
        dataset: one of `core.choices.DATASETS`, whose server gets it.
        listed: file name -> the annotations of every sequence of the split; without them, the lists of files and frames
            are not compared.

    Raises InputError if `path` cannot be read.
    """
    files, faults = _files(path)
    yield from faults
    if not files and not faults:
        yield f"{path} has no .json file"
    if listed is not None and files:
        yield from _file_lists(files.keys(), listed)
    people = 0
    for name, load in sorted(files.items()):
        place = path / name
        try:
            content = json.loads(load())
            sequence = posetrack_sequence(place, content)
        except InputError as error:
            yield str(error)
            continue
        except (ValueError, RecursionError, zipfile.BadZipFile, zlib.error) as error:
            yield f"{place} is not a valid JSON file: {one_line(error)}"
            continue
        people += len(sequence.ids)
        yield from _check_layout(sequence, content, dataset)
        yield from _check_people(sequence, dataset)
        if listed is not None and name in listed:
            yield from _check_frames(sequence, listed[name])
    if files and not people:
        yield f"{path} has no people at all"


def _files(path: Path) -> tuple[dict[str, _Load], list[str]]:
    """File name -> how to read it, and the faults of the folder or archive."""
    if path.is_dir():
        found: dict[str, _Load] = {file.name: file.read_bytes for file in json_files(path)}
        inner = [file for file in path.iterdir() if file.is_dir() and json_files(file)]
        if not found and inner:
            return {}, [
                f"the files are in {inner[0]}; give that folder, and put its files into the archive without a folder"
            ]
        return found, []
    try:
        archive = zipfile.ZipFile(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file or folder") from None
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is neither a folder nor a .zip file ({one_line(error)})") from error
    names = [PurePosixPath(name) for name in archive.namelist() if not name.endswith("/")]
    visible = [name for name in names if not any(part.startswith((".", "__MACOSX")) for part in name.parts)]
    files: dict[str, _Load] = {
        name.name: partial(archive.read, str(name)) for name in visible if name.suffix == ".json"
    }
    faults = []
    inside = [name for name in visible if len(name.parts) > 1 and name.suffix == ".json"]
    if inside:
        faults.append(
            f"{path}: the files are in a folder ({inside[0]}); the server then finds 0 results: put them into the archive "
            "without a folder"
        )
    others = [name for name in names if name not in visible or name.suffix != ".json"]
    if others:
        faults.append(f"{path} also has {others[0]}; only the .json files belong into the archive")
    return files, faults


def _file_lists(found: Any, listed: dict[str, PoseSequence]) -> Iterator[str]:
    missing = sorted(listed.keys() - found)
    unknown = sorted(found - listed.keys())
    if missing:
        yield (
            f"{counted(len(missing), 'sequence is', 'sequences are')} missing of {len(listed)}, first {missing[0]}; the "
            "server needs a file for each"
        )
    if unknown:
        yield (
            f"{counted(len(unknown), 'file is', 'files are')} of no sequence of the split, first {unknown[0]}; a file has "
            "the name of the annotation file"
        )


def _check_layout(sequence: PoseSequence, content: dict[str, Any], dataset: str) -> Iterator[str]:
    wanted = "posetrack17" if dataset == "posetrack17" else "posetrack18"
    if sequence.layout != wanted:
        yield f"{sequence.path} has the layout of {sequence.layout}; the {dataset} server reads that of {wanted}"
    elif dataset == "posetrack21":
        names = content["categories"][0]["keypoints"]
        if tuple(names) != POSETRACK.keypoints:
            yield (
                f"{sequence.path}: the keypoints are not in the order of PoseTrack18 (nose, head_bottom, head_top, ...), in "
                "which the PoseTrack21 kit reads them"
            )


def _check_people(sequence: PoseSequence, dataset: str) -> Iterator[str]:
    rows = np.flatnonzero(sequence.has_points)
    large = rows[sequence.ids[rows] > LARGEST_ID]
    if len(large) and dataset != "posetrack21":
        yield f"{sequence.path}: track id {sequence.ids[large[0]]}; poseval accepts ids up to {LARGEST_ID}"
    negative = rows[sequence.ids[rows] < 0]
    if len(negative):
        yield f"{sequence.path}: track id {sequence.ids[negative[0]]}; ids are 0 or more"
    order = rows[np.lexsort((sequence.ids[rows], sequence.frame[rows]))]
    frame, ids = sequence.frame[order], sequence.ids[order]
    repeated = np.flatnonzero((frame[1:] == frame[:-1]) & (ids[1:] == ids[:-1]))
    if len(repeated):
        yield (
            f"{sequence.path}: frame {frame[repeated[0]]} has two people with the track id {ids[repeated[0]]}; an id may "
            "occur once per frame"
        )
    unscored = sequence.present & (sequence.scores == NO_SCORE)
    if unscored.any():
        yield (
            f"{sequence.path}: {counted(int(unscored.sum()), 'keypoint has', 'keypoints have')} no score; AP ranks them last"
        )
    empty = rows[~sequence.present[rows].any(axis=1)]
    if len(empty):
        yield (
            f"{sequence.path}: {counted(len(empty), 'person has', 'people have')} no keypoint, first in frame "
            f"{sequence.frame[empty[0]]}; leave them out"
        )
    if dataset == "posetrack21":
        hidden = sequence.present & ~(sequence.keypoints > 0).all(axis=2)
        if hidden.any():
            yield (
                f"{sequence.path}: {counted(int(hidden.sum()), 'keypoint is', 'keypoints are')} at x <= 0 or y <= 0, which "
                "the PoseTrack21 kit takes as missing"
            )


def _check_frames(sequence: PoseSequence, listed: PoseSequence) -> Iterator[str]:
    if sequence.frame_count != listed.frame_count:
        yield (
            f"{sequence.path} has {counted(sequence.frame_count, 'frame')}, but {listed.path} lists {listed.frame_count}; "
            "write all frames of the sequence, also those without labels"
        )
        return
    names = zip(sequence.rows.frame_names, listed.rows.frame_names, strict=True)
    wrong = [(k, found, wanted) for k, (found, wanted) in enumerate(names) if found != wanted]
    if wrong:
        k, found, wanted = wrong[0]
        yield f"{sequence.path}: frame {k} is '{found}', but the annotations list '{wanted}'"
    if len(sequence.image_ids) and len(listed.image_ids) and (sequence.image_ids != listed.image_ids).any():
        k = int(np.argmax(sequence.image_ids != listed.image_ids))
        yield (
            f"{sequence.path}: frame {k} has the id {sequence.image_ids[k]}, but the annotations list "
            f"{listed.image_ids[k]}; use the ids of the annotations, in their order"
        )
