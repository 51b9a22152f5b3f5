"""File formats: detection, and extraction of text as sections."""
