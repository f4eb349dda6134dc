"""Where PoseTrack keeps its annotations and pictures, and what is missing or odd there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from posetrack_app.errors import InputError
from posetrack_app.formats.json_file import json_files, load_json
from posetrack_app.formats.pose_sequence import PoseSequence
from posetrack_app.formats.posetrack import posetrack_sequence

SPLITS = ("train", "val", "test")
_ANNOTATION_FOLDERS = ("annotations", "posetrack_data/annotations", "posetrack_data", "annotations_posetrack")
_PICTURES = ((b"\xff\xd8\xff", b"\xff\xd9"), (b"\x89PNG", b"IEND\xaeB`\x82"))
"""First and last bytes of JPEG and PNG."""
_RELEASES = {
    ("posetrack18", "train", 593): "v0.45",
    ("posetrack18", "val", 170): "v0.45",
    ("posetrack18", "val", 74): "v0.2",
    ("posetrack17", "train", 250): "v0.75",
    ("posetrack17", "val", 50): "v0.75",
}


@dataclass
class SplitReport:
    """What one split holds; `missing` and `odd` are lines to print."""

    split: str
    layout: str = ""
    sequences: int = 0
    frames: int = 0
    labelled: int = 0
    people: int = 0
    tracks: int = 0
    missing: list[str] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)

    @property
    def release(self) -> str:
        """The label version, told by the number of files: the files themselves do not say."""
        name = _RELEASES.get((self.layout, self.split, self.sequences))
        if name is not None:
            return f"label version {name}"
        known = sorted(
            {f"{n} in {v}" for (kind, s, n), v in _RELEASES.items() if (kind, s) == (self.layout, self.split)}
        )
        return "part of the set, or an unknown label version" + (f" ({'; '.join(known)})" if known else "")


def annotation_folder(root: Path, split: str) -> Path:
    """The folder with a JSON file for each video of the split; InputError if there is none."""
    for name in _ANNOTATION_FOLDERS:
        folder = root / name / split
        if folder.is_dir() and json_files(folder):
            return folder
    raise InputError(
        f"{root}: has no annotations/{split} with .json files; give the folder that holds 'annotations' and 'images'"
    )


def picture_file(root: Path, frame_name: str) -> Path:
    """The picture of a frame: its name below the root, or below root/images where the name leaves that out."""
    file = root / frame_name
    return file if file.exists() or frame_name.startswith("images/") else root / "images" / frame_name


def check_dataset(root: Path) -> Iterator[SplitReport]:
    """One report a split that is there; InputError if there is none at all."""
    if not root.is_dir():
        raise InputError(f"{root}: there is no such folder")
    found = 0
    for split in SPLITS:
        try:
            folder = annotation_folder(root, split)
        except InputError:
            continue
        found += 1
        yield _check_split(root, folder, split)
    if not found:
        annotation_folder(root, "val")  # says what a tree looks like


def _check_split(root: Path, folder: Path, split: str) -> SplitReport:
    report = SplitReport(split)
    layouts: Counter[str] = Counter()
    for file in sorted(folder.iterdir()):
        if file.suffix != ".json":
            report.odd.append(f"{file}: is no annotation file")
            continue
        try:
            sequence = posetrack_sequence(file, load_json(file))
        except InputError as error:
            report.odd.append(str(error))
            continue
        layouts[sequence.layout] += 1
        _add_sequence(report, root, sequence)
    report.layout = layouts.most_common(1)[0][0] if layouts else "no PoseTrack layout"
    if len(layouts) > 1:
        report.odd.append(f"{folder}: mixes layouts: {', '.join(f'{n} {k}' for k, n in layouts.items())}")
    listed = {file.stem for file in json_files(folder)}
    for pictures in sorted(path for path in (root / "images" / split).glob("*") if path.is_dir()):
        if pictures.name not in listed:
            report.odd.append(f"{pictures}: pictures without annotations")
    return report


def _add_sequence(report: SplitReport, root: Path, sequence: PoseSequence) -> None:
    report.sequences += 1
    report.frames += sequence.frame_count
    report.labelled += int((sequence.labelled | sequence.has_people()).sum())
    report.people += len(sequence.ids)
    report.tracks += len(set(sequence.ids[sequence.has_points].tolist()))
    if not len(sequence.ids):
        report.odd.append(f"{sequence.path}: nobody is annotated")
    absent = []
    for frame, name in enumerate(sequence.rows.frame_names):
        file = picture_file(root, name)
        if not file.is_file():
            absent.append(frame)
        elif not _is_picture(file):
            report.odd.append(f"{file}: is no whole JPEG or PNG picture")
    if absent:
        first = picture_file(root, sequence.rows.frame_names[absent[0]])
        report.missing.append(
            f"{sequence.path.name}: {len(absent)} of {sequence.frame_count} pictures, first {first}"
        )


def _is_picture(file: Path) -> bool:
    """Begins and ends as a picture does: says no to cut-off downloads without decoding anything."""
    with file.open("rb") as stream:
        start = stream.read(4)
        stream.seek(max(0, file.stat().st_size - 64))
        end = stream.read()
    return any(start.startswith(first) and last in end for first, last in _PICTURES)
