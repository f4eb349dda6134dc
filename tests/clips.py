"""Small clips made with PyAV, in which every frame shows its own number."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from posetrack_app.jobs.synthetic_video import write_tone as write_tone
from posetrack_app.video import VideoInfo, open_video

MILLISECONDS = Fraction(1, 1000)
BITS = 8


def numbered_image(number: int, width: int = 160, height: int = 112) -> NDArray[np.uint8]:
    """The top left quarter is red; the lower half shows `number` in binary as white bars, lowest bit on the left."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2] = (255, 0, 0)
    for bit in range(BITS):
        if number >> bit & 1:
            image[height // 2 :, bit * width // BITS : (bit + 1) * width // BITS] = 255
    return image


def read_number(image: NDArray[np.uint8]) -> int:
    """The number that `numbered_image` drew; the image must be upright."""
    height, width = image.shape[:2]
    centres = [(2 * bit + 1) * width // (2 * BITS) for bit in range(BITS)]
    return sum(1 << bit for bit, x in enumerate(centres) if image[height * 3 // 4, x].mean() > 127)


def write_clip(
    path: Path,
    *,
    times: list[int] | int = 20,
    codec: str = "libx264",
    size: tuple[int, int] = (160, 112),
    pixel_format: str = "yuv420p",
    options: dict[str, str] | None = None,
    rotation: int | None = None,
    mirrored: bool = False,
    tone: bool | float = False,
    interlaced: bool = False,
    time_base: Fraction = MILLISECONDS,
) -> list[float]:
    """Write a clip and return the times of its frames in seconds, from 0.

    Args:
        path: its suffix chooses the container.
        times: times of the frames in units of `time_base`, or a number of frames at 25 per second.
        codec: FFmpeg's name of the encoder.
        size: (width, height) as stored.
        pixel_format: FFmpeg's name.
        options: of the encoder.
        rotation: degrees counter-clockwise for display.
        mirrored: also mirror left and right for display.
        tone: add audio of the length of the video, or of this many seconds.
        interlaced: draw a bar at the top right that moves between even and odd lines.
        time_base: seconds.
    """
    if isinstance(times, int):
        times = [round(i / 25 / time_base) for i in range(times)]
    container: Any = av.open(str(path), "w")
    with container:
        video = container.add_stream(codec, rate=25, options=options or {})
        video.width, video.height = size
        video.pix_fmt = pixel_format
        video.time_base = video.codec_context.time_base = time_base
        if rotation is not None or mirrored:
            video.set_display_rotation(rotation or 0, hflip=mirrored)
        audio = container.add_stream("aac", rate=44100, layout="mono") if tone else None
        for number, time in enumerate(times):
            image = numbered_image(number, *size)
            for parity in (0, 1) if interlaced else ():
                x = size[0] // 2 + (2 * number + parity) * 6 % (size[0] // 2 - 20)
                image[parity : size[1] // 2 : 2, x : x + 20] = 255
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame.pts, frame.time_base = time, time_base
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if audio is not None:
            write_tone(container, audio, float(times[-1] * time_base) if tone is True else tone)
    return [float((time - times[0]) * time_base) for time in times]


def read(path: Path, **span: Any) -> tuple[VideoInfo, list[tuple[int, float, int]], list[str]]:
    """(info, [(index, seconds, number in the image)], losses) of a clip."""
    with open_video(path, **span) as video:
        frames = [(frame.info.index, frame.info.seconds, read_number(frame.image)) for frame in video]
        return video.info, frames, video.losses
