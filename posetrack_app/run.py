"""The main job: a video in, its tracks file and overlay out."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from posetrack_app.assemble import build_parts
from posetrack_app.chain import track_people
from posetrack_app.config import Config
from posetrack_app.formats import TracksWriter
from posetrack_app.overlay import OverlayWriter
from posetrack_app.pipeline import StageClock
from posetrack_app.suspicions import SuspicionWatch
from posetrack_app.video import open_video

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

    def summary(self) -> str:
        """One line for the user."""
        rate = self.frames / self.seconds if self.seconds else 0.0
        stages = ", ".join(f"{name} {seconds:.1f}" for name, seconds in self.stage_seconds.items())
        return (
            f"{self.out}: {self.tracks} people in {self.frames} frames, {rate:.1f} frames a second "
            f"(seconds: {stages})"
        )


def track_video(
    video: Path,
    out: Path,
    *,
    config: Config | None = None,
    device: str = "auto",
    overlay: Path | None = None,
    start: float | None = None,
    stop: float | None = None,
    stride: int = 1,
    progress: Progress | None = None,
) -> Report:
    """Write the tracks of everybody in `video` to `out`, and the drawn video to `overlay`.

    InputError for what cannot be read or written; frames done by then are kept beside `out`.
    """
    config = config or Config()
    with ExitStack() as stack:
        frames = open_video(video, start=start, stop=stop, stride=stride, device=device)
        stack.enter_context(frames)
        parts = build_parts(config, device)
        source = frames.info
        info = {
            "video": {
                "file": video.name, "width": source.width, "height": source.height, "rotation": source.rotation,
                "frame_rate": source.frame_rate, "frame_count": source.frame_count, "seconds": source.seconds,
            },
            "decoder": source.decoder,
            "coordinates": "pixels of the frame as displayed; x to the right, y down; (0, 0) is the first pixel's centre",
            "device": parts.device,
            "precision": parts.precision,
            "weights": parts.weights,
            "config": config.as_dict(),
        }  # fmt: skip
        writer = stack.enter_context(TracksWriter(out, skeleton=parts.skeleton, info=info))
        drawn = stack.enter_context(OverlayWriter(overlay, source, parts.skeleton)) if overlay else None

        clock = StageClock()
        began = time.perf_counter()
        ids: Counter[int] = Counter()
        watch = SuspicionWatch()
        for frame, tracked in track_people(frames, parts, config, clock):
            with clock.stage("write"):
                writer.write(frame.index, frame.seconds, tracked)
                if drawn is not None:
                    drawn.write(frame, tracked)
                ids.update(tracked.ids.tolist())
                watch.see(frame.index, frame.seconds, tracked)
            if progress is not None:
                progress(writer.frames, frames.expected, len(ids))
        seconds = time.perf_counter() - began
        stages = {name: round(clock.seconds[name], 3) for name in STAGES}
        # The decoder once more: another one may have taken over on the way.
        ended = {"decoder": frames.info.decoder, "losses": frames.losses}
        suspicions = [suspicion.as_dict() for suspicion in watch.found]
        writer.finish({**ended, "stage_seconds": stages, "tracks": len(ids), "suspicions": suspicions})
    return Report(out, writer.frames, len(ids), seconds, stages, frames.losses)
