"""Trackers link frames: poses in, identities out. NumPy, SciPy and filterpy only."""
