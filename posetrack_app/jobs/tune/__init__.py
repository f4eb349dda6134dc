"""`posetrack tune`: thresholds and tracker settings that score best on labelled data, from stored poses."""
