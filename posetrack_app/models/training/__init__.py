"""`posetrack train`: labels of several formats become plain records; builds the networks to train; log and curves."""
