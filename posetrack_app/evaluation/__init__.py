"""Scores as the reference tools compute them, and corrected: PoseTrack AP, MOTA, HOTA; COCO, MPII, MOTChallenge."""
