"""The main job: a video in, its tracks file and overlay out; any number of them one after another."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from posetrack_app import __version__
from posetrack_app.assemble import Parts, build_parts
from posetrack_app.chain import track_people
from posetrack_app.config import Config
from posetrack_app.errors import InputError
from posetrack_app.formats import TracksWriter
from posetrack_app.formats.tracks import partial_file
from posetrack_app.formats.whole import check_place, remove_leftovers
from posetrack_app.journal import Journal, journal_file, recorded_detector, recorded_estimator
from posetrack_app.manifest import manifest_file, versions, write_manifest
from posetrack_app.overlay import OverlayWriter
from posetrack_app.pipeline import StageClock
from posetrack_app.sources import check_targets, fingerprint
from posetrack_app.suspicions import SuspicionWatch
from posetrack_app.video import Video, is_stream, open_video, plain_name
from posetrack_app.video.writer import partial_video

STAGES = ("decode", "detect", "pose", "track", "write")

Progress = Callable[[int, int | None, int], None]
"""Called after each frame with frames done, frames expected or None, and people so far."""


@dataclass(frozen=True)
class Report:
    """What a run did; `stage_seconds` by stage, without loading the networks."""

    out: Path
    frames: int
    tracks: int
    seconds: float
    stage_seconds: dict[str, float]
    losses: list[str]

    @property
    def rate(self) -> float:
        """Frames a second."""
        return self.frames / self.seconds if self.seconds else 0.0

    def summary(self) -> str:
        """One line for the user."""
        stages = ", ".join(f"{name} {seconds:.1f}" for name, seconds in self.stage_seconds.items())
        return (
            f"{self.out}: {self.tracks} people in {self.frames} frames, {self.rate:.1f} frames a second "
            f"(seconds: {stages})"
        )


def track_video(
    video: Path | str,
    out: Path,
    *,
    config: Config | None = None,
    device: str = "auto",
    overlay: Path | None = None,
    start: float | None = None,
    stop: float | None = None,
    stride: int = 1,
    duration: float | None = None,
    resume: bool = False,
    force: bool = False,
    progress: Progress | None = None,
    parts: Parts | None = None,
) -> Report:
    """Write the tracks of everybody in `video` to `out`, and the drawn video to `overlay`.

    `video` is a file, a folder of pictures, or a stream ("webcam:0", an address, "-" for standard input).
    With `resume` the stopped run of the same `out` and settings goes on, or begins where there is none; with
    `force` existing files are written over. `parts` are networks loaded already, for many videos in a row.
    InputError for what cannot be read or written; frames done by then are kept beside `out`.
    """
    for target in [out, overlay] if overlay else [out]:
        check_place(target)
    check_targets([video], [out], overlay, resume=resume, force=force)
    config = config or Config()
    span = {"start": start, "stop": stop, "stride": stride, "duration": duration}
    # Opened before the networks are loaded: what is wrong with a video is said at once.
    with open_video(video, start=start, stop=stop, stride=stride, duration=duration, device=device) as frames:
        parts = parts or build_parts(config, device)
        info = _info(video, frames, parts, config, span)
        if resume and out.exists() and not journal_file(out).exists():
            if overlay is not None and not overlay.exists():
                raise InputError(f"{out}: is done, and {overlay} is not there; draw it with posetrack render")
            return _done_before(out, info)
        return _track(video, frames, out, parts, config, info, overlay, resume, progress)


def _track(
    video: Path | str,
    frames: Video,
    out: Path,
    parts: Parts,
    config: Config,
    info: dict[str, Any],
    overlay: Path | None,
    resume: bool,
    progress: Progress | None,
) -> Report:
    """Run the chain over an opened video; the journal beside `out` holds all that is needed to resume."""
    began, started = time.perf_counter(), datetime.now(UTC).isoformat(timespec="seconds")
    clock = StageClock()
    watch = SuspicionWatch()
    with ExitStack() as stack:
        journal = _journal(stack, video, out, info, overlay, resume)
        if journal is not None:
            parts = replace(
                parts,
                detector=recorded_detector(parts.detector, journal),
                estimator=recorded_estimator(parts.estimator, journal),
            )
            for target in (out, manifest_file(out), *([overlay] if overlay else [])):
                remove_leftovers(target)
        writer = stack.enter_context(TracksWriter(out, skeleton=parts.skeleton, info=info))
        drawn = stack.enter_context(OverlayWriter(overlay, frames.info, parts.skeleton)) if overlay else None
        for frame, tracked in track_people(frames, parts, config, clock):
            with clock.stage("write"):
                writer.write_frame(frame, tracked)
                if drawn is not None:
                    drawn.write(frame, tracked)
                watch.see(frame, tracked)
            if progress is not None:
                progress(writer.frames, frames.expected, len(writer.ids))
        # The decoder once more: another one may have taken over on the way.
        ended = {
            "decoder": frames.info.decoder, "losses": frames.losses, "missing_frames": frames.missing,
        }  # fmt: skip
        writer.finish({**ended, "suspicions": [suspicion.as_dict() for suspicion in watch.found]})
    seconds = time.perf_counter() - began
    stages = {name: round(clock.seconds[name], 3) for name in STAGES}
    facts = {
        "started": started, "seconds": round(seconds, 3), "stage_seconds": stages, "frames": writer.frames,
        "tracks": len(writer.ids), "poses": writer.people, "resumed": bool(journal and journal.taken),
        "device": parts.device, **ended,
    }  # fmt: skip
    write_manifest(out, parts.device, facts)
    if journal is not None:
        # Of an earlier run that stopped: this one has all of it, or was told to write over it.
        for kept in (partial_file(out), *([partial_video(overlay)] if overlay else [])):
            kept.unlink(missing_ok=True)
        journal.path.unlink(missing_ok=True)  # last: until here a killed run can be resumed
    return Report(out, writer.frames, len(writer.ids), seconds, stages, frames.losses)


def _journal(
    stack: ExitStack,
    video: Path | str,
    out: Path,
    info: dict[str, Any],
    overlay: Path | None,
    resume: bool,
) -> Journal | None:
    """The journal beside `out`; None for a stream, which cannot be had a second time."""
    if is_stream(video):
        return None
    # Another video of the same name shows by its pictures: what is known of the same ones stays of use.
    told = {name: value for name, value in info["video"].items() if name != "fingerprint"}
    made_with = {
        **info,
        "video": told,
        # Other versions may give other answers, or make other tracks of the same answers.
        "versions": {"posetrack": __version__, **versions(("torch", "torchvision"))},
        # An overlay that is there is this run's own only if it was to write one from the start.
        "overlay": None if overlay is None else os.path.abspath(overlay),
    }
    return stack.enter_context(Journal(journal_file(out), made_with, resume=resume))


def _info(
    video: Path | str, frames: Video, parts: Parts, config: Config, span: dict[str, Any]
) -> dict[str, Any]:
    """What stands in the tracks file: nothing that another run of the same would not say too."""
    source = frames.info
    info = {
        "video": {
            "file": plain_name(video), "width": source.width, "height": source.height,
            "rotation": source.rotation, "frame_rate": source.frame_rate, "frame_count": source.frame_count,
            "seconds": source.seconds, "fingerprint": fingerprint(video),
        },
        "span": span,
        "decoder": source.decoder,
        "coordinates": "pixels of the upright frame; x to the right, y down; (0, 0) is the first pixel's centre",
        "device": parts.device,
        "precision": parts.precision,
        "weights": parts.weights,
        "config": config.as_dict(),
    }  # fmt: skip
    plain: dict[str, Any] = json.loads(json.dumps(info))  # as it comes back from a file
    return plain


def _done_before(out: Path, info: dict[str, Any]) -> Report:
    """The report of a file that is whole already; InputError if it was made otherwise."""
    with out.open(encoding="utf-8", errors="replace") as file:
        line = file.readline()  # the writer puts `info` on a line of its own
    try:
        found = json.loads(line.removesuffix(",\n") + "}")["info"]
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{out}: was not written by posetrack run; choose another name") from error
    # Older versions wrote no fingerprint.
    before = {**found, "video": {"fingerprint": info["video"]["fingerprint"], **found.get("video", {})}}
    for name in ("video", "span", "device", "precision", "weights", "config"):
        if before.get(name) != info[name]:
            raise InputError(
                f"{out}: is whole, but was made with another {name}; choose another name or add --force"
            )
    return Report(out, found.get("frames", 0), found.get("tracks", 0), 0.0, {}, found.get("losses", []))
