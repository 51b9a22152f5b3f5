from __future__ import annotations

import shutil
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.core.actor import SERVICE, Actor, Role
from services.core.auditing import Action
from services.core.errors import ConflictError, ForbiddenError, UnavailableError
from services.core.events import EventKind
from services.core.settings import Settings
from services.knowledge.embedding import Embedder, weights
from services.knowledge.embedding.model_files import find_model
from services.knowledge.index import VectorIndex
from services.knowledge.model_change.types import ChangeStage
from services.knowledge.retrieval.encoder_cache import PinnableEncoder
from services.knowledge.store.model_changes import ModelChangeStore
from services.knowledge.types import JobKind
from tests.knowledge.model_change.ponds import PARAGRAPHS, SMALL, SUBJECTS, Pond, about, held_back
from tests.servers import eventually

ADMIN = Actor("anna", Role.ADMIN)


def test_a_configured_model_takes_over_while_the_old_one_answers(
    folder: Path, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dense search fails during a change, new documents are missed by it or after it, or a vector is made twice."""
    with Pond(folder) as pond:
        before, chunks = pond.found(), pond.rows("chunks")
    with held_back(monkeypatch) as gate, Pond(folder, str(small)) as pond:
        assert pond.serving.files.name != SMALL
        assert pond.found() == before
        gate.permit(3)
        eventually(lambda: pond.status().done == 12, what="three batches")
        status = pond.status()
        assert (status.stage, status.total, status.coming and status.coming.name) == (
            ChangeStage.EMBEDDING,
            chunks,
            SMALL,
        )
        assert status.cost is not None
        assert status.cost.disk_bytes >= chunks * 4 * 32
        assert pond.found() == before
        assert {report.name for report in pond.change.memory_reports()} >= {"Coming embedding model"}
        # What comes meanwhile is found at once, by the old model, and is not left behind.
        pond.add("comets.txt", about("comets", 3))
        assert pond.found(["comets"])[0][0][2] is not None
        assert pond.status().total > chunks
        gate.open()
        pond.changed()
        assert pond.serving.files.name == SMALL
        pond.check()
        assert len(pond.vectors()) == pond.rows("chunks") > chunks
        made = gate.texts[: len(pond.vectors())]
        assert sorted(made) == sorted(pond.texts().values())
        after = pond.found()
        assert after != before
        assert pond.change.memory_reports() == []
        details = [detail for _actor, kind, detail, _figures in pond.events.events if kind is EventKind.MODEL]
        assert any(f"embedded with {SMALL} now" in detail for detail in details), details
        # Documents are cut and embedded by the new model from now on.
        pond.add("meteors.txt", about("meteors", 3))
        pond.check()
        pond.knowledge.library.delete(SERVICE, [document_named(pond, "meteors.txt")])
    with Pond(folder, str(small)) as pond:
        assert pond.status().stage is ChangeStage.NONE
        pond.check()
        assert pond.found() == after
        texts = pond.texts()
        with pond.serving.in_use() as model:
            wanted = model.embed_chunks(list(texts.values()))
        made = pond.vectors()
        assert min(float(made[chunk] @ wanted[row]) for row, chunk in enumerate(texts)) > 0.999


def document_named(pond: Pond, name: str) -> int:
    return next(each.id for each in pond.knowledge.library.documents(SERVICE, limit=100) if each.name == name)


def test_a_change_is_paused_resumed_and_cancelled(folder: Path, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pause loses what is done or ends with a restart, or a cancelled change leaves vectors or starts again."""
    with held_back(monkeypatch) as gate:
        with Pond(folder, str(small)) as pond:
            before = pond.found()
            gate.permit(2)
            eventually(lambda: pond.status().done == 8, what="two batches")
            status = pond.change.pause(ADMIN)
            assert (status.stage, status.person, status.done) == (ChangeStage.PAUSED, "anna", 8)
            eventually(lambda: not pond.change.memory_reports(), what="the second model released")
            with pytest.raises(ConflictError):
                pond.change.pause(ADMIN)
        with Pond(folder, str(small)) as pond:
            assert (pond.status().stage, pond.status().done) == (ChangeStage.PAUSED, 8)
            with pytest.raises(ForbiddenError):
                pond.change.resume(Actor("otto", Role.OPERATOR))
            pond.change.resume(ADMIN)
            gate.permit(1)
            eventually(lambda: pond.status().done == 12, what="another batch")
            assert len(gate.texts) == len(set(gate.texts)) == 12
            assert pond.change.cancel(ADMIN).stage is ChangeStage.CANCELLED
            eventually(lambda: pond.rows("chunk_vectors") == 0, what="nothing beside")
            assert pond.found() == before
            pond.check()
        with Pond(folder, str(small)) as pond:
            assert pond.status().stage is ChangeStage.CANCELLED
            assert pond.found() == before
            gate.open()
            pond.change.start(ADMIN)
            pond.changed()
            pond.check()


def test_a_new_default_is_offered_and_measured_but_not_made(
    folder: Path, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upgrade changes everybody's vectors unasked, or hides what it costs, or the way back mixes vectors."""
    with Pond(folder) as pond:
        vectors = pond.vectors()
    with Pond(folder, str(small)) as pond:
        pond.changed()
        before = pond.found()
    audited: list[tuple[str, str]] = []
    with Pond(folder) as pond:  # the default is another one than the corpus's
        monkeypatch.setattr(
            pond.events, "audit", lambda _actor, action, *_more, detail: audited.append((action, detail))
        )
        status = pond.status()
        assert (status.stage, status.serving.name) == (ChangeStage.OFFERED, SMALL)
        assert status.cost is not None
        assert (status.cost.chunks, status.cost.seconds, status.cost.measured) == (pond.rows("chunks"), None, False)
        assert any("384 numbers, 32 before" in text for text in status.brings)
        assert pond.found() == before
        cost = pond.change.measure(ADMIN).cost
        assert cost is not None
        assert cost.measured
        assert cost.seconds is not None
        assert cost.model_bytes > 1_000_000
        assert pond.status().stage is ChangeStage.OFFERED
        with pytest.raises(ForbiddenError):
            pond.change.start(Actor("uwe", Role.USER))
        pond.change.start(ADMIN)
        pond.changed()
        pond.check()
        assert [action for action, _detail in audited] == [Action.MODEL_CHANGE]
        assert audited[0][1].startswith("running")
        with pytest.raises(ConflictError):
            pond.change.start(ADMIN)
        again = pond.vectors()
        # The same but for rounding to 8 bits, which depends on what is embedded together.
        assert min(float(vectors[chunk] @ again[chunk]) for chunk in vectors) > 0.99


def test_without_the_files_of_the_old_model_documents_are_embedded_anew(
    folder: Path, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start fails or lies when the model of the corpus was deleted, or throws away what a change had done already."""
    copy = Path(shutil.copytree(small, tmp_path / "copy" / SMALL))
    with Pond(folder, str(copy)) as pond:
        pond.changed()
        chunks = pond.rows("chunks")
    name = find_model("", "").name
    with held_back(monkeypatch, name) as gate, Pond(folder) as pond:
        pond.change.start(ADMIN)
        batches = chunks // 6  # of 4 chunks each
        gate.permit(batches)
        eventually(lambda: pond.status().done == 4 * batches, what="most of it")
    shutil.rmtree(copy)
    with Pond(folder, work=False) as pond:
        assert pond.serving.files.name == name
        assert pond.knowledge.ingestion.wait_idle(60)
        jobs = pond.knowledge.library.jobs.recent(SERVICE)
        anew = [job for job in jobs if job.kind is JobKind.REEMBED]
        # Documents whose vectors were all there answer at once.
        assert 0 < len(anew) < len(SUBJECTS)
        assert pond.rows("chunks") == chunks
        assert len(pond.knowledge.index.index) == chunks
        assert all(hits[0][2] is not None for hits in pond.found())
        store = ModelChangeStore(pond.database)
        while store.tidy(pond.serving.fingerprint, ""):
            pass
        pond.check()


def test_a_lost_model_is_said(folder: Path, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody learns why dense search finds nothing for a while."""
    copy = Path(shutil.copytree(small, tmp_path / "copy" / SMALL))
    with Pond(folder, str(copy)) as pond:
        pond.changed()
    shutil.rmtree(copy)
    with held_back(monkeypatch, find_model("", "").name) as gate, Pond(folder) as pond:
        status = pond.status()
        assert (status.stage, status.lost) == (ChangeStage.LOST, SMALL)
        assert any("files of the embedding model small are gone" in each[2] for each in pond.events.events)
        gate.open()
        assert pond.knowledge.ingestion.wait_idle(60)
        assert pond.status().stage is ChangeStage.NONE
        pond.check()


def test_a_stop_between_switch_and_tidying_changes_nothing(
    folder: Path, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Vectors that have not moved yet are taken for the old model's: in search, in copies, or by the next change."""
    with Pond(folder, str(small)) as pond:
        pond.changed()
        wanted = pond.found()
        vectors = pond.vectors()
    with Pond(folder) as pond:
        pond.change.start(ADMIN)
        pond.changed()
    monkeypatch.setattr(ModelChangeStore, "tidy", lambda *_: False)
    with Pond(folder, str(small)) as pond:
        pond.until(ChangeStage.NONE)
        assert pond.rows("chunk_vectors") == len(vectors)
        assert pond.found() == wanted
    with Pond(folder, str(small)) as pond:
        assert pond.found() == wanted
        # A copy of the same content takes the vectors that answer.
        collection = pond.knowledge.library.create_collection(SERVICE, "Copies")
        ids = set(pond.vectors())
        with (pond.settings.data_dir / "bees.txt").open("w+b") as file:
            file.write(about("bees", PARAGRAPHS).encode())
            file.seek(0)
            pond.knowledge.library.add(SERVICE, file, "bees.txt", collection.id)
        assert pond.knowledge.ingestion.wait_idle(60)
        copied = {chunk: vector for chunk, vector in pond.vectors().items() if chunk not in ids}
        assert copied
        assert {len(vector) for vector in copied.values()} == {32}
        assert all(any(np.allclose(vector, one) for one in vectors.values()) for vector in copied.values())
    monkeypatch.undo()
    with Pond(folder, str(small)) as pond:
        pond.changed()
        pond.check()


def test_documents_in_work_during_the_switch_get_vectors_of_one_model(
    folder: Path, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A document that the old model had embedded, and that is stored after the switch, keeps vectors of the old one."""
    with held_back(monkeypatch) as gate, Pond(folder, str(small)) as pond:
        eventually(gate.waiting.is_set, what="the change at work")
        with held_back(monkeypatch, find_model("", "").name) as old:
            file = pond.settings.data_dir / "comets.txt"
            file.write_text(about("comets", 6))
            with file.open("rb") as opened:
                pond.knowledge.library.add(SERVICE, opened, "comets.txt", None)
            eventually(old.waiting.is_set, what="ingestion held back")
            gate.open()
            eventually(lambda: pond.serving.files.name == SMALL, seconds=60, what="the switch")
        assert pond.knowledge.ingestion.wait_idle(60)
        pond.changed()
        pond.check()
        assert pond.found(["comets"])[0][0][2] is not None


def test_a_question_that_is_embedded_during_the_switch_stays_with_its_model(
    folder: Path, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old model goes while a question waits for its vector, or that vector meets vectors of the new one."""
    holding, waiting, go = threading.Event(), threading.Event(), threading.Event()
    encode, look_up = Embedder._encode_questions, VectorIndex.search
    searched: list[tuple[int, int]] = []

    def encode_held(self: Embedder, texts: Sequence[str]) -> Any:
        if holding.is_set() and self.files.name != SMALL:
            waiting.set()
            assert go.wait(60)
        return encode(self, texts)

    def search(self: VectorIndex, vector: Any, *more: Any) -> Any:
        searched.append((len(vector), self.dimension))
        return look_up(self, vector, *more)

    monkeypatch.setattr(Embedder, "_encode_questions", encode_held)
    monkeypatch.setattr(VectorIndex, "search", search)
    monkeypatch.setattr(weights, "PATIENCE_SECONDS", 0.0)  # of batches, while a question is held back
    question = ["glaciers"]
    with held_back(monkeypatch) as gate, Pond(folder, str(small)) as pond, ThreadPoolExecutor(1) as asking:
        encoder = PinnableEncoder(pond.serving, pond.caches.embeddings)
        eventually(gate.waiting.is_set, what="the change at work")
        pond.found(["bees"])  # measures what its cosines mean
        searched.clear()
        holding.set()
        try:
            old = asking.submit(pond.found, question)
            assert waiting.wait(60)
            begun = encoder.begin_queries(["Which harbour?"])[0]
            gate.open()
            eventually(lambda: pond.serving.files.name == SMALL, seconds=60, what="the switch")
            new = pond.found(question)
            assert not old.done()
        finally:
            go.set()
        assert [hit[2] for hit in old.result()[0]] == [None] * len(new[0])
        assert new[0][0][2] is not None
        assert searched == [(32, 32), (384, 384)]
        assert len(begun.result()) == 384
        assert len(encoder.embed_query("Which harbour?")) == 32
        assert pond.found(question) == new
        pond.changed()
        pond.check()


def test_a_change_waits_while_memory_is_short_and_what_is_deleted_goes_from_both(
    folder: Path, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change goes on over the high watermark, or keeps vectors of documents that are deleted."""
    with held_back(monkeypatch) as gate, Pond(folder, str(small)) as pond:
        gate.permit(4)
        eventually(lambda: pond.status().done == 16, what="four batches")
        pond.admission.slow_ingestion(2.0)
        gate.permit(1)
        status = pond.until(ChangeStage.WAITING)
        assert "goes on by itself" in status.reason
        pond.admission.slow_ingestion(0.0)
        pond.until(ChangeStage.EMBEDDING)
        beside = pond.rows("chunk_vectors")
        pond.knowledge.library.delete(SERVICE, [document_named(pond, "bees.txt")])
        assert pond.rows("chunk_vectors") < beside
        gate.open()
        pond.changed()
        pond.check()


def test_a_model_that_cannot_be_loaded_is_told_and_tried_again(
    folder: Path, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken model ends the thread, is tried for ever, or takes the old one down."""
    load = Embedder.load

    def refused(settings: Settings) -> Embedder:
        if settings.embedding_model:
            raise UnavailableError("The model is broken.", "Install it again.")
        return load(settings)

    monkeypatch.setattr(Embedder, "load", refused)
    with Pond(folder, str(small)) as pond:
        before = pond.found()
        status = pond.until(ChangeStage.FAILED)
        assert (status.error, status.hint) == ("The model is broken.", "Install it again.")
        assert pond.found() == before
        monkeypatch.setattr(Embedder, "load", load)
        pond.change.resume(ADMIN)
        pond.changed()
        pond.check()
