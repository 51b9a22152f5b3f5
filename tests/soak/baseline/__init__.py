"""The naive baseline: the same service, written as the articles describe the bad practice. For comparison alone."""
