"""People drawn on frames: overlay videos and contact sheets."""
