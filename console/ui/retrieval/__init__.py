"""Views of the page "Retrieval test"."""
