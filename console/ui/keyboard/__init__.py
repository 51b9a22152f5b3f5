"""The keyboard: shortcuts, their list, and the command palette."""
