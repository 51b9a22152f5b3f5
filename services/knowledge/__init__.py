"""Documents: taking them in, indexing and finding passages."""
