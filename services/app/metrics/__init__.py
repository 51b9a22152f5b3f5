"""The metrics of each part, read when they are scraped."""
