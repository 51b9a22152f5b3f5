"""Views of the page "Objects": types, instances, retention paths and repetition."""
