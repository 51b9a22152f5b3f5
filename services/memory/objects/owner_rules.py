"""Who owns an object, judged by the modules of the types on the path from a root to it.

Each folder registers its modules; nothing is named here that belongs to another one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import ModuleType

from services import memory
from services.core.memory_report import Owner


class OwnerRules:
    """Owners by module or package. The most specific rule decides; thread-safe."""

    def __init__(self) -> None:
        self._modules: dict[str, Owner] = {}
        self._libraries: dict[str, Owner] = {}
        self.register(memory, Owner.OWN_CACHES)
        self.register_library("tracemalloc", Owner.TRACING)

    def register(self, module: ModuleType, owner: Owner) -> None:
        """Give `owner` what the types, functions and variables of `module` hold, or those of a package's modules."""
        self._modules = {**self._modules, module.__name__: owner}

    def register_library(self, name: str, owner: Owner) -> None:
        """Give `owner` the objects that a library makes, but not its modules, classes and functions.

        By name: a library may not be installed, and is not imported for this.
        """
        self._libraries = {**self._libraries, name: owner}

    def modules(self) -> Mapping[str, Owner]:
        """Return the owners by full name of a module."""
        return self._modules

    def libraries(self) -> Mapping[str, Owner]:
        """Return the owners by name of a library."""
        return self._libraries

    def owner_of(self, path: Iterable[tuple[str, bool]]) -> Owner:
        """Return the owner of an object.

        Args:
            path: from the object to its root, full names of types (of instances, True) or of modules, classes and
                functions themselves (False). The first that a rule fits decides: what a session holds is the session's
                although Streamlit's runtime holds the session.
        """
        for name, is_instance in path:
            owner = self._find(name, is_instance)
            if owner is not None:
                return owner
        return Owner.PYTHON

    def _find(self, name: str, is_instance: bool) -> Owner | None:
        prefix = name
        while prefix:
            owner = self._modules.get(prefix) or (self._libraries.get(prefix) if is_instance else None)
            if owner is not None:
                return owner
            prefix = prefix.rpartition(".")[0]
        return None
