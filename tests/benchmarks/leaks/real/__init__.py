"""Real leaks and harmless look-alikes, each in a child process with the real service and a fast clock."""
