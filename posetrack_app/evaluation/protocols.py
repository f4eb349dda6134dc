"""Which frames, people and keypoints count: poseval's rules, PoseTrack21's, and ours without their bugs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from posetrack_app.formats.pose_sequence import BoolArray, PoseSequence


@dataclass(frozen=True)
class Protocol:
    """The differences between the evaluation tools; everything else is the same for all."""

    name: str
    needs_labelled: bool = False
    """Keep the frames marked `is_labeled`; else those with people in the ground truth."""
    keeps_labelled: bool = False
    """Also keep labelled frames without people."""
    drops_last_frame: bool = False
    """Tracking ignores the last kept frame of each video (poseval)."""
    one_error_per_empty_frame: bool = False
    """A frame without people on one side counts one miss and one false positive a joint (poseval)."""
    positive_coordinates: bool = False
    """A keypoint is present where x > 0 and y > 0 (PoseTrack21), whatever its visibility says."""
    largest_track_id: int | None = None
    ap_without_truth: float | None = None
    """AP and recall of a joint nobody annotated; None: NaN if it was predicted, else 0 (poseval)."""
    averages_annotated_joints: bool = False
    """MOTP and HOTA of a joint nobody annotated are NaN and in no mean; else 0 and in the mean, as in the tools."""
    pairs_by_image_id: bool = False
    """Pair frames by image id where both files list the same ids; else by place, like the official tools."""
    pads_empty_frames: bool = False
    """HOTA: a frame without predicted people misses every keypoint of the whole video (PoseTrack21)."""

    def kept_frames(self, truth: PoseSequence) -> BoolArray:
        """(F,) the frames that are scored."""
        if self.needs_labelled:
            return truth.labelled
        if self.keeps_labelled:
            return truth.labelled | truth.has_people()
        return truth.has_people()

    def present(self, sequence: PoseSequence) -> BoolArray:
        """(N, 15) the keypoints that exist."""
        if self.positive_coordinates:
            present: BoolArray = np.all(sequence.keypoints > 0, axis=2)
            return present
        return sequence.present


POSEVAL = Protocol("poseval", drops_last_frame=True, one_error_per_empty_frame=True, largest_track_id=9999)
CORRECTED = Protocol(
    "corrected",
    keeps_labelled=True,
    pairs_by_image_id=True,
    ap_without_truth=math.nan,
    averages_annotated_joints=True,
)
POSETRACK21 = Protocol(
    "posetrack21",
    needs_labelled=True,
    positive_coordinates=True,
    ap_without_truth=0.0,
    pads_empty_frames=True,
)
PROTOCOLS = {protocol.name: protocol for protocol in (POSEVAL, CORRECTED, POSETRACK21)}
