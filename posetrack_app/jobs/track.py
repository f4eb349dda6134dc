"""`posetrack run` for one video: the tracks file, its manifest, and the overlay video."""

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

from posetrack_app.core.config import Config, settings_for
from posetrack_app.core.errors import InputError
from posetrack_app.core.files import StrPath, check_output_file, remove_leftovers
from posetrack_app.core.forks import refuse_after_fork
from posetrack_app.core.protocols import Networks
from posetrack_app.core.words import counted
from posetrack_app.drawing.overlay import OverlayWriter
from posetrack_app.formats import TracksWriter
from posetrack_app.formats.tracks_json.writer import partial_file
from posetrack_app.jobs.journal import Journal, journal_file, recorded_detector, recorded_estimator
from posetrack_app.jobs.manifest import computing_versions, manifest_file, write_manifest
from posetrack_app.jobs.outputs import check_targets
from posetrack_app.models.build import load_networks
from posetrack_app.models.devices import choose_device
from posetrack_app.pipeline.clock import StageClock
from posetrack_app.pipeline.id_review import IdReview
from posetrack_app.pipeline.track_people import track_people
from posetrack_app.video import Video, is_stream, open_video, plain_name
from posetrack_app.video.fingerprint import fingerprint
from posetrack_app.video.writer import partial_video

STAGES = ("decode", "detect", "pose", "track", "write")

Progress = Callable[[int, int | None, int], None]
"""Called after each frame with the frames done, the frames expected (None if unknown) and the people so far."""


@dataclass(frozen=True)
class TrackReport:
    """What a run did. `stage_seconds` is the time per stage, without loading the networks."""

    out: Path
    frames: int
    tracks: int
    seconds: float
    stage_seconds: dict[str, float]
    losses: list[str]
    """What could not be decoded, one line each."""
    decoder: str = ""
    """What read the video to its end."""

    @property
    def rate(self) -> float:
        """Frames per second."""
        return self.frames / self.seconds if self.seconds else 0.0

    def summary(self) -> str:
        """One line for the user."""
        if not self.seconds:  # resumed, but nothing was left to do
            return f"{self.out}: done before, {self._counts()}"
        stages = ", ".join(f"{name} {seconds:.1f}" for name, seconds in self.stage_seconds.items())
        return f"{self.out}: {self._counts()}, {self.rate:.1f} frames per second (seconds: {stages})"

    def _counts(self) -> str:
        return f"{counted(self.tracks, 'person', 'people')} in {counted(self.frames, 'frame')}"


@dataclass(frozen=True)
class _Job:
    """One run over an opened video."""

    video: Path | str
    out: Path
    overlay: Path | None
    config: Config
    networks: Networks
    info: dict[str, Any]
    resume: bool
    progress: Progress | None


def track_video(
    video: StrPath,
    out: StrPath,
    *,
    preset: str = "default",
    config: Config | StrPath | None = None,
    device: str = "auto",
    overlay: StrPath | None = None,
    start: float | None = None,
    stop: float | None = None,
    duration: float | None = None,
    stride: int = 1,
    fps: float | None = None,
    video_stream: int | None = None,
    resume: bool = False,
    force: bool = False,
    progress: Progress | None = None,
    networks: Networks | None = None,
) -> TrackReport:
    """Find and track everyone in `video` and write the tracks to `out`: `posetrack run`.

    Args:
        video: a file, an image folder, or a stream ("webcam:0", "rtsp://...", "-" for standard input).
        out: the tracks file (JSON).
        preset: the settings to start from.
        config: a `Config`, which replaces the preset, or a TOML file whose settings go on top of it.
        device: "auto", "cpu", "cuda", "cuda:1" (the second card) or "mps".
        overlay: also write this MP4 with the people drawn on it.
        start: skip frames shown before this time in seconds.
        stop: skip frames shown at or after this time in seconds.
        duration: seconds to process, from `start` or of a stream; another way to give `stop`.
        stride: process every n-th frame.
        fps: frame rate of an image folder (default 25) or raw H.264/HEVC, which have no times.
        video_stream: FFmpeg's number of the stream to read if the video has several; by default the best one.
        resume: continue the stopped run that wrote to the same `out`.
        force: overwrite existing files.
        progress: called after each frame.
        networks: from `load_networks`, to load them once for many videos; `device` is then theirs.

    Raises InputError for anything that cannot be read or written. Frames done by then are kept beside `out`.
    """
    refuse_after_fork()
    source = video if isinstance(video, str) else Path(video)
    target, drawing = Path(out), None if overlay is None else Path(overlay)
    for path in [target, drawing] if drawing else [target]:
        check_output_file(path)
    check_targets([source], [target], [drawing] if drawing else [], resume=resume, force=force)
    settings = settings_for(preset, config)
    device = networks.device if networks else choose_device(device)  # "auto" would not ask for NVDEC
    span = {"start": start, "stop": stop, "stride": stride, "duration": duration}
    # Open the video before loading the networks: an error in it is then reported at once.
    with open_video(source, **span, device=device, fps=fps, video_stream=video_stream) as frames:  # type: ignore[arg-type]
        networks = networks or load_networks(settings, device)
        info = _info(source, frames, networks, settings, span)
        if resume and target.exists() and not journal_file(target).exists():
            if drawing is not None and not drawing.exists():
                raise InputError(
                    f"{target} is complete, but {drawing} is missing; draw it with posetrack render"
                )
            return _checked_report(target, info)
        return _track(_Job(source, target, drawing, settings, networks, info, resume, progress), frames)


