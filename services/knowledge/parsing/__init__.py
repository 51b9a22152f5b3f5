"""Parsing of uploaded files in child processes with resource limits.

The fork server imports this package without the service's side (`pool`): nothing is imported here.
"""
