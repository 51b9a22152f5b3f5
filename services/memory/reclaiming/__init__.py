"""What can be given back on request: each with what it would free, then what it freed."""
