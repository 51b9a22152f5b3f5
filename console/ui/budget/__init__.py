"""Views of the page "Budget": limit, watermarks, actions and decisions."""
