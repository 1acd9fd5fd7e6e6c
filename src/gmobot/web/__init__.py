"""Health, metrics, API and the first page, over HTTP."""
