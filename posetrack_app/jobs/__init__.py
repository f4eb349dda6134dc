"""What each command does, as functions that the CLI and the Python API share."""
