"""Views of the page "Allocations": traced allocations, snapshots and their comparison."""
