"""Views of the page "Budget": limit and watermarks, actions, admission, decisions, control."""
