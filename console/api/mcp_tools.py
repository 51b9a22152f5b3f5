"""The tools at /mcp: what they do with the rights of whoever asks, and what they return, for programs and as text."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

import anyio
from pydantic import BaseModel

from console.api.answer_stream import AnswerEvents
from console.api.context import ApiContext, request_scope
from console.api.mcp_types import (
    AskArguments,
    AskOutput,
    FoundPassage,
    ListArguments,
    ListedDocument,
    ListOutput,
    ReadArguments,
    ReadOutput,
    SearchArguments,
    SearchOutput,
    Source,
)
from services.chat.types import MessageRole, Token, Waiting
from services.core.actor import Actor
from services.core.errors import NotFoundError
from services.core.i18n import _, plural
from services.core.requests import RequestKind, RequestScope
from services.knowledge.types import SearchResult, Section

PROGRESS_SECONDS = 0.25
Report = Callable[[float, str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Answered:
    """What a tool returns: for programs, as text, and the documents it is from."""

    output: BaseModel
    text: str
    links: tuple[tuple[int, str], ...] = ()


class McpTools:
    """The tools with the rights of `actor`; `user` is whose limits count."""

    def __init__(self, context: ApiContext, actor: Actor, user: str) -> None:
        self._context = context
        self._actor = actor
        self._user = user

    async def search(self, arguments: SearchArguments) -> Answered:
        """Search the documents."""
        detail = plural("query of {count} character", "query of {count} characters", len(arguments.query))
        async with request_scope(self._context, RequestKind.SEARCH, detail) as scope:
            result = await self._context.threads.search(self._search, arguments, scope)
        passages = [
            FoundPassage(
                number=number,
                document_id=hit.document_id,
                document=hit.document,
                uri=uri_of(hit.document_id),
                collection_id=hit.collection_id,
                page=hit.page,
                sheet=hit.sheet,
                heading=list(hit.heading),
                score=round(hit.score, 4),
                text=hit.text,
            )
            for number, hit in enumerate(result.hits, 1)
        ]
        text = "\n\n".join(f"[{each.number}] {_place(each)}\n{each.text}" for each in passages)
        if not passages:
            text = _("Nothing was found.")
        elif not result.relevant:
            text = "\n\n".join([_("Nothing fits well; these passages come closest:"), text])
        return Answered(SearchOutput(relevant=result.relevant, passages=passages), text, _links(passages))

    def _search(self, arguments: SearchArguments, scope: RequestScope) -> SearchResult:
        self._check_collections(arguments.collections)
        return self._context.services.searches.search(
            self._actor,
            arguments.query,
            k=arguments.limit,
            collection_ids=arguments.collections,
            check=scope.check,
        )

    def _check_collections(self, chosen: list[int]) -> None:
        missing = set(chosen) - {each.id for each in self._context.services.library.collections(self._actor)}
        if missing:
            raise NotFoundError(
                _("There is no collection {id}; nothing was searched.").format(id=min(missing)),
                _("list_documents has the ids of the collections."),
            )

    async def ask(self, arguments: AskArguments, report: Report) -> Answered:
        """Answer a question; what has come of the answer goes to the client as progress."""
        await self._context.threads.call(self._check_collections, arguments.collections)
        answer = self._context.services.answers.complete(
            self._actor,
            [(MessageRole.USER, arguments.question)],
            user=self._user,
            collection_ids=arguments.collections,
        )
        stream = AnswerEvents(answer, self._context.threads.answers)
        progress, waiting, told_at = 0, "", -PROGRESS_SECONDS
        async with stream:
            while (event := await stream.next()) is not None:
                if isinstance(event, Waiting):
                    progress += 1
                    text = _("Waiting for a free place: position {position}.").format(position=event.position)
                    await report(progress, text)
                elif isinstance(event, Token) and event.text:
                    waiting += event.text
                    progress += len(event.text)
                    if anyio.current_time() - told_at >= PROGRESS_SECONDS:
                        told_at = anyio.current_time()
                        await report(progress, waiting)
                        waiting = ""
        message = stream.message()
        sources = [
            Source(
                number=each.number,
                document_id=each.document_id,
                document=each.document,
                uri=uri_of(each.document_id),
                page=each.page,
                sheet=each.sheet,
                heading=list(each.heading),
                quote=each.quote,
                cited=each.cited,
            )
            for each in message.citations
        ]
        cited = [each for each in sources if each.cited]
        listed = "\n".join(f"[{each.number}] {_place(each)}" for each in cited)
        text = "\n\n".join(part for part in (message.text, listed) if part)
        output = AskOutput(answer=message.text, answered_by=message.model, sources=sources)
        return Answered(output, text, _links(cited))

    async def list_documents(self, arguments: ListArguments) -> Answered:
        """List the documents."""
        output = await self._context.threads.call(self._list, arguments)
        lines = [
            f"{each.id}: {each.name} ({each.collection_id}: {each.collection}; {each.status})"
            for each in output.documents
        ]
        count = plural("{count} document", "{count} documents", output.total)
        more = [] if output.next_offset is None else [_("More from offset {offset}.").format(offset=output.next_offset)]
        return Answered(output, "\n".join([count, *lines, *more]))

    def _list(self, arguments: ListArguments) -> ListOutput:
        library = self._context.services.library
        filters: dict[str, Any] = {"collection_ids": tuple(arguments.collections), "query": arguments.name}
        page = library.documents(self._actor, **filters, limit=arguments.limit, offset=arguments.offset)
        total = library.count_documents(self._actor, **filters)
        end = arguments.offset + len(page)
        return ListOutput(
            documents=[
                ListedDocument(
                    id=each.id,
                    name=each.name,
                    uri=uri_of(each.id),
                    collection_id=each.collection_id,
                    collection=each.collection,
                    status=each.status.value,
                    searchable=each.searchable,
                    pages=each.pages,
                    size_bytes=each.size_bytes,
                    updated_at=each.updated_at.isoformat(),
                )
                for each in page
            ],
            total=total,
            next_offset=end if page and end < total else None,
        )

    async def read_document(self, arguments: ReadArguments) -> Answered:
        """Read a part of a document."""
        output = await self.page(arguments.document_id, arguments.offset, arguments.limit)
        place = _("{name}, characters {first} to {last} of {total}").format(
            name=output.name,
            first=min(output.offset, output.total_characters),
            last=min(output.offset + len(output.text), output.total_characters),
            total=output.total_characters,
        )
        return Answered(output, f"{place}\n\n{output.text}", ((output.document_id, output.name),))

    async def page(self, document_id: int, offset: int, limit: int) -> ReadOutput:
        """Return a part of a document's text."""

        def read() -> ReadOutput:
            library = self._context.services.library
            document = library.document(self._actor, document_id)
            text = _text_of(library.reader.sections(self._actor, document_id))
            part = text[offset : offset + limit]
            end = offset + len(part)
            return ReadOutput(
                document_id=document.id,
                name=document.name,
                uri=uri_of(document.id),
                offset=offset,
                total_characters=len(text),
                next_offset=end if part and end < len(text) else None,
                text=part,
            )

        return await self._context.threads.call(read)


def uri_of(document_id: int) -> str:
    """Return the address of a document in the protocol."""
    return f"millpond://documents/{document_id}"


def _links(places: Iterable[FoundPassage | Source]) -> tuple[tuple[int, str], ...]:
    return tuple({each.document_id: each.document for each in places}.items())


def _place(each: FoundPassage | Source) -> str:
    parts = [each.document]
    if each.page is not None:
        parts.append(_("page {page}").format(page=each.page))
    if each.sheet:
        parts.append(each.sheet)
    if each.heading:
        parts.append(" › ".join(each.heading))
    return ", ".join(parts)


def _text_of(sections: Iterable[Section]) -> str:
    """Return the text of sections; where a page or a sheet begins, it is said."""
    parts: list[str] = []
    last: tuple[int | None, str] = (None, "")
    for section in sections:
        here = (section.page, section.sheet)
        if here != last:
            last = here
            if section.page is not None:
                parts.append(f"[{_('page {page}').format(page=section.page)}]")
            elif section.sheet:
                parts.append(f"[{section.sheet}]")
        parts.append(section.text)
    return "\n\n".join(parts)
