"""Views of the threshold experiment on the page "Garbage collection"."""
