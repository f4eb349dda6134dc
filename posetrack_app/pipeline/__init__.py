"""The stages of a frame, one file each; `track_people` puts them in order."""
