"""What an operator sees of a run: artifacts, audit log, metrics, logs."""
