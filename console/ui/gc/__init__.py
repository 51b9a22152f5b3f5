"""Views of the page "Garbage collection": thresholds, pauses and effects of collections."""
