"""Check a PoseTrack folder: missing images, files that cannot be scored, and the label version."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from posetrack_app.core.choices import SPLITS
from posetrack_app.core.errors import InputError
from posetrack_app.core.json_file import json_files, load_json
from posetrack_app.formats.posetrack.dataset import annotation_folder, image_file
from posetrack_app.formats.posetrack.read import posetrack_sequence
from posetrack_app.formats.posetrack.sequence import PoseSequence

_IMAGE_BYTES = ((b"\xff\xd8\xff", b"\xff\xd9"), (b"\x89PNG", b"IEND\xaeB`\x82"))
"""First and last bytes of JPEG and PNG files."""
_RELEASES = {
    ("posetrack18", "train", 593): "v0.45",
    ("posetrack18", "val", 170): "v0.45",
    ("posetrack18", "val", 74): "v0.2",
    ("posetrack17", "train", 250): "v0.75",
    ("posetrack17", "val", 50): "v0.75",
}
"""(layout, split, number of annotation files) -> label version."""


@dataclass
class SplitReport:
    """The contents of one split; `missing` and `unusual` have one line per fault."""

    split: str
    layout: str = ""
    sequences: int = 0
    frames: int = 0
    labelled: int = 0
    people: int = 0
    tracks: int = 0
    missing: list[str] = field(default_factory=list)
    unusual: list[str] = field(default_factory=list)

    @property
    def release(self) -> str:
        """The label version, in words. The files do not contain it, so it is inferred from their number."""
        name = _RELEASES.get((self.layout, self.split, self.sequences))
        if name is not None:
            return f"label version {name}"
        known = sorted(
            {f"{n} in {v}" for (kind, s, n), v in _RELEASES.items() if (kind, s) == (self.layout, self.split)}
        )
        return "a part of the data set, or an unknown label version" + (
            f" ({'; '.join(known)})" if known else ""
        )


def check_dataset(root: Path) -> Iterator[SplitReport]:
    """One report for each existing split. InputError if there is none."""
    if not root.is_dir():
        raise InputError(f"{root}: no such folder")
    found = 0
    for split in SPLITS:
        try:
            folder = annotation_folder(root, split)
        except InputError:
            continue
        found += 1
        yield _check_split(root, folder, split)
    if not found:
        annotation_folder(root, "val")  # raises the error, which describes the expected folders


def _check_split(root: Path, folder: Path, split: str) -> SplitReport:
    report = SplitReport(split)
    layouts: Counter[str] = Counter()
    for file in sorted(folder.iterdir()):
        if file.suffix != ".json":
            report.unusual.append(f"{file} is not an annotation file")
            continue
        try:
            sequence = posetrack_sequence(file, load_json(file))
        except InputError as error:
            report.unusual.append(str(error))
            continue
        layouts[sequence.layout] += 1
        _add_sequence(report, root, sequence)
    report.layout = layouts.most_common(1)[0][0] if layouts else "no PoseTrack layout"
    if len(layouts) > 1:
        report.unusual.append(
            f"{folder} has files of several layouts: {', '.join(f'{n} {k}' for k, n in layouts.items())}"
        )
    listed = {file.stem for file in json_files(folder)}
    for images in sorted(path for path in (root / "images" / split).glob("*") if path.is_dir()):
        if images.name not in listed:
            report.unusual.append(f"{images}: images without annotations")
    return report


def _add_sequence(report: SplitReport, root: Path, sequence: PoseSequence) -> None:
    report.sequences += 1
    report.frames += sequence.frame_count
    report.labelled += int((sequence.labelled | sequence.has_people()).sum())
    report.people += len(sequence.ids)
    report.tracks += len(set(sequence.ids[sequence.has_points].tolist()))
    if not len(sequence.ids):
        report.unusual.append(f"{sequence.path}: no annotated people")
    missing = []
    for frame, name in enumerate(sequence.rows.frame_names):
        file = image_file(root, name)
        if not file.is_file():
            missing.append(frame)
        elif not _is_complete_image(file):
            report.unusual.append(f"{file} is not a complete JPEG or PNG image")
    if missing:
        first = image_file(root, sequence.rows.frame_names[missing[0]])
        report.missing.append(
            f"{sequence.path.name}: {len(missing)} of {sequence.frame_count} images, first {first}"
        )


def _is_complete_image(file: Path) -> bool:
    """Whether the file starts and ends as an image does; finds truncated downloads without decoding."""
    with file.open("rb") as stream:
        start = stream.read(4)
        stream.seek(max(0, file.stat().st_size - 64))
        end = stream.read()
    return any(start.startswith(first) and last in end for first, last in _IMAGE_BYTES)
