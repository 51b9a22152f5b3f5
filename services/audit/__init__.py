"""The audit log: who did what, chained and signed, so that a change of it shows."""
