"""Whether the nodes that work could go on after a migration, asked in its transaction, before it changes anything."""

from __future__ import annotations

import sqlalchemy as sa
import structlog
from sqlalchemy.engine import Connection

from services.core.errors import ConflictError
from services.core.i18n import _
from services.core.schema_version import OLDEST_AT_WORK, REVISIONS
from services.nodes.store.node_store import SILENT
from services.nodes.store.node_tables import nodes
from services.nodes.types import ENDED, SILENT_SECONDS

log = structlog.get_logger(__name__)

_BEFORE_IT_WAS_TOLD = "0009_nodes"


def require_nodes_go_on(connection: Connection) -> None:
    """Return if every node that works can go on once the database has the newest schema.

    A silent one that could not is shut out: when it wakes it cannot write, and has to join again.

    Raises:
        ConflictError: a node that works could not go on.
    """
    inspector = sa.inspect(connection)
    if not inspector.has_table(nodes.name):
        return
    told = any(column["name"] == nodes.c.schema_revision.name for column in inspector.get_columns(nodes.name))
    known = nodes.c.schema_revision if told else sa.null()
    query = sa.select(nodes.c.id, nodes.c.name, SILENT.label("silent"), known.label("known"))
    rows = connection.execute(query.where(nodes.c.state.not_in(ENDED))).all()
    too_old = [row for row in rows if _is_too_old(row.known or _BEFORE_IT_WAS_TOLD)]
    at_work = sorted(row.name for row in too_old if row.silent <= SILENT_SECONDS)
    if at_work:
        raise ConflictError(
            _(
                "The database has to be changed so that nodes of an older version, which are running, could not go on "
                "({names}); nothing was changed."
            ).format(names=", ".join(at_work)),
            _("Stop them first, or bring them to the version in between (docs/upgrades.md), then start this one."),
        )
    for row in too_old:
        log.warning("a silent node of an older version is shut out", node=row.name)
        connection.execute(nodes.update().where(nodes.c.id == row.id).values(epoch=nodes.c.epoch + 1))


def _is_too_old(revision: str) -> bool:
    return revision in REVISIONS and REVISIONS.index(revision) < REVISIONS.index(OLDEST_AT_WORK)
