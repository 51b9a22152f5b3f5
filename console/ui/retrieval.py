"""The retrieval test: a query with its own settings, and the hits with all their scores."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from console.navigation import PageName, page
from console.ui.current_actor import disabled_reason, page_actor, page_user
from console.ui.session_state import Key, Query, RetrievalState, notify, state_of
from console.ui.shared.citations import find_terms, marked
from console.ui.shared.corrections import show_corrections
from console.ui.shared.formatting import escape, location, milliseconds, shorten
from services.app.container import Services
from services.core.actor import Permission
from services.core.errors import BadInputError
from services.core.i18n import _, plural
from services.core.requests import RequestKind
from services.knowledge.types import Hit, RetrievalSettings, SearchResult


def retrieval_form(services: Services) -> None:
    """Draw the query and its settings; the result of a run is kept in the tab."""
    library = services.library
    state = state_of(RetrievalState)
    applied = library.retrieval_settings()
    collections = {collection.id: collection for collection in library.collections(page_actor(services))}
    with st.form("retrieval-form"):
        query = st.text_area(_("Query"), key=Key.RETRIEVAL_QUERY, height=90)
        chosen = st.multiselect(
            _("Collections to search"),
            list(collections),
            format_func=lambda i: shorten(collections[i].name, 60),
            placeholder=_("All"),
            key="retrieval-collections",
        )
        k = st.number_input(_("Hits (k)"), 1, 100, value=applied.k, key="retrieval-k")
        dense = st.slider(_("Dense weight (meaning)"), 0.0, 2.0, applied.dense_weight, 0.1, key="retrieval-dense")
        lexical = st.slider(_("Lexical weight (words)"), 0.0, 2.0, applied.lexical_weight, 0.1, key="retrieval-lexical")
        threshold = st.slider(
            _("Score threshold"),
            0.0,
            1.0,
            applied.threshold,
            0.01,
            key="retrieval-threshold",
            help=_("Hits with a lower fused score are left out."),
        )
        with st.container(horizontal=True):
            run = st.form_submit_button(_("Search"), type="primary", key=Key.RETRIEVAL_RUN, icon=":material/search:")
            apply = st.form_submit_button(
                _("Apply to chat"),
                key=Key.RETRIEVAL_APPLY,
                disabled=(why := disabled_reason(services, Permission.CONFIGURE)) is not None,
                help=why or _("Chat and API use these settings from now on."),
            )
    settings = RetrievalSettings(int(k), float(dense), float(lexical), float(threshold))
    st.caption(_describe(applied))
    if (run or apply) and not (settings.dense_weight or settings.lexical_weight):
        raise BadInputError(_("Both weights are 0, so nothing can be found."), _("Raise one of them."))
    if apply:
        library.apply_retrieval_settings(page_actor(services), settings)
        notify(_("Chat now uses these settings."))
        st.rerun()
    if run:
        if not query.strip():
            raise BadInputError(_("The query is empty."), _("Enter a query."))
        limit = services.settings.question_characters
        if len(query) > limit:
            raise BadInputError(_("The query has more than {limit} characters.").format(limit=limit), _("Shorten it."))
        state.result = _search(services, query, tuple(chosen), settings)
        state.readable = page_actor(services).readable()


def _search(
    services: Services, query: str, collection_ids: tuple[int, ...], settings: RetrievalSettings
) -> SearchResult:
    queue = st.empty()
    detail = plural("query of {count} character", "query of {count} characters", len(query))
    scope = services.requests.open(RequestKind.SEARCH, detail, user=page_user())
    try:
        for position in scope.positions():
            queue.caption(_("Waiting: number {position} in the queue").format(position=position))
        queue.empty()
        scope.check()
        result = services.retriever.search(
            page_actor(services), query, collection_ids=collection_ids, settings=settings, check=scope.check
        )
    except BaseException as error:
        scope.close(error)
        raise
    scope.close()
    return result


def _describe(settings: RetrievalSettings) -> str:
    return _("In use by chat: {hits}, dense {dense:g}, lexical {lexical:g}, score threshold {threshold:g}").format(
        hits=plural("{count} hit", "{count} hits", settings.k),
        dense=settings.dense_weight,
        lexical=settings.lexical_weight,
        threshold=settings.threshold,
    )


def last_result() -> SearchResult | None:
    """Return what the last run found, None once the visitor's rights have changed."""
    state = state_of(RetrievalState)
    if state.readable != page_actor().readable():
        state.result = None
    return state.result


