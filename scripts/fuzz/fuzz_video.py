"""Videos for scripts/fuzz/fuzz.py."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import av
import numpy as np
from fuzz_damage import Random, damaged_bytes
from fuzz_judge import (
    FaultError,
    count_frames,
    judge_folder,
    judge_output,
    posetrack,
    with_old,
    write_true_tracks,
)

from posetrack_app.core.errors import InputError
from posetrack_app.core.records import Frame
from posetrack_app.jobs.synthetic_video import make_synthetic_video, read_number, write_synthetic_video
from posetrack_app.video import open_video


class VideoCases:
    """Clips of several kinds that are read frame by frame or rendered."""

    def __init__(self, folder: Path) -> None:
        self.source = make_synthetic_video().first(20)
        write_synthetic_video(self.source, folder / "a.mp4")
        write_synthetic_video(self.source, folder / "b.mp4", rotation=90, sound=False)
        for name, codec in (
            ("c.avi", "mpeg4"),
            ("d.mkv", "libx264"),
            ("e.webm", "libvpx-vp9"),
            ("f.ts", "libx264"),
        ):
            container: Any = av.open(str(folder / name), "w")
            with container:
                stream = container.add_stream(codec, rate=25)
                stream.width, stream.height, stream.pix_fmt = 360, 240, "yuv420p"
                for number in range(20):
                    frame: Any = av.VideoFrame.from_ndarray(self.source.image(number), "rgb24")
                    container.mux(stream.encode(frame))
                container.mux(stream.encode(None))
        self.files = [(folder / name, (folder / name).read_bytes()) for name in
                      ("a.mp4", "a.mp4", "b.mp4", "c.avi", "d.mkv", "e.webm", "f.ts")]  # fmt: skip
        self.tracks = folder / "tracks.json"
        write_true_tracks(self.tracks, self.source)

    def run(self, random: Random, folder: Path) -> None:
        source, data = self.files[int(random.integers(len(self.files)))]
        only_content = source.suffix == ".mp4" and random.uniform() < 0.5
        span = _payload(data) if only_content else None
        path = folder / f"in{source.suffix}"
        path.write_bytes(damaged_bytes(data, random, span))
        if random.uniform() < 0.3:
            target = with_old(folder / "out.mp4")
            code = posetrack("render", path, self.tracks, "--out", target, "--force")
            judge_output(code, target, count_frames)
        else:
            self._read(path, only_content)
        judge_folder(folder, {path.name, "out.mp4", "out.partial.mp4"})

    def _read(self, path: Path, times_are_intact: bool) -> None:
        index, seconds, size = -1, -1.0, None
        shifted: list[tuple[int, Frame]] = []
        try:
            with open_video(path) as video:
                for frame in video:
                    if frame.info.index <= index or frame.info.seconds <= seconds:
                        raise FaultError(
                            f"frame {frame.info.index} at {frame.info.seconds} after {index} at {seconds}"
                        )
                    if (size not in (None, frame.info.size)) != frame.info.is_cut:
                        raise FaultError(
                            f"frame {frame.info.index} is {frame.info.size}, those before {size}, cut: {frame.info.is_cut}"
                        )
                    index, seconds, size = frame.info.index, frame.info.seconds, frame.info.size
                    number = read_number(frame.image)
                    if times_are_intact and number != index and number < len(self.source.seconds):
                        shifted.append((number, frame))
            for number, frame in shifted:
                self._check_shift(path, number, frame, video.losses)
        except InputError as error:
            if "\n" in str(error):
                raise FaultError(f"an error of several lines: {error}") from error

    def _check_shift(self, path: Path, number: int, frame: Frame, losses: list[str]) -> None:
        """A fault unless FFmpeg itself gives this image at this time, because it hides damage with a neighbouring image."""
        difference = np.abs(frame.image.astype(int) - self.source.image(number)).mean()
        own_difference = np.abs(frame.image.astype(int) - self.source.image(frame.info.index)).mean()
        if difference >= 4 or own_difference <= 4 or losses:
            return  # not an intact image of another frame, or a reported loss
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "NONE"
            with contextlib.suppress(av.FFmpegError):
                for other in container.decode(stream):
                    if other.time is not None and abs(other.time - frame.info.seconds) < 1e-3:
                        image = other.to_ndarray(format="rgb24")
                        if image.shape != frame.image.shape:
                            image = np.rot90(image, -1)
                        if np.abs(frame.image.astype(int) - image).mean() < 6:
                            return
        raise FaultError(f"image {number} was read as frame {frame.info.index}, without a report")


def _payload(data: bytes) -> tuple[int, int]:
    """Where the images and the sound of an MP4 are: the content of its mdat box."""
    start = data.index(b"mdat")
    return start + 4, start - 4 + int.from_bytes(data[start - 4 : start], "big")
