"""Whose an object is, judged by what lies on the way from a root to it."""

from __future__ import annotations

from collections.abc import Iterable

from services.held import Owner

# The first rule that fits the name of a type or module on the way decides; the way is asked from the object's end, so
# that what a session holds is the session's although Streamlit's runtime holds the session.
_RULES: tuple[tuple[str, Owner], ...] = (
    ("services.chat.models", Owner.MODELS),
    ("services.chat", Owner.CONVERSATIONS),
    ("services.knowledge.index", Owner.INDEX),
    ("services.knowledge.embedding", Owner.MODELS),
    ("services.memory.tracing", Owner.TRACING),
    ("services.memory", Owner.OWN_CACHES),
    ("services.database", Owner.DATABASE),
    ("console.uploads", Owner.UPLOADS),
    ("console.answers", Owner.CONVERSATIONS),
    ("streamlit.runtime.memory_uploaded_file_manager", Owner.UPLOADS),
    ("streamlit.runtime.uploaded_file_manager", Owner.UPLOADS),
    ("streamlit.runtime.memory_media_file_storage", Owner.MEDIA),
    ("streamlit.runtime.media_file", Owner.MEDIA),
    ("streamlit.runtime.caching", Owner.STREAMLIT_CACHES),
    ("streamlit.runtime.app_session", Owner.SESSIONS),
    ("streamlit.runtime.state", Owner.SESSIONS),
    ("streamlit.runtime.memory_session_storage", Owner.SESSIONS),
    ("streamlit.runtime.websocket_session_manager", Owner.SESSIONS),
)
# The same for what libraries make, but not for their modules, classes and functions: these are no model and no index.
_MADE: tuple[tuple[str, Owner], ...] = (
    ("sentence_transformers", Owner.MODELS),
    ("transformers", Owner.MODELS),
    ("tokenizers", Owner.MODELS),
    ("xllamacpp", Owner.MODELS),
    ("torch", Owner.MODELS),
    ("faiss", Owner.INDEX),
    ("sqlalchemy", Owner.DATABASE),
    ("sqlite3", Owner.DATABASE),
    ("tracemalloc", Owner.TRACING),
)


def owner_of(way: Iterable[tuple[str, bool]]) -> Owner:
    """Return the owner.

    Args:
        way: from the object to its root, full names of types (of instances, True) or of modules, classes, functions
            themselves (False).
    """
    for name, is_instance in way:
        for prefix, owner in _RULES + _MADE if is_instance else _RULES:
            if name == prefix or name.startswith(prefix + "."):
                return owner
    return Owner.PYTHON
