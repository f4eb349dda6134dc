"""Training of the networks: labelled images in, weights and a log out. Inference imports nothing from here."""
