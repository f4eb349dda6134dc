"""Scores as tables, terminal output and an HTML page."""
