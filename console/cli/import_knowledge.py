"""`import`: takes over knowledge bases of LangChain and Langchain-Chatchat."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from console.cli.client import Client
from console.cli.connect import connect
from console.cli.ingest import POLLS_BETWEEN, DocumentRun, find_or_create_collection
from console.cli.terminal import ProgressBar, quiet_logs
from services.core.errors import BadInputError
from services.core.i18n import _, plural, use_terminal_language
from services.core.settings import Settings
from services.integrations.faiss_folder import KnowledgeBase, SourceDocument, find_knowledge_bases, read_documents


def import_knowledge(settings: Settings, path: Path, collection: str | None) -> int:
    """Import the knowledge bases in `path`; each becomes a collection of its name unless `collection` names one.

    Returns 0 if every document is ready, 1 if something was refused or failed, 130 if it was interrupted.
    """
    use_terminal_language(settings.language)
    quiet_logs(settings)
    bases = find_knowledge_bases(path)
    if not bases:
        raise BadInputError(
            _("There is no knowledge base in {path}.").format(path=path),
            _("One is a folder with index.faiss and index.pkl, as LangChain's FAISS.save_local writes it."),
        )
    codes = []
    with connect(settings) as client:
        for base in bases:
            code = _import_base(client, base, collection or base.name)
            codes.append(code)
            if code == 130:
                break
    return max(codes)


def _import_base(client: Client, base: KnowledgeBase, collection: str) -> int:
    click.echo(f"{base.name} ({base.folder})")
    for other in base.passed_over:
        click.echo(_("  Left out, the same knowledge base for another model: {folder}").format(folder=other))
    try:
        documents = read_documents(base.folder)
    except BadInputError as error:
        click.echo(f"{error.message}\n  {error.hint}", err=True)
        return 1
    target = find_or_create_collection(client, collection)
    with ProgressBar(len(documents)) as bar:
        run = DocumentRun(client, bar)
        importing = _Importer(client, target)
        try:
            for document in documents:
                run.submit(document.name, partial(importing.add, document))
                run.poll(at_most=POLLS_BETWEEN)
            run.wait()
        except KeyboardInterrupt:
            bar.close()
            click.echo(run.interruption(), err=True)
            return 130
    click.echo(f"  {run.summary()}")
    for line in importing.summary():
        click.echo(f"  {line}")
    return 1 if run.failed else 0


class _Importer:
    """Hands documents over and counts whose vectors could be used."""

    def __init__(self, client: Client, collection: int) -> None:
        self._client = client
        self._collection = collection
        self._kept = self._embedded = 0

    def add(self, document: SourceDocument) -> tuple[int, bool]:
        imported = self._client.import_document(document.prepared(), self._collection)
        if not imported.duplicate:
            self._kept += imported.vectors_kept
            self._embedded += not imported.vectors_kept
        return imported.document_id, imported.duplicate

    def summary(self) -> list[str]:
        lines = []
        if self._kept:
            lines.append(
                plural(
                    "Vectors of {count} document were used: they are of this embedding model.",
                    "Vectors of {count} documents were used: they are of this embedding model.",
                    self._kept,
                )
            )
        if self._embedded:
            lines.append(
                plural(
                    "{count} document was re-embedded: its vectors are of another model, or could not be sent.",
                    "{count} documents were re-embedded: their vectors are of another model, or could not be sent.",
                    self._embedded,
                )
            )
        return lines
