"""Files that are pictures."""
