"""What changes from one frame to the next: the size of the images, which starts a new shot, and the steps of time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from posetrack_app.core.records import Frame, FrameInfo
from posetrack_app.core.words import counted
from posetrack_app.video.frame_times import MIN_STEP

_FEW_STEPS = 0.05
"""A larger share of steps of a millisecond or less is implausible."""

_LONG_SECONDS, _LONG_TIMES = 60.0, 50.0
"""A step is implausible if it is longer than this, and as many times as long as the average of the others."""

Size = tuple[int, int]


class Continuity:
    """Makes the `Frame` records of one reader, marks the first frame of another size as a cut, and watches the steps."""

    def __init__(self) -> None:
        self._last: FrameInfo | None = None
        self._changes: list[tuple[int, Size, Size]] = []
        """(first frame, size before, size from there on); only the first is told in full."""
        self._steps = self._short_steps = 0
        self._elapsed = self._longest = 0.0
        self._before_longest = 0

    def frame(self, index: int, seconds: float, image: NDArray[np.uint8], file_name: str = "") -> Frame:
        """The next frame."""
        size = (image.shape[1], image.shape[0])
        is_cut = False
        if self._last is not None:
            is_cut = size != self._last.size
            if is_cut:
                self._changes.append((index, self._last.size, size))
            self._add_step(self._last, index, seconds)
        self._last = FrameInfo(index, seconds, size, file_name, is_cut=is_cut)
        return Frame(self._last, image)

    def _add_step(self, last: FrameInfo, index: int, seconds: float) -> None:
        step = (seconds - last.seconds) / (index - last.index)
        self._steps += 1
        self._short_steps += step <= MIN_STEP * 1.001
        self._elapsed += step
        if step > self._longest:
            self._longest, self._before_longest = step, last.index

    @property
    def losses(self) -> list[str]:
        """Lines about changes of size and implausible times."""
        return [*self._size_changes(), *self._implausible_steps()]

    def _size_changes(self) -> list[str]:
        if not self._changes:
            return []
        index, before, after = self._changes[0]
        more = f", and {counted(len(self._changes) - 1, 'more time')} later" if len(self._changes) > 1 else ""
        return [
            f"the size of the images changes at frame {index} from {_times(before)} to {_times(after)} pixels{more}: "
            "coordinates are pixels of each frame's own image, and each change is a cut"
        ]

    def _implausible_steps(self) -> list[str]:
        lines = []
        if self._short_steps > _FEW_STEPS * self._steps:
            lines.append(
                f"{counted(self._short_steps, 'frame')} of {self._steps + 1} follow the one before by a millisecond or "
                "less: the times of this video are not reliable"
            )
        others = (self._elapsed - self._longest) / max(1, self._steps - 1)
        if self._longest > max(_LONG_SECONDS, _LONG_TIMES * others) and self._steps > 1:
            lines.append(
                f"after frame {self._before_longest} the times jump by {self._longest:.0f} s; they may be wrong"
            )
        return lines


def _times(size: Size) -> str:
    return f"{size[0]}x{size[1]}"
