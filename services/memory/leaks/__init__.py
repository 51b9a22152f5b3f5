"""Whether memory grows, and what is behind it."""
