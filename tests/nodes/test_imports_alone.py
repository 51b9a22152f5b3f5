"""A process that serves its pond alone does without what asks other nodes."""

from __future__ import annotations

import subprocess
import sys

from tests.servers import ROOT

CODE = """
import sys
import console.asgi
import console.ui.memory.node_choice
import console.ui.nodes.nodes_view
import services.app.phases
rare = ("services.nodes.node_client", "services.nodes.pond_nodes", "services.app.node_memory",
        "console.ui.memory.other_node", "sqlalchemy.dialects.postgresql")
print("RARE", [name for name in rare if name in sys.modules])
"""


def test_what_asks_other_nodes_is_imported_where_there_are_some() -> None:
    """Every process would hold in memory what few of them need."""
    done = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "RARE []" in done.stdout, done.stdout
