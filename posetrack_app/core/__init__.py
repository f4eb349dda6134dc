"""The bottom layer, which imports nothing else of this package: records, skeletons, settings, errors, files."""
