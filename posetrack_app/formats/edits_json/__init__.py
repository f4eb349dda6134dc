"""tracks.edits.json: the corrections of a person, kept beside the tracks and never in them."""
