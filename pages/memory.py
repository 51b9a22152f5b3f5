"""Memory: where every megabyte is, and whether it grows."""
