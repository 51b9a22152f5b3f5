"""Who owns what the modules of Streamlit hold, registered for the objects page."""

from __future__ import annotations

from types import ModuleType

from streamlit.runtime import (
    app_session,
    caching,
    media_file_manager,
    media_file_storage,
    memory_media_file_storage,
    memory_session_storage,
    memory_uploaded_file_manager,
    state,
    uploaded_file_manager,
    websocket_session_manager,
)

from console.ui.streamlit import uploads
from services.app.shell_hooks import ShellHooks
from services.core.memory_report import Owner

_OWNED: dict[Owner, tuple[ModuleType, ...]] = {
    Owner.UPLOADS: (uploads, memory_uploaded_file_manager, uploaded_file_manager),
    Owner.MEDIA: (memory_media_file_storage, media_file_manager, media_file_storage),
    Owner.STREAMLIT_CACHES: (caching,),
    Owner.SESSIONS: (app_session, state, memory_session_storage, websocket_session_manager),
}


def register_owners(hooks: ShellHooks) -> None:
    """Register who owns the objects that Streamlit's managers and the console's uploads hold."""
    for owner, modules in _OWNED.items():
        for module in modules:
            hooks.add_owner_rule(module, owner)
