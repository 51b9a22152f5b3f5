"""Shared ground of all services: settings, errors, events, database, requests, caches."""
