"""`posetrack submit-check` and `posetrack convert --to posetrack-submission`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posetrack_app.core.choices import SPLITS
from posetrack_app.core.errors import InputError
from posetrack_app.core.files import StrPath, check_output_file, refuse_to_replace
from posetrack_app.core.json_file import json_files
from posetrack_app.core.words import counted
from posetrack_app.formats.convert import read_any
from posetrack_app.formats.posetrack.dataset import annotation_folder
from posetrack_app.formats.posetrack.read import read_posetrack
from posetrack_app.formats.posetrack.sequence import PoseSequence
from posetrack_app.formats.posetrack.submission import submission_content, write_submission
from posetrack_app.formats.posetrack.submission_check import check_submission as find_faults


@dataclass(frozen=True)
class SubmissionReport:
    """What was written to the archive `out`."""

    out: Path
    sequences: int
    frames: int
    people: int

    def summary(self) -> str:
        """One line for the user."""
        return (
            f"{self.out}: {counted(self.sequences, 'sequence')}, {counted(self.frames, 'frame')}, "
            f"{counted(self.people, 'pose')}"
        )


def make_submission(
    tracks: StrPath,
    out: StrPath,
    *,
    frames: StrPath,
    dataset: str = "posetrack18",
    force: bool = False,
) -> SubmissionReport:
    """Write the archive for an evaluation server: `posetrack convert --to posetrack-submission`.

    Args:
        tracks: a folder with a tracks.json or PoseTrack18 file for each sequence, named as the annotation file.
        out: the .zip file to write.
        frames: the folder with the annotation files of the split, which list the frames.
        dataset: one of `core.choices.DATASETS`.
        force: overwrite an existing file.

    Raises InputError for anything that cannot be read or written, and for a sequence without a file.
    """
    source, target = Path(tracks), Path(out)
    if target.suffix.lower() != ".zip":
        raise InputError(f"{target}: the servers take .zip files; give a name that ends in .zip")
    check_output_file(target)
    if not force:
        refuse_to_replace(target)
    if not source.is_dir():
        raise InputError(
            f"{source} is not a folder; give one with a file for each sequence, such as DIR/predictions"
        )
    listed = list(_annotation_files(Path(frames)))
    missing = [file.name for file in listed if not (source / file.name).is_file()]
    if missing:
        raise InputError(
            f"{source} has no {missing[0]}; the server needs a file for each of the {len(listed)} sequences "
            f"({len(missing)} missing)"
        )
    counts = [0, 0]

    def contents() -> Iterator[tuple[str, dict[str, Any]]]:
        for file in listed:
            sequence = read_posetrack(file)
            content = submission_content(sequence, read_any(source / file.name), dataset)
            counts[0] += sequence.frame_count
            counts[1] += _people(content)
            yield file.name, content

    write_submission(target, contents())
    return SubmissionReport(target, len(listed), *counts)


def _people(content: dict[str, Any]) -> int:
    if "annolist" in content:
        return sum(len(frame["annorect"]) for frame in content["annolist"])
    return len(content["annotations"])


def check_submission(
    predictions: StrPath, *, dataset: str = "posetrack18", frames: StrPath | None = None
) -> list[str]:
    """Why a server would refuse the predictions, one line each; [] if nothing is wrong: `posetrack submit-check`.

    Args:
        predictions: the folder or the .zip file.
        dataset: one of `core.choices.DATASETS`.
        frames: the folder with the annotation files of the split; without it, lists of files and frames are not compared.
    """
    listed: dict[str, PoseSequence] | None = None
    if frames is not None:
        listed = {file.name: read_posetrack(file) for file in _annotation_files(Path(frames))}
    return list(find_faults(Path(predictions), dataset, listed))


def _annotation_files(folder: Path) -> list[Path]:
    """The .json files of a folder of annotations; InputError if it is the folder of the whole data set."""
    files = json_files(folder) if folder.is_dir() else []
    if files:
        return files
    for split in SPLITS:
        try:
            found = annotation_folder(folder, split)
        except InputError:
            continue
        raise InputError(f"{folder} has several splits; give the annotations of one, such as {found}")
    raise InputError(f"{folder} has no .json files; give the folder with the annotation files of the split")
