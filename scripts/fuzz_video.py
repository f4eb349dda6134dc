"""Videos for scripts/fuzz.py."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_damage import Random, damaged_bytes
from fuzz_judge import (
    FaultError,
    count_frames,
    judge_folder,
    judge_output,
    posetrack,
    short_film,
    with_old,
    write_film_tracks,
)


class VideoCases:
    """Clips of several kinds, read frame by frame, and rendered."""

    def __init__(self, folder: Path) -> None:
        import av

        from posetrack_app.synthetic import write_film

        self.film = short_film(20)
        write_film(self.film, folder / "a.mp4")
        write_film(self.film, folder / "b.mp4", rotation=90, tone=False)
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
                    picture: Any = av.VideoFrame.from_ndarray(self.film.picture(number), "rgb24")
                    container.mux(stream.encode(picture))
                container.mux(stream.encode(None))
        self.files = [(folder / name, (folder / name).read_bytes()) for name in
                      ("a.mp4", "a.mp4", "b.mp4", "c.avi", "d.mkv", "e.webm", "f.ts")]  # fmt: skip
        self.tracks = folder / "tracks.json"
        write_film_tracks(self.tracks, self.film)

    def run(self, random: Random, folder: Path) -> None:
        source, data = self.files[int(random.integers(len(self.files)))]
        pictures_only = source.suffix == ".mp4" and random.uniform() < 0.5
        span = _payload(data) if pictures_only else None
        path = folder / f"in{source.suffix}"
        path.write_bytes(damaged_bytes(data, random, span))
        if random.uniform() < 0.3:
            target = with_old(folder / "out.mp4")
            code = posetrack("render", path, self.tracks, "--out", target, "--force")
            judge_output(code, target, count_frames)
        else:
            self._read(path, pictures_only)
        judge_folder(folder, {path.name, "out.mp4", "out.partial.mp4"})

    def _read(self, path: Path, times_are_whole: bool) -> None:
        from posetrack_app.errors import InputError
        from posetrack_app.synthetic import read_number
        from posetrack_app.video import open_video

        index, seconds, size = -1, -1.0, None
        shifted: list[tuple[int, Any]] = []
        try:
            with open_video(path) as video:
                for frame in video:
                    if frame.index <= index or frame.seconds <= seconds:
                        raise FaultError(f"frame {frame.index} at {frame.seconds} after {index} at {seconds}")
                    if size not in (None, frame.size):
                        raise FaultError(f"frame {frame.index} is {frame.size}, those before {size}")
                    index, seconds, size = frame.index, frame.seconds, frame.size
                    number = read_number(frame.image)
                    if times_are_whole and number != index and number < len(self.film.seconds):
                        shifted.append((number, frame))
            for number, frame in shifted:
                self._check_shift(path, number, frame, video.losses)
        except InputError as error:
            if "\n" in str(error):
                raise FaultError(f"an error of several lines: {error}") from error

    def _check_shift(self, path: Path, number: int, frame: Any, losses: list[str]) -> None:
        """Where FFmpeg hides damage with its neighbour's picture, the decoder itself gives that at this time."""
        import av

        off = np.abs(frame.image.astype(int) - self.film.picture(number)).mean()
        true = np.abs(frame.image.astype(int) - self.film.picture(frame.index)).mean()
        if off >= 4 or true <= 4 or losses:
            return  # no clean picture of another frame, or one that was told
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "NONE"
            with contextlib.suppress(av.FFmpegError):
                for other in container.decode(stream):
                    if (
                        other.pts is not None
                        and abs(float(other.pts * stream.time_base) - frame.seconds) < 1e-3
                    ):
                        theirs = other.to_ndarray(format="rgb24")
                        if theirs.shape != frame.image.shape:
                            theirs = np.rot90(theirs, -1)
                        if np.abs(frame.image.astype(int) - theirs).mean() < 6:
                            return
        raise FaultError(f"picture {number} came as frame {frame.index}, without a word")


def _payload(data: bytes) -> tuple[int, int]:
    """Where an MP4's pictures and sound are: the inside of its mdat box."""
    place = data.index(b"mdat")
    return place + 4, place - 4 + int.from_bytes(data[place - 4 : place], "big")
