"""Views of the page "Objects": types, containers, instances, retention paths, deep sizes, repetition test."""
