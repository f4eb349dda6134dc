"""Training of the networks: pictures and labels in, weights and a log out. Inference imports nothing from here."""
