"""Scoring as the official tools do it, and corrected: PoseTrack AP, MOTA, HOTA, COCO OKS, MPII PCKh, box MOT."""
