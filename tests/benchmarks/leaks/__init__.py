"""How well leaks are told from harmless growth."""
