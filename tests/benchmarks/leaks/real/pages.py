"""What Streamlit keeps."""

from __future__ import annotations

from typing import Any

from services.app.container import Services
from services.memory.leaks.types import LeakKind
from tests.benchmarks.leaks.real.scenario import Scenario, Step, rows, text

_kept: dict[str, Any] = {}


def cached_data(_services: Services) -> Step:
    """st.cache_data without max_entries or ttl on a function of the question (Streamlit: "Caching overview")."""
    import streamlit as st

    @st.cache_data(show_spinner=False)
    def report(question: str) -> str:
        return text(len(question), 150_000)

    return lambda number: report(f"What was ground on day {number}?")


def uploads(_services: Services) -> Step:
    """The uploaded files of tabs that were closed (Streamlit keeps them in RAM until the session is removed)."""
    from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
    from streamlit.runtime.uploaded_file_manager import UploadedFileRec

    manager = _kept["uploads"] = MemoryUploadedFileManager("/upload")

    def step(number: int) -> None:
        content = text(number, 300_000).encode()
        manager.add_file(f"tab-{number}", UploadedFileRec(f"file-{number}", "page.txt", "text/plain", content))

    return step


def session_state(_services: Services) -> Step:
    """Sessions that expired and are still alive, each with what its page kept (streamlit issue 12506)."""
    from streamlit.logger import set_log_level
    from streamlit.runtime.state import SessionState

    set_log_level("ERROR")  # it warns of every write outside a script run
    sessions = _kept["sessions"] = {}

    def step(number: int) -> None:
        state = sessions[f"tab-{number}"] = SessionState()
        state["messages"] = rows(number, 120)
        state["found"] = rows(number, 120)

    return step


SCENARIOS = (
    Scenario(
        "st.cache_data without a limit",
        cached_data,
        LeakKind.PYTHON,
        ("cache_data", "streamlit_caches", "_mem_cache", "streamlit.runtime.caching", "CachedResult"),
        per_step=150_000,
    ),
    Scenario(
        "uploads of closed tabs",
        uploads,
        LeakKind.PYTHON,
        ("UploadedFile", "file_storage", "uploads"),
        per_step=300_000,
    ),
    Scenario("sessions that stay alive", session_state, LeakKind.PYTHON, ("SessionState", "session"), per_step=81_000),
)
