"""Affine crops of people, and heatmaps to keypoints."""
