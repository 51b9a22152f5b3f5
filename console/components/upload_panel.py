"""Taking files in: drag and drop, from the browser's bytes to the library's files on disk."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from streamlit.typing import UploadedFile

from console.components.formatting import escape, shorten
from console.state import DocumentsState, state_of, tell, tell_problem
from console.uploads import release
from console.visitors import page_user
from services.errors import BadInputError, MillpondError
from services.knowledge.types import Intake
from services.runtime import Runtime
from services.scopes import Scope, ScopeKind
from services.texts import _, plural

_NAMED = 3  # problems that are told one by one; more are counted


def upload_panel(runtime: Runtime, collection_id: int | None, limit_mb: int) -> None:
    """Draw the drop zone; dropped files go into the collection (None: the default one) at once."""
    state = state_of(DocumentsState)
    files = st.file_uploader(
        _("Drop documents here: PDF, Word, PowerPoint, Excel, CSV, HTML, Markdown, EPUB, text"),
        accept_multiple_files=True,
        max_upload_size=limit_mb,
        key=f"uploader-{state.uploads}",  # a new key is a new, empty uploader
    )
    if files:
        _take(runtime, files, collection_id)
        state.uploads += 1
        st.rerun()


def _take(runtime: Runtime, files: Sequence[UploadedFile], collection_id: int | None) -> None:
    taken: list[Intake] = []
    problems: list[tuple[str, MillpondError]] = []
    bar = st.progress(0.0)
    megabytes = sum(file.size for file in files) / 2**20
    detail = _("files, {megabytes:.1f} MB").format(megabytes=megabytes)
    scope: Scope | None = None
    try:
        scope = runtime.scopes.open(ScopeKind.UPLOAD, detail, user=page_user())
        for position in scope.positions():
            bar.progress(0.0, _("Waiting: number {position} in the queue").format(position=position))
        for number, file in enumerate(files, start=1):
            bar.progress(number / len(files), _("Storing {name}").format(name=escape(shorten(file.name, 60))))
            try:
                scope.check()
                taken.append(runtime.library.add(file, file.name, collection_id))
            except MillpondError as error:
                problems.append((file.name, error))
            finally:
                release([file])
    finally:
        if scope is not None:
            scope.close()
        release(files)
        bar.empty()
    _report(taken, problems)


def _report(taken: Sequence[Intake], problems: Sequence[tuple[str, MillpondError]]) -> None:
    new = sum(not intake.duplicate for intake in taken)
    if new:
        tell(plural("{count} file is being taken in.", "{count} files are being taken in.", new))
    duplicates = [intake.document.name for intake in taken if intake.duplicate]
    if len(duplicates) == 1:
        tell(_("{name} is there already; nothing was done.").format(name=shorten(duplicates[0], 60)))
    elif duplicates:
        tell(_("{count} files are there already; nothing was done.").format(count=len(duplicates)))
    for name, error in problems[:_NAMED]:
        tell_problem(BadInputError(f"{shorten(name, 80)}: {error.message}", error.hint))
    if len(problems) > _NAMED:
        rest = len(problems) - _NAMED
        tell_problem(BadInputError(plural("{count} more file was refused.", "{count} more files were refused.", rest)))
