"""What Millpond does, without any shell: usable from a test, the command line or a notebook."""
