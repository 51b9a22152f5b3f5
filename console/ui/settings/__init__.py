"""Views of the page "Settings": chat models and the settings in force."""
