"""Market data on disk: reading, checking, and saying clearly what is wrong with it."""
