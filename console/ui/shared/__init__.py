"""Views and helpers that several pages share."""