def retrieval_hits(result: SearchResult | None) -> None:
    """Draw the hits, or that the test was not run yet or found nothing."""
    if result is None:
        st.info(
            _("Enter a query and search. The chat model is not used."),
            title=_("Not run yet"),
            icon=":material/manage_search:",
        )
        return
    show_corrections([(each.typed, each.read) for each in result.corrections])
    if not result.hits:
        st.warning(
            _("Try other words, other collections, or a lower score threshold."),
            title=_("No hits"),
            icon=":material/search_off:",
        )
        _timings(result)
        return
    if not result.relevant:
        st.warning(
            _("Chat would answer that it found nothing. The best hits are below."),
            title=_("No relevant hit"),
            icon=":material/help:",
        )
    _timings(result)
    best = _best_lexical(result.hits)
    for number, hit in enumerate(result.hits, start=1):
        _hit(number, hit, result.terms, best)


def _timings(result: SearchResult) -> None:
    parts = [
        plural("{count} hit", "{count} hits", len(result.hits)),
        _("embedding {time}").format(time=milliseconds(result.embed_ms)),
        _("dense {time}").format(time=milliseconds(result.dense_ms)),
        _("lexical {time}").format(time=milliseconds(result.lexical_ms)),
        _("total {time}").format(time=milliseconds(result.total_ms)),
        _("weight of the embedding for this script {share:.0%}").format(share=result.dense_trust),
    ]
    st.caption(" · ".join(parts))


def embedder_trust(services: Services) -> None:
    """Draw how well the embedding model knows the scripts and kinds of text of the documents."""
    measured = services.retriever.measured_trust()
    with st.expander(_("What the embedding counts"), icon=":material/scale:"):
        st.caption(
            _(
                "Measured on your documents after each change: how often the model finds the rest of a passage by one "
                "of its sentences. A passage's dense score counts by its kind, a question by the prose of its script."
            )
        )
        if not measured:
            st.caption(_("There are too few documents yet; the model's tokenizer gives the weight."))
            return
        st.dataframe(
            [
                {
                    _("Script"): each.script.capitalize(),
                    _("Kind"): _kind(each.kind),
                    _("Weight"): f"{each.trust:.0%}",
                    _("Samples"): each.samples,
                }
                for each in measured
            ],
            hide_index=True,
        )


def _kind(kind: str) -> str:
    names = {"prose": _("prose"), "table": _("tables"), "code": _("code"), "log": _("logs")}
    return names.get(kind, kind)


def _best_lexical(hits: Sequence[Hit]) -> float:
    """Return the largest lexical score, to which the bars of lexical scores are relative."""
    return max((hit.lexical_score or 0.0 for hit in hits), default=0.0) or 1.0


def _hit(number: int, hit: Hit, terms: Sequence[str], best_lexical: float) -> None:
    with st.container(border=True, gap="xsmall", key=f"hit-{number}"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.page_link(
                page(PageName.DOCUMENTS),
                label=f"{number}. {escape(shorten(hit.document, 60))}",
                icon=":material/description:",
                query_params={Query.DOCUMENT.value: str(hit.document_id)},
            )
            if where := location(hit.page, hit.sheet, hit.heading):
                st.caption(escape(shorten(where, 80)), width="content")
        fused, dense, lexical = st.columns(3, wrap=False)
        _score(fused, _("fused"), hit.score, hit.score)
        _score(dense, _("dense"), hit.dense_score, hit.dense_score)
        _score(lexical, _("lexical"), hit.lexical_score, (hit.lexical_score or 0.0) / best_lexical)
        st.markdown(marked(hit.text, find_terms(hit.text, terms)))


def _score(column: st.delta_generator.DeltaGenerator, name: str, score: float | None, filled: float | None) -> None:
    text = _("{name} not found").format(name=name) if score is None else f"{name} {score:.3f}"
    column.progress(min(1.0, max(0.0, filled or 0.0)), text)
