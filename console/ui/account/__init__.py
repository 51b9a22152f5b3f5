"""Views of the page "My account": name, password, second factor, sessions, API tokens, one's own conversations."""
