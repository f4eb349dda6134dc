"""Resident memory while a long generated video is processed; it must not grow with the length.

python scripts/benchmarks/video_memory.py [FRAMES [STAGE ...]]

Prints MiB and frames per second of CPU time for reading (decord and PyAV), writing tracks.json, writing overlays, and
complete runs with fake networks. Exits with 1 if the peak in the second half is over 5 % above that in the first half.
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

from posetrack_app.core.protocols import Networks
from posetrack_app.core.records import Detections, Frame, FrameInfo, TrackedPoses
from posetrack_app.core.skeletons import POSETRACK
from posetrack_app.drawing.overlay import OverlayWriter
from posetrack_app.formats import TracksWriter
from posetrack_app.jobs.track import track_video
from posetrack_app.video import open_video

SIZE = (320, 240)


def main() -> None:
    frames = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    print(f"{frames} frames of {SIZE[0]}x{SIZE[1]}, 7 people in each")
    grown = False
    with tempfile.TemporaryDirectory() as folder:
        for ending in ("mp4", "mkv"):  # decord reads the first, PyAV the second, which has only one key frame
            video = Path(folder) / f"clip.{ending}"
            write_video(video, frames)
            for stage in sys.argv[2:] or ("reading", "slow reading", "tracks.json", "overlay", "run"):
                # In a separate process: memory that one stage has freed could hide the growth of the next one.
                with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                    grown |= pool.submit(measure, video, stage, frames).result()
    sys.exit(grown)


def write_video(path: Path, frames: int) -> None:
    container: Any = av.open(str(path), "w")
    random = np.random.default_rng(0)
    small = [random.integers(0, 256, (SIZE[1] // 20, SIZE[0] // 20, 3), np.uint8) for _ in range(50)]
    images = [image.repeat(20, axis=0).repeat(20, axis=1) for image in small]
    with container:
        codec, options = (
            ("mpeg4", {}) if path.suffix == ".mp4" else ("libx264", {"preset": "ultrafast", "g": "999999"})
        )
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(images[index // 25 % 50], "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def measure(video: Path, stage: str, frames: int) -> bool:
    """Run one stage on the video and print its memory and speed. True if memory grew."""
    poses = some_people()
    if stage == "run":
        return measure_run(video, poses, frames)
    with open_video(video, stop=frames / 25) as source:
        began = time.process_time()
        memory: list[float] = []
        if "reading" in stage:
            for frame in source:
                time.sleep(0.003 if "slow" in stage else 0)
                note(memory, frame)
        elif stage == "tracks.json":
            with TracksWriter(video.with_suffix(".json"), skeleton=POSETRACK, info={}) as writer:
                for frame in source:
                    writer.write(FrameInfo(frame.info.index, frame.info.seconds), poses)
                    note(memory, frame)
        else:
            with OverlayWriter(video.with_name("overlay.mp4"), source.info) as overlay:
                for frame in source:
                    overlay.write(frame, poses)
                    note(memory, frame)
        spent = time.process_time() - began
        return judge(stage, source.info.decoder, memory, frames / spent)


def measure_run(video: Path, poses: TrackedPoses, frames: int) -> bool:
    """`posetrack run` with networks that always find the same seven people."""
    memory: list[float] = []

    def progress(done: int, expected: int | None, people: int) -> None:
        if done % 100 == 0:
            memory.append(resident())
        if done % 10_000 == 0:
            print(f"run: {done} frames, {memory[-1]:.0f} MiB", flush=True)

    networks = Networks(
        detector=lambda images: [(poses.boxes, poses.scores) for _ in images],
        estimator=lambda images, boxes: (
            np.tile(poses.keypoints, (len(boxes) // 7 + 1, 1, 1))[: len(boxes)],
            np.tile(poses.keypoint_scores, (len(boxes) // 7 + 1, 1))[: len(boxes)],
            np.zeros((len(boxes), 0)),
        ),
        skeleton=POSETRACK, device="cpu", precision="float32", weights={},
    )  # fmt: skip
    began = time.process_time()
    with open_video(video) as source:
        decoder = source.info.decoder
    report = track_video(
        video, video.with_suffix(".json"), networks=networks, progress=progress, stop=frames / 25, force=True
    )
    assert report.frames == frames, report
    return judge("run", decoder, memory, frames / (time.process_time() - began))


def judge(stage: str, decoder: str, memory: list[float], rate: float) -> bool:
    """Print the memory and the speed. True if memory grew by more than 5 %."""
    half = len(memory) // 2
    early, late = max(memory[:half]), max(memory[half:])
    growth = late / early - 1
    print(
        f"{stage:12} {decoder[:12]:14} at most {early:5.0f} MiB in the first half, {late:5.0f} MiB in the "
        f"second ({growth:+.1%}), {rate:6.0f} frames a second of CPU time",
        flush=True,
    )
    return growth > 0.05


def note(memory: list[float], frame: Frame) -> None:
    if frame.info.index % 100 == 0:
        memory.append(resident())


def resident() -> float:
    """Resident memory of this process now, MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def some_people() -> TrackedPoses:
    """Seven people."""
    gc.collect()
    random = np.random.default_rng(0)
    # Far apart: people who swap identities would fill `info.possible_id_switches`, which is kept until the end.
    corner = np.stack([np.arange(7) * 45.0, random.uniform(10, 140, 7)], axis=1)
    keypoints = corner[:, None] + random.uniform(0, 1, (7, 17, 2)) * (40, 90)
    found = Detections.detected(np.concatenate([corner, corner + (40, 90)], axis=1), np.full(7, 0.9))
    return found.with_keypoints(keypoints, random.uniform(0.3, 1, (7, 17))).with_ids(np.arange(1, 8))


if __name__ == "__main__":
    main()
