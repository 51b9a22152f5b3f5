"""Views of the page "Overview": parts, requests and caches."""
