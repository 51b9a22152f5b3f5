"""Which line allocates: tracemalloc, its snapshots and their comparison."""
