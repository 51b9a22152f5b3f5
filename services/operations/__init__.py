"""Health, logs and the other things an operator needs."""
