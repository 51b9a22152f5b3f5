"""Real Millpond nodes for a front, each over a data folder of its own, always at the same port."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from services.knowledge.bundled_models import MINILM
from tests.front.fronts import free_ports
from tests.servers import ROOT, Server, spawn


@dataclass(frozen=True)
class Start:
    """How one node is started, beside what is the same for all: settings, arguments, variables of the environment."""

    settings: Mapping[str, object] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)


class Nodes:
    """Nodes by name. What happens to one is over when `up` has been called; `shared`: settings of each of them.

    `starts`: what the next start of a node has of its own, by name; `own`: what each start has.
    """

    def __init__(
        self,
        folder: Path,
        names: str,
        shared: Mapping[str, object],
        own: Mapping[str, Mapping[str, object]] | None = None,
    ) -> None:
        self.starts: dict[str, Start] = {}
        self._own = own or {}
        self._folder = folder
        self._shared = shared
        self._ports = dict(zip(names, free_ports(len(names)), strict=True))
        self._running: dict[str, Server] = {}
        self.trees: dict[str, Path] = {}  # where the source of a node is, if not here, when it is started next

    def __getitem__(self, name: str) -> Server:
        return self._running[name]

    @property
    def addresses(self) -> dict[str, str]:
        """Where they listen."""
        return {name: f"127.0.0.1:{port}" for name, port in self._ports.items()}

    def place(self, name: str) -> dict[str, object]:
        """Return the settings by which a node is found."""
        return {"data_dir": self._folder / name, "port": self._ports[name]}

    def up(self) -> None:
        """Start those that do not run, let those go on that were held, and wait until all are ready."""
        for name, port in self._ports.items():
            if self.let_go(name):
                continue
            if name in self._running:
                self._running[name].client.close()
            start = self.starts.get(name, Start())
            settings = {
                "embedding_model": MINILM,
                "node_name": name,
                "trusted_proxies": "127.0.0.1",
                "restarted_by": "service",
                **self._shared,
                **self._own.get(name, {}),
                **start.settings,
            }
            self._running[name] = spawn(
                self._folder / name,
                tree=self.trees.get(name, ROOT),
                arguments=("--port", str(port), *start.arguments),
                variables=start.variables,
                **settings,
            )
        for server in self._running.values():
            server.wait_ready()

    def running(self, name: str) -> bool:
        """Return whether a node's process has not ended."""
        return self._running[name].process.poll() is None

    def kill(self, name: str) -> None:
        """End a node as if its machine had died; returns when it is gone."""
        self._running[name].process.kill()
        self._running[name].process.wait()

    def hold(self, name: str) -> None:
        """Have a node hang: its connections stay, and nothing answers."""
        os.kill(self._running[name].process.pid, signal.SIGSTOP)

    def let_go(self, name: str) -> bool:
        """Let a node go on that was held; return whether it runs."""
        server = self._running.get(name)
        if server is None or server.process.poll() is not None:
            return False
        os.kill(server.process.pid, signal.SIGCONT)
        return True

    def down(self) -> None:
        """End all of them."""
        for name, server in self._running.items():
            self.let_go(name)
            server.stop()


@contextmanager
def running_nodes(
    folder: Path,
    names: str = "ab",
    shared: Mapping[str, object] | None = None,
    own: Mapping[str, Mapping[str, object]] | None = None,
    trees: Mapping[str, Path] | None = None,
) -> Iterator[Nodes]:
    """Nodes that are ready; they end with the block. With settings that are `shared` they can serve one pond; `own`
    are those of one node, by name.
    """
    nodes = Nodes(folder, names, shared or {}, own)
    nodes.trees.update(trees or {})
    try:
        nodes.up()
        yield nodes
    finally:
        nodes.down()
