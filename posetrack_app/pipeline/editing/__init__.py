"""Corrections by hand: operations on finished tracks, and their replay on tracks of a new run."""
