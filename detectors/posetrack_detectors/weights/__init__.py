"""Weight files: loading, writing, and the metadata stored with the weights."""
