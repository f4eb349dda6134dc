"""Speed of overlays at 720p besides decoding: drawing and H.264 beside H.264 alone, in one run.

python scripts/benchmark_overlay.py [VIDEO TRACKS]

Without arguments: a made film, 1280x720, eight figures a frame with trails. The frames are in memory before the
clock starts. Each round encodes them plain, then drawn; the table gives the median of the rounds.
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

from posetrack_app.drawing import Style
from posetrack_app.formats import read_tracks
from posetrack_app.overlay import OverlayWriter
from posetrack_app.records import Frame, TrackedPoses
from posetrack_app.synthetic import make_film
from posetrack_app.video import VideoInfo, open_video
from posetrack_app.video.writer import VideoWriter

_FRAMES = 120


def made_frames() -> tuple[VideoInfo, list[tuple[Frame, TrackedPoses]]]:
    """The film's first shot, three times its size, with every figure also further to the right and left."""
    film = make_film()
    frames = []
    for index in range(_FRAMES):
        place = min(index, 47) if index < 48 else 95 - index if index < 96 else index - 96
        image = cv2.resize(film.picture(place), (1080, 720), interpolation=cv2.INTER_CUBIC)
        image = np.asarray(cv2.copyMakeBorder(image, 0, 0, 100, 100, cv2.BORDER_REFLECT), np.uint8)
        people = film.people[place]
        shifts = (0, 250, -150)
        points = np.concatenate([people.keypoints * 3 + (100 + shift, 0) for shift in shifts])[:8]
        boxes = np.concatenate([people.boxes * 3 + (100 + shift, 0, 100 + shift, 0) for shift in shifts])[:8]
        scores = np.random.default_rng(index).uniform(0.2, 0.9, (8, 17))
        tracked = TrackedPoses(boxes, np.full(8, 0.9), points, scores, np.arange(1, 9), points)
        frames.append((Frame(index, index / 25, image), tracked))
    return VideoInfo(Path("none"), 1280, 720, 0, 25.0, _FRAMES, _FRAMES / 25, ""), frames


def real_frames(video: Path, tracks: Path) -> tuple[VideoInfo, list[tuple[Frame, TrackedPoses]]]:
    """The first frames of a video of yours, with its tracks."""
    people = {frame.index: frame.tracked for frame in read_tracks(tracks).frames}
    with open_video(video) as source:
        frames = [(frame, people[frame.index]) for frame in islice(source, _FRAMES) if frame.index in people]
        return source.info, frames


def cost_of(write: Callable[[], None]) -> tuple[float, float]:
    """Seconds on the clock, and of all processors together: what others do on the machine is not in the second."""
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
    info, frames = real_frames(*options.files) if options.files else made_frames()
    folder = Path(tempfile.mkdtemp(prefix="posetrack-overlay-"))

    def plain() -> None:
        with VideoWriter(folder / "plain.mp4", info) as writer:
            for frame, _ in frames:
                writer.write(frame.seconds, frame.image)

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
            f"{name:<18}{count / clock:6.1f} frames a second, {1000 * used / count:5.1f} ms of a processor a frame"
        )
    print(f"drawn takes {ratio:.2f} times as long as plain")


if __name__ == "__main__":
    main(sys.argv[1:])
