"""Every module that declares tables of the main database: only with all of them is its schema whole."""

from __future__ import annotations


def import_tables() -> None:
    """Import the modules; before the database is created, migrated, or compared with what they declare."""
    import services.audit.store
    import services.chat.store
    import services.core.database.change_log
    import services.core.preferences
    import services.identity.store.identity_tables
    import services.knowledge.store.tables
    import services.nodes.store.node_tables
    import services.operations.event_log  # noqa: F401
