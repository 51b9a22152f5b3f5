"""Caches with a byte budget, in two levels: this process's memory, then one that several processes share."""
