"""Which frames, people and keypoints count: the rules of poseval, of PoseTrack21, and ours without their faults."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from posetrack_app.core.records import BoolArray
from posetrack_app.formats.posetrack.sequence import PoseSequence


@dataclass(frozen=True)
class Protocol:
    """The differences between the evaluation tools; everything else is the same."""

    name: str
    needs_labelled: bool = False
    """Keep the frames marked `is_labeled`, otherwise those with people in the ground truth."""
    keeps_labelled: bool = False
    """Also keep labelled frames without people."""
    drops_last_frame: bool = False
    """Tracking ignores the last kept frame of each video (poseval)."""
    one_error_per_empty_frame: bool = False
    """A frame without true or without predicted people counts one miss and one false positive per joint (poseval)."""
    positive_coordinates: bool = False
    """A keypoint is present if x > 0 and y > 0, whatever its visibility (PoseTrack21)."""
    largest_track_id: int | None = None
    ap_without_truth: float | None = None
    """AP and recall of a joint without annotations; None: NaN if it was predicted, else 0 (poseval)."""
    averages_annotated_joints: bool = False
    """MOTP and HOTA of a joint without annotations are NaN and not in the mean; otherwise 0 and in the mean."""
    scores_identity: bool = False
    """IDF1 of keypoints; the other tools do not have it."""
    pairs_by_image_id: bool = False
    """Pair frames by image id if both files have the same ids; otherwise by position, as the other tools do."""
    pads_empty_frames: bool = False
    """HOTA: a frame without predicted people misses every keypoint of the whole video (PoseTrack21)."""
    cuts_integer_frames: bool = False
    """AP: in a frame whose predicted coordinates are all JSON integers, scores lose their decimals (PoseTrack21)."""

    def kept_frames(self, truth: PoseSequence) -> BoolArray:
        """(F,) bool: the frames that are scored."""
        if self.needs_labelled:
            return truth.labelled
        if self.keeps_labelled:
            return truth.labelled | truth.has_people()
        return truth.has_people()

    def present(self, sequence: PoseSequence) -> BoolArray:
        """(N, 15) bool: the keypoints that exist."""
        if self.positive_coordinates:
            present: BoolArray = np.all(sequence.keypoints > 0, axis=2)
            return present
        return sequence.present


POSEVAL = Protocol("poseval", drops_last_frame=True, one_error_per_empty_frame=True, largest_track_id=9999)
CORRECTED = Protocol(
    "corrected",
    keeps_labelled=True,
    scores_identity=True,
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
    cuts_integer_frames=True,
)
PROTOCOLS = {protocol.name: protocol for protocol in (POSEVAL, CORRECTED, POSETRACK21)}
