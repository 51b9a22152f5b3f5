"""Composition: builds the services of the process and connects them; only here does one folder learn of another."""
