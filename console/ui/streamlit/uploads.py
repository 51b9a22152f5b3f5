"""Uploaded files: released from Streamlit's memory as soon as they are on disk.

`st.file_uploader` keeps every file until the browser tab closes, and longer if it closes during the upload: then
`console.ui.streamlit.reaper` removes it.
"""

from __future__ import annotations

from collections.abc import Iterable

from streamlit.typing import UploadedFile

from console.ui.streamlit import internals as streamlit
from console.ui.streamlit.memory import live_sessions


def release_uploads(files: Iterable[UploadedFile]) -> None:
    """Release uploaded files of this tab: their bytes, and the records to read them again."""
    for file in files:
        streamlit.remove_upload(file.file_id)
        file.close()  # the widget's old value stays in the session until the next run, without its bytes


def abandoned_uploads() -> dict[str, int]:
    """Return the bytes of uploads per session, of sessions that no tab can reconnect to."""
    files = streamlit.uploaded_files()  # before the sessions: an upload needs an existing session
    live = {session.id for session in live_sessions()}
    return {name: sum(map(len, contents)) for name, contents in files.items() if name not in live}
