"""`posetrack link`: new identities for stored poses, without video or networks."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from posetrack_app.core.choices import SMOOTHING
from posetrack_app.core.config import Config, SecondPassConfig, settings_for
from posetrack_app.core.errors import InputError
from posetrack_app.core.files import StrPath, check_output_file, refuse_to_replace
from posetrack_app.core.json_file import as_text
from posetrack_app.core.records import INTERPOLATED, TrackedPoses
from posetrack_app.core.words import counted
from posetrack_app.formats import TrackedFrame, Tracks, TracksWriter
from posetrack_app.formats.tracks_json.poses_reader import read_poses
from posetrack_app.jobs.outputs import check_tracks_name
from posetrack_app.pipeline.id_review import IdReview
from posetrack_app.pipeline.link import build_tracker, link_poses
from posetrack_app.pipeline.second_pass.second_pass import second_pass as run_second_pass

_OF_THE_RUN = {"stage_seconds", "possible_id_switches", "suspicions"}
"""Entries of `info` that describe the previous run, not its poses; the writer adds versions and counts itself."""


@dataclass(frozen=True)
class LinkReport:
    """What was written to `out`; `unassigned` poses got no identity and were left out."""

    out: Path
    frames: int
    tracks: int
    poses: int
    unassigned: int

    def summary(self) -> str:
        """One line for the user."""
        text = f"{self.out}: {counted(self.tracks, 'person', 'people')} in {counted(self.frames, 'frame')}"
        if self.unassigned:
            text += (
                f"; {counted(self.unassigned, 'pose')} got no identity, because of low scores or too few frames "
                "([tracker] in docs/tracker.md)"
            )
        return text


def link(
    poses: StrPath,
    out: StrPath,
    *,
    preset: str = "default",
    config: Config | StrPath | None = None,
    second_pass: bool = False,
    smooth: str | None = None,
    force: bool = False,
) -> LinkReport:
    """Give new identities to the poses of a file, without video or networks: `posetrack link`.

    The ids in `poses`, if any, are ignored. `info.possible_id_switches` of `out` lists what a person should check.

    Args:
        poses: a tracks file, a PoseTrack18 file or a list of COCO keypoint results.
        out: the tracks file to write.
        preset: the settings to start from.
        config: a `Config`, or a TOML file; [tracker], [flow_tracker], [smoothing] and [second_pass] are used.
        second_pass: join, fill, repair and smooth whole tracks afterwards.
        smooth: smoothing of the second pass in place of the setting: "butterworth", "savgol", "kalman", "none".
        force: overwrite an existing file.

    Raises InputError for anything that cannot be read or written.
    """
    check_tracks_name(Path(out))
    if not force:
        refuse_to_replace(Path(out))
    if smooth is not None and not second_pass:
        raise InputError("smooth is part of the second pass; ask for both", option="second_pass")
    check_output_file(Path(out))
    settings = settings_for(preset, config)
    if smooth is not None:
        if smooth not in SMOOTHING:
            raise InputError(
                f"unknown smoothing '{smooth}'; choose one of {', '.join(SMOOTHING)}", option="smooth"
            )
        settings = replace(settings, second_pass=replace(settings.second_pass, smoothing=smooth))
    return _link_file(Path(poses), Path(out), settings, settings.second_pass if second_pass else None)


def _link_file(source: Path, out: Path, config: Config, second: SecondPassConfig | None) -> LinkReport:
    stored = read_poses(source)
    tracker, smoother = build_tracker(config, skeleton=stored.skeleton)
    stream = ((frame, frame.people) for frame in stored.frames)
    linked = list(link_poses(stream, tracker, smoother, config.tracker.patience_seconds))
    before = sum(len(frame.people) for frame in stored.frames)
    unassigned = before - sum(len(people) for _, people in linked)
    if second is not None:
        seen = _seen(linked)
        linked = _after_second_pass(linked, stored, second)
        unassigned += seen - _seen(linked)  # false positives that the second pass dropped
    review = IdReview()
    with TracksWriter(out, skeleton=stored.skeleton, info=_info(stored, config, second)) as writer:
        for frame, people in linked:
            writer.write(frame.info, people)
            review.see(frame.info, people)
        writer.finish({"possible_id_switches": [found.as_dict() for found in review.found]})
    return LinkReport(out, writer.frames, len(writer.ids), writer.people, unassigned)


def _info(stored: Tracks, config: Config, second: SecondPassConfig | None) -> dict[str, Any]:
    """What the source says of its poses, and how they were linked here."""
    info = {name: value for name, value in stored.info.items() if name not in _OF_THE_RUN}
    used = config.as_dict()
    linking = {name: used[name] for name in ("tracker", "flow_tracker", "smoothing")}
    return {
        **info,
        "linked_from": as_text(stored.path.name),
        "config": {**info.get("config", {}), **linking},
        "second_pass": None if second is None else asdict(second),
    }


def _after_second_pass(
    linked: list[tuple[TrackedFrame, TrackedPoses]], stored: Tracks, settings: SecondPassConfig
) -> list[tuple[TrackedFrame, TrackedPoses]]:
    frames = [frame for frame, _ in linked]
    seconds = np.array([frame.info.seconds for frame in frames])
    shots = np.cumsum([frame.info.is_cut for frame in frames])
    people = run_second_pass(seconds, [people for _, people in linked], stored.skeleton, settings, shots)
    return list(zip(frames, people, strict=True))


def _seen(linked: list[tuple[TrackedFrame, TrackedPoses]]) -> int:
    """Poses that were not interpolated."""
    return sum(int((people.origins != INTERPOLATED).sum()) for _, people in linked)
