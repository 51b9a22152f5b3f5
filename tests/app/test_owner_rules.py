"""Who owns an object follows from what each folder registers: a module that is renamed takes its rule along."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from types import ModuleType

import pytest

from console.ui import live_answers
from console.ui.streamlit import owners
from services.app import build_chat, build_documents, build_memory
from services.app.shell_hooks import ShellHooks
from services.core.events import NullEventSink
from services.core.memory_report import Owner
from services.core.settings import Settings
from services.memory.clock import Clock
from services.memory.leaks.suspects import MONITORING_PARTS
from services.memory.monitor import MemoryMonitor
from services.memory.objects.names import OwnerRules
from services.memory.tracing import source

OPTIONAL = {"xllamacpp"}  # installed with a local chat model only


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> OwnerRules:
    """The rules of a console that is ready."""
    hooks = ShellHooks()
    rules = MemoryMonitor(tmp_path_factory.mktemp("rules"), Clock(), NullEventSink()).objects.owner_rules
    owners.register_owners(hooks)
    build_memory.register_owners(rules)
    hooks.connect_owner_rules(rules)
    hooks.add_owner_rule(live_answers, Owner.CONVERSATIONS)  # also what the shell registers later
    build_documents.register_owners(rules, Settings())
    build_chat.register_owners(rules)
    return rules


@pytest.mark.parametrize(
    ("path", "owner"),
    [
        ([("dict", True), ("services.chat.history_window.HistoryWindows", True)], Owner.CONVERSATIONS),
        ([("streamlit.runtime.state.session_state.SessionState", True)], Owner.SESSIONS),
        ([("faiss.swigfaiss.IndexFlat", True), ("services.knowledge.index.manager", False)], Owner.INDEX),
        ([("torch", False)], Owner.PYTHON),
        ([("torch.nn.Linear", True)], Owner.MODELS),
        ([("some.module", False)], Owner.PYTHON),
    ],
)
def test_the_path_tells_the_owner(rules: OwnerRules, path: list[tuple[str, bool]], owner: Owner) -> None:
    """Objects under the wrong owner send a person to the wrong part of the program."""
    assert rules.owner_of(path) is owner


@pytest.mark.parametrize(
    ("module", "owner"),
    [
        ("services.chat.models.registry", Owner.MODELS),
        ("services.chat.conversations", Owner.CONVERSATIONS),
        ("services.knowledge.index.manager", Owner.INDEX),
        ("services.knowledge.embedding.embedder", Owner.MODELS),
        ("services.memory.tracing.tracer", Owner.WATCHING),
        ("services.memory.monitor", Owner.WATCHING),
        ("services.core.database", Owner.DATABASE),
        ("console.ui.streamlit.uploads", Owner.UPLOADS),
        ("console.ui.live_answers", Owner.CONVERSATIONS),
        ("streamlit.runtime.memory_uploaded_file_manager", Owner.UPLOADS),
        ("streamlit.runtime.media_file_manager", Owner.MEDIA),
        ("streamlit.runtime.caching.cache_data_api", Owner.STREAMLIT_CACHES),
        ("streamlit.runtime.app_session", Owner.SESSIONS),
        ("services.knowledge.library", Owner.PYTHON),
    ],
)
def test_objects_of_each_folder_get_their_owner(rules: OwnerRules, module: str, owner: Owner) -> None:
    """A folder that was moved would lose its objects to nobody, without a word."""
    found: ModuleType = importlib.import_module(module)
    kinds = [each for each in vars(found).values() if isinstance(each, type) and each.__module__ == module]
    assert rules.owner_of([(module, False)]) is owner
    assert all(rules.owner_of([(f"{module}.{kind.__name__}", True)]) is owner for kind in kinds)


def test_every_rule_is_about_something_that_exists(rules: OwnerRules) -> None:
    """A rule about a module that is gone fits nothing and looks as if it did."""
    assert all(find_spec(name) for name in rules.modules())
    assert all(find_spec(name) for name in rules.libraries() if name not in OPTIONAL)
    assert {"services.chat", "services.memory", "console.ui.live_answers"} <= set(rules.modules())


def test_what_watches_is_left_out_by_names_that_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    """The detector would blame its own history, or tracing its own snapshots."""
    assert MONITORING_PARTS
    assert set(MONITORING_PARTS) <= set(MemoryMonitor.__init__.__code__.co_names)
    monkeypatch.setattr(source, "_machinery", source._machinery.copy())
    assert not source.is_machinery(str(live_answers.__file__))
    source.register_machinery(live_answers)
    assert source.is_machinery(str(live_answers.__file__))
    assert source.is_machinery(str(source.__file__))
