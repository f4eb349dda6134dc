"""The second pass over whole tracks: drop false positives, repair swapped limbs, fill, join, smooth."""
