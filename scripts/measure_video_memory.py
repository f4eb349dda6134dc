"""Resident memory while a long generated video is read, drawn and written: it must not grow with it.

    python scripts/measure_video_memory.py [frames [stage ...]]

Prints MiB and frames a second of processor time for reading (decord and PyAV), writing tracks.json, writing
overlays and whole runs (all but the networks, whose answers are made up), and ends with 1 where memory reached
over 5 % more in the second half than in the first.
"""

from __future__ import annotations

import gc
import resource
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import av
import numpy as np

from posetrack_app.assemble import Parts
from posetrack_app.formats import TracksWriter
from posetrack_app.overlay import OverlayWriter
from posetrack_app.records import Frame, TrackedPoses
from posetrack_app.run import track_video
from posetrack_app.skeleton import POSETRACK
from posetrack_app.video import open_video

SIZE = (320, 240)


def main() -> None:
    frames = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    print(f"{frames} frames of {SIZE[0]}x{SIZE[1]}, 7 people in each")
    grown = False
    with tempfile.TemporaryDirectory() as folder:
        for ending in ("mp4", "mkv"):  # decord reads the first, PyAV the second, which has one key frame
            video = Path(folder) / f"clip.{ending}"
            write_video(video, frames)
            for what in sys.argv[2:] or ("reading", "slow reading", "tracks.json", "overlay", "run"):
                # A process of its own: what one stage leaves behind must not hide what the next one takes.
                with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                    grown |= pool.submit(measure, video, what, frames).result()
    sys.exit(grown)


def write_video(path: Path, frames: int) -> None:
    container: Any = av.open(str(path), "w")
    random = np.random.default_rng(0)
    pictures = [random.integers(0, 256, (SIZE[1] // 20, SIZE[0] // 20, 3), np.uint8) for _ in range(50)]
    pictures = [picture.repeat(20, axis=0).repeat(20, axis=1) for picture in pictures]
    with container:
        codec, options = (
            ("mpeg4", {}) if path.suffix == ".mp4" else ("libx264", {"preset": "ultrafast", "g": "999999"})
        )
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(pictures[index // 25 % 50], "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def measure(video: Path, what: str, frames: int) -> bool:
    """Run one stage over the video and print its memory and speed; True where memory grew."""
    poses = some_people()
    if what == "run":
        return measure_run(video, poses, frames)
    with open_video(video, stop=frames / 25) as source:
        began = time.process_time()
        memory: list[float] = []
        if "reading" in what:
            for frame in source:
                time.sleep(0.003 if "slow" in what else 0)
                note(memory, frame)
        elif what == "tracks.json":
            with TracksWriter(video.with_suffix(".json"), skeleton=POSETRACK, info={}) as writer:
                for frame in source:
                    writer.write(frame.index, frame.seconds, poses)
                    note(memory, frame)
        else:
            with OverlayWriter(video.with_name("overlay.mp4"), source.info) as overlay:
                for frame in source:
                    overlay.write(frame, poses)
                    note(memory, frame)
        spent = time.process_time() - began
        return judge(what, source.info.decoder, memory, frames / spent)


def measure_run(video: Path, poses: TrackedPoses, frames: int) -> bool:
    """The whole job, as `posetrack run` does it; the networks always see the same seven people."""
    memory: list[float] = []

    def progress(done: int, expected: int | None, people: int) -> None:
        if done % 100 == 0:
            memory.append(resident())
        if done % 10_000 == 0:
            print(f"run: {done} frames, {memory[-1]:.0f} MiB", flush=True)

    parts = Parts(
        detector=lambda images: [(poses.boxes, poses.scores) for _ in images],
        estimator=lambda images, boxes: (
            np.tile(poses.keypoints, (len(boxes) // 7 + 1, 1, 1))[: len(boxes)],
            np.tile(poses.keypoint_scores, (len(boxes) // 7 + 1, 1))[: len(boxes)],
        ),
        skeleton=POSETRACK, device="cpu", precision="float32", weights={},
    )  # fmt: skip
    began = time.process_time()
    with open_video(video) as source:
        decoder = source.info.decoder
    report = track_video(video, video.with_suffix(".json"), parts=parts, progress=progress, stop=frames / 25)
    assert report.frames == frames, report
    return judge("run", decoder, memory, frames / (time.process_time() - began))


def judge(what: str, decoder: str, memory: list[float], rate: float) -> bool:
    """Print a line; True where memory grew."""
    half = len(memory) // 2
    early, late = max(memory[:half]), max(memory[half:])
    growth = late / early - 1
    print(
        f"{what:12} {decoder[:12]:14} at most {early:5.0f} MiB in the first half, {late:5.0f} MiB in the "
        f"second ({growth:+.1%}), {rate:6.0f} frames a second of processor time",
        flush=True,
    )
    return growth > 0.05


def note(memory: list[float], frame: Frame) -> None:
    if frame.index % 100 == 0:
        memory.append(resident())


def resident() -> float:
    """Resident memory of this process now, MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def some_people() -> TrackedPoses:
    gc.collect()
    random = np.random.default_rng(0)
    # Apart from each other: people who swap identities fill `info.suspicions`, which is kept to the end.
    corner = np.stack([np.arange(7) * 45.0, random.uniform(10, 140, 7)], axis=1)
    keypoints = corner[:, None] + random.uniform(0, 1, (7, 17, 2)) * (40, 90)
    return TrackedPoses(
        boxes=np.concatenate([corner, corner + (40, 90)], axis=1),
        scores=np.full(7, 0.9),
        keypoints=keypoints,
        keypoint_scores=random.uniform(0.3, 1, (7, 17)),
        ids=np.arange(1, 8),
        smoothed_keypoints=keypoints,
    )


if __name__ == "__main__":
    main()
