"""The compiled bar simulator, its metrics and its report."""
