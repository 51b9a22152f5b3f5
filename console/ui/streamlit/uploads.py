"""Uploaded bytes: out of Streamlit's RAM as soon as they are on disk.

`st.file_uploader` keeps every file in the process until the browser tab closes, and longer when it closes at the wrong
moment: what is left then is the reaper's (`console.ui.streamlit.reaper`).
"""

from __future__ import annotations

from collections.abc import Iterable

from streamlit.typing import UploadedFile

from console.ui.streamlit import internals as streamlit
from console.ui.streamlit.memory import live_sessions


def release_uploads(files: Iterable[UploadedFile]) -> None:
    """Forget uploaded files: their bytes, and the records by which this tab could read them again."""
    for file in files:
        streamlit.remove_upload(file.file_id)
        file.close()  # the widget's old value stays in the session until the next run; an empty one costs nothing


def held_uploads() -> tuple[int, int]:
    """Return how many uploaded files Streamlit holds for all tabs, and how many bytes."""
    contents = [content for files in streamlit.uploaded_files().values() for content in files]
    return len(contents), sum(map(len, contents))


def abandoned_uploads() -> dict[str, int]:
    """Return the bytes of uploads by session, of those sessions that nobody can come back to."""
    files = streamlit.uploaded_files()  # before the sessions: an upload needs a session that is there
    live = {session.id for session in live_sessions()}
    return {name: sum(map(len, contents)) for name, contents in files.items() if name not in live}
