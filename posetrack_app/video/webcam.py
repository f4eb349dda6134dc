"""Images of a camera of this computer, through OpenCV."""

from __future__ import annotations

import itertools
import time
from collections.abc import Generator

import cv2
import numpy as np

from posetrack_app.core.errors import InputError
from posetrack_app.video.live import LiveFacts
from posetrack_app.video.pyav_frames import TimedImage


def webcam_images(source: str, facts: LiveFacts) -> Generator[TimedImage, None, None]:
    """The images of "webcam:0" as they come; InputError if there is no such camera."""
    number = source.partition(":")[2]
    # Otherwise OpenCV prints lines of its own about a missing camera.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    camera = cv2.VideoCapture(int(number)) if number.isdecimal() else None
    if camera is None or not camera.isOpened():
        raise InputError(f"{source}: there is no such camera; the first one is webcam:0")
    facts.decoder = f"webcam (opencv {cv2.__version__})"
    rate = camera.get(cv2.CAP_PROP_FPS)
    facts.frame_rate = rate if 1 <= rate <= 1000 else facts.frame_rate
    try:
        for index in itertools.count():
            has_image, image = camera.read()
            now = time.monotonic()
            if not has_image:
                facts.losses.append(f"the camera returned no more images after frame {index - 1}")
                return
            if index == 0:
                began = now
            yield index, now - began, np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
    finally:
        camera.release()
