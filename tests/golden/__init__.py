"""Numbers recorded from the reference code, and their comparison with this package."""
