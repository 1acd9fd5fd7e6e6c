"""The daemon: feed, decision thread, order manager, reconciliation, supervisor, state."""
