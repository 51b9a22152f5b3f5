"""Allocations: which lines allocate, traced for a while."""
