"""How well leaks are distinguished from harmless growth."""
