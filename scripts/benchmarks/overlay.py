"""Speed of drawing and encoding overlays at 720p, compared with encoding alone.

python scripts/benchmarks/overlay.py [VIDEO TRACKS] [--rounds 5]

Without VIDEO: a synthetic video, 1280x720, with eight figures per frame and trails. The frames are decoded before the
clock starts. Each round encodes them first plain, then drawn; the table shows medians over the rounds.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from posetrack_app.core.records import Detections, Frame, TrackedPoses
from posetrack_app.drawing.draw import Style
from posetrack_app.drawing.overlay import OverlayWriter
from posetrack_app.formats import read_tracks
from posetrack_app.jobs.synthetic_video import make_synthetic_video
from posetrack_app.video import VideoInfo, open_video
from posetrack_app.video.writer import VideoWriter

_FRAMES = 120


def synthetic_frames() -> tuple[VideoInfo, list[tuple[Frame, TrackedPoses]]]:
    """The first shot of the synthetic video, three times larger, with copies of its figures on the left and right."""
    source = make_synthetic_video()
    frames = []
    for index in range(_FRAMES):
        shown = min(index, 47) if index < 48 else 95 - index if index < 96 else index - 96
        large = cv2.resize(source.image(shown), (1080, 720), interpolation=cv2.INTER_CUBIC)
        image: NDArray[np.uint8] = np.asarray(
            cv2.copyMakeBorder(large, 0, 0, 100, 100, cv2.BORDER_REFLECT), np.uint8
        )
        people = source.people[shown]
        shifts = (0, 250, -150)
        points = np.concatenate([people.keypoints * 3 + (100 + shift, 0) for shift in shifts])[:8]
        boxes = np.concatenate([people.boxes * 3 + (100 + shift, 0, 100 + shift, 0) for shift in shifts])[:8]
        scores = np.random.default_rng(index).uniform(0.2, 0.9, (8, 17))
        tracked = (
            Detections.detected(boxes, np.full(8, 0.9))
            .with_keypoints(points, scores)
            .with_ids(np.arange(1, 9))
        )
        frames.append((Frame.of(index, index / 25, image), tracked))
    return VideoInfo(Path("none"), 1280, 720, 0, 25.0, _FRAMES, _FRAMES / 25, ""), frames


def real_frames(video: Path, tracks: Path) -> tuple[VideoInfo, list[tuple[Frame, TrackedPoses]]]:
    """The first frames of a video with its tracks."""
    people = {frame.info.index: frame.people for frame in read_tracks(tracks).frames}
    with open_video(video) as source:
        frames = [
            (frame, people[frame.info.index])
            for frame in islice(source, _FRAMES)
            if frame.info.index in people
        ]
        return source.info, frames


def cost_of(write: Callable[[], None]) -> tuple[float, float]:
    """Seconds of wall-clock time and of CPU time; other programs do not affect the second."""
    began, used = time.perf_counter(), time.process_time()
    write()
    return time.perf_counter() - began, time.process_time() - used


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("files", nargs="*", type=Path, metavar="VIDEO TRACKS")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    if len(options.files) not in (0, 2):
        parser.error("give a video and its tracks, or nothing")
    info, frames = real_frames(*options.files) if options.files else synthetic_frames()
    folder = Path(tempfile.mkdtemp(prefix="posetrack-overlay-"))

    def plain() -> None:
        with VideoWriter(folder / "plain.mp4", info) as writer:
            for frame, _ in frames:
                writer.write(frame.info.seconds, frame.image)

    def drawn() -> None:
        with OverlayWriter(folder / "drawn.mp4", info, style=Style(trails=True)) as writer:
            for frame, tracked in frames:
                writer.write(frame, tracked)

    rounds = [(*cost_of(plain), *cost_of(drawn)) for _ in range(options.rounds)]
    people = sum(len(tracked) for _, tracked in frames) / len(frames)
    alone, alone_used, both, both_used = (statistics.median(column) for column in zip(*rounds, strict=True))
    ratio = statistics.median(drawn / plain for plain, _, drawn, _ in rounds)
    count = len(frames)
    print(f"{info.width}x{info.height}, {count} frames, {people:.1f} people a frame, {options.rounds} rounds")
    for name, clock, used in (("H.264 alone", alone, alone_used), ("drawing and H.264", both, both_used)):
        print(
            f"{name:<18}{count / clock:6.1f} frames a second, {1000 * used / count:5.1f} ms of CPU time a frame"
        )
    print(f"drawing and encoding takes {ratio:.2f} times as long as encoding alone")


if __name__ == "__main__":
    main(sys.argv[1:])
