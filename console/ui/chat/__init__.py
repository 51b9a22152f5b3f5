"""Views of the page "Chat": conversations and streamed answers."""
