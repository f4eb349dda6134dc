"""tracks.json: writer, reader, schema and validation."""
