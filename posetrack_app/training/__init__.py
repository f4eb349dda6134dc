"""`posetrack train`: labels of several formats to plain records, the networks to train, the log and its plot."""
