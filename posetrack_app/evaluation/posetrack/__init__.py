"""PoseTrack scoring: AP, CLEAR MOT, HOTA."""
