"""Files of the PoseTrack17, PoseTrack18 and PoseTrack21 data sets."""
