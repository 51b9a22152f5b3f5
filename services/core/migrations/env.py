"""What Alembic runs around the scripts, on the connection that it is given.

At a start that is in a transaction (`upgrade.py`); for a developer (`make migration`) it leads to a new database.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from alembic import context
from alembic.runtime.migration import MigrationContext, MigrationInfo

from services.core.database import metadata
from services.core.migrations.comparison import default_differs, is_compared
from services.core.schema_version import HEAD, record_compatibility, record_writer


def _record(
    ctx: MigrationContext,  # noqa: ARG001 - Alembic calls this with names
    step: MigrationInfo,  # noqa: ARG001
    heads: Collection[Any],
    run_args: Mapping[str, Any],  # noqa: ARG001
) -> None:
    for revision in heads:
        record_writer(context.get_bind(), revision)
        if revision == HEAD:
            record_compatibility(context.get_bind())


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    include_name=is_compared,
    compare_server_default=default_differs,
    on_version_apply=_record,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