def _track(job: _Job, frames: Video) -> TrackReport:
    """Run the pipeline over an opened video. The journal beside `out` holds what is needed to resume."""
    began, started = time.perf_counter(), datetime.now(UTC).isoformat(timespec="seconds")
    clock, review, networks = StageClock(), IdReview(), job.networks
    with ExitStack() as stack:
        journal = _open_journal(stack, job)
        if journal is not None:
            networks = replace(
                networks,
                detector=recorded_detector(networks.detector, journal),
                estimator=recorded_estimator(networks.estimator, journal),
            )
            for target in (job.out, manifest_file(job.out), *([job.overlay] if job.overlay else [])):
                remove_leftovers(target)
        writer = stack.enter_context(TracksWriter(job.out, skeleton=networks.skeleton, info=job.info))
        drawn = (
            stack.enter_context(OverlayWriter(job.overlay, frames.info, networks.skeleton))
            if job.overlay
            else None
        )
        for frame, people in track_people(frames, networks, job.config, clock):
            with clock.stage("write"):
                writer.write(frame.info, people)
                if drawn is not None:
                    drawn.write(frame, people)
                review.see(frame.info, people)
            if job.progress is not None:
                job.progress(writer.frames, frames.expected, len(writer.ids))
        # Read these at the end: the decoder may have changed mid-video.
        ended = {"decoder": frames.info.decoder, "losses": frames.losses, "missing_frames": frames.missing}
        writer.finish({**ended, "possible_id_switches": [found.as_dict() for found in review.found]})
    seconds = time.perf_counter() - began
    stages = {name: round(clock.seconds[name], 3) for name in STAGES}
    facts = {
        "started": started, "seconds": round(seconds, 3), "stage_seconds": stages, "frames": writer.frames,
        "tracks": len(writer.ids), "poses": writer.people, "resumed": bool(journal and journal.replayed),
        "device": networks.device, **ended,
    }  # fmt: skip
    write_manifest(job.out, networks.device, facts)
    if journal is not None:
        _remove_partial_results(job, journal)
    return TrackReport(
        job.out, writer.frames, len(writer.ids), seconds, stages, frames.losses, frames.info.decoder
    )


def _remove_partial_results(job: _Job, journal: Journal) -> None:
    """What an earlier, stopped run kept; the finished files replace it."""
    for kept in (partial_file(job.out), *([partial_video(job.overlay)] if job.overlay else [])):
        kept.unlink(missing_ok=True)
    journal.path.unlink(missing_ok=True)  # last: until here a killed run can be resumed


def _open_journal(stack: ExitStack, job: _Job) -> Journal | None:
    """The journal beside `out`; None for a stream, because a live stream cannot be replayed."""
    if is_stream(job.video):
        return None
    # Without the fingerprint: the journal compares the frames themselves.
    video = {name: value for name, value in job.info["video"].items() if name != "fingerprint"}
    made_with = {
        **job.info,
        "video": video,
        # Other versions may compute other outputs, or other tracks from the same outputs.
        "versions": computing_versions(),
        # An existing overlay belongs to this run only if the run was asked for it from the start.
        "overlay": None if job.overlay is None else os.path.abspath(job.overlay),
    }
    return stack.enter_context(Journal(journal_file(job.out), made_with, resume=job.resume))


def _info(
    video: Path | str, frames: Video, networks: Networks, config: Config, span: dict[str, Any]
) -> dict[str, Any]:
    """The `info` block of the tracks file: reproducible facts only."""
    source = frames.info
    info = {
        "video": {
            "file": plain_name(video), "width": source.width, "height": source.height,
            "rotation": source.rotation, "frame_rate": source.frame_rate, "frame_count": source.frame_count,
            "seconds": source.seconds, "fingerprint": fingerprint(video),
            **({} if source.stream is None else {"stream": source.stream}),
        },
        "span": span,
        "decoder": source.decoder,
        "coordinates": "pixels of the upright frame; x to the right, y down; (0, 0) is the first pixel's centre",
        "device": networks.device.partition(":")[0],  # the card does not matter: another one may resume the run
        "precision": networks.precision,
        "weights": networks.weights,
        "config": config.as_dict(),
    }  # fmt: skip
    plain: dict[str, Any] = json.loads(json.dumps(info))  # as it comes back from a file
    return plain


def finished_report(out: Path) -> TrackReport:
    """The report of a finished tracks file, without times; InputError if posetrack did not write it."""
    found = _stored_info(out)
    return TrackReport(
        out,
        found.get("frames", 0),
        found.get("tracks", 0),
        0.0,
        {},
        found.get("losses", []),
        found.get("decoder", ""),
    )


def _checked_report(out: Path, info: dict[str, Any]) -> TrackReport:
    """The report of a finished tracks file; InputError if it was made with other settings."""
    found = _stored_info(out)
    # Older versions wrote no fingerprint.
    before = {**found, "video": {"fingerprint": info["video"]["fingerprint"], **found.get("video", {})}}
    for name in ("video", "span", "device", "precision", "weights", "config"):
        if before.get(name) != info[name]:
            raise InputError(
                f"{out} is complete, but was made with a different {name}; choose another name or overwrite it",
                option="force",
            )
    return finished_report(out)


def _stored_info(out: Path) -> dict[str, Any]:
    """The block `info` of a tracks file, without reading the rest."""
    with out.open(encoding="utf-8", errors="replace") as file:
        line = file.readline()  # the writer puts `info` on a line of its own
    try:
        found: dict[str, Any] = json.loads(line.removesuffix(",\n") + "}")["info"]
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{out} was not written by posetrack run; choose another name") from error
    return found
