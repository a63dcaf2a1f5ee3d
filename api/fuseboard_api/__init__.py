"""The read side over HTTP: API, metrics and dashboard."""
