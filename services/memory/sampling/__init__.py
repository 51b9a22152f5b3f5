"""Looking at the process once a second."""
