"""Networks ready to call: built from the settings, with weights, batching and parallelism."""
