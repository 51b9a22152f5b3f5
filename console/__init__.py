"""The shell: how people and programs reach the services."""
