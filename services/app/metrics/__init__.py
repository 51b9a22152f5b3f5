"""Metrics of the parts of the service, read when they are scraped."""
