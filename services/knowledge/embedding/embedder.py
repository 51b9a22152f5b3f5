"""The embedding model of the process: texts to normalised vectors, batched by length; its device, precision and
threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import psutil
from numpy.typing import NDArray

from services.core.errors import CancelledError, UnavailableError
from services.core.i18n import _
from services.core.machine import usable_cores
from services.core.memory_report import MemoryReport, Owner, Region
from services.core.model_signatures.verifier import ModelVerifier
from services.core.settings import Settings
from services.core.thread_priority import lower_priority
from services.knowledge.embedding.choice import choose_encoder, prepared_folders
from services.knowledge.embedding.engine.prepared_tokens import prepared_tokens
from services.knowledge.embedding.model_files import (
    ModelFiles,
    find_model,
    missing_default,
    own_model,
    require_model,
)
from services.knowledge.embedding.question_batches import QuestionBatches
from services.knowledge.embedding.weights import (
    DeviceMemoryError,
    JoiningEncoder,
    Priority,
    TokenEncoder,
    Weights,
    checked,
    never_yield,
)
from services.knowledge.text.folding import embedding_text
from services.knowledge.tokenization.loader import open_tokenizer
from services.knowledge.tokenization.tokenizer import TextTokenizer

Vectors = NDArray[np.float32]
# Measured on 2 cores: larger batches are not faster once padding is gone, and questions wait longer for them.
CPU_BATCH_TOKENS = 640
CUDA_BATCH_TOKENS = 16_384
MIN_BATCH_TOKENS = 512
# Texts that are tokenised and sorted by length together.
WINDOW_TEXTS = 256
# Below the threads of the pipeline, level with the parsers: a batch neither delays questions nor starves.
BATCH_NICENESS = 15
# A sample of a text, enough to see whether its script is known.
SAMPLE_CHARACTERS = 4000


class Embedder:
    """Turns texts into normalised vectors; thread-safe.

    Batches run on `threads` threads of one core each, without barriers between them; they pause while questions are
    computed, those of one moment together (`question_batches`).
    """

    _loads: ClassVar[int] = 0

    def __init__(
        self,
        files: ModelFiles,
        encoder: TokenEncoder,
        tokenizer: TextTokenizer,
        *,
        threads: int,
        detail: str,
        tokenizer_file: Path | None = None,
        tokenizer_bytes: int = 0,
        model_note: str = "",
        load: Callable[[], TokenEncoder] | None = None,
        verifier: ModelVerifier | None = None,
    ) -> None:
        """Use `Embedder.load` instead. `load` reads the weights again after `release`; `verifier` holds the copy that
        they are read from, where signatures are demanded. `model_note`: what people are told about the choice of model.
        """
        self.files = files
        self._verifier = verifier
        self.model_note = model_note
        # The tokenizer's file or folder, for counting tokens of chunks in other processes.
        self.tokenizer_file = tokenizer_file or files.tokenizer_file
        self._tokenizer_bytes = tokenizer_bytes
        self.fingerprint = files.fingerprint
        self._on_cpu = encoder.on_cpu
        self._weights = Weights(encoder, load)
        self._tokenizer = tokenizer
        self._detail = detail
        self._threads = threads
        self._batch_tokens = CPU_BATCH_TOKENS if encoder.on_cpu else CUDA_BATCH_TOKENS
        self._pool = ThreadPoolExecutor(
            threads, thread_name_prefix="embedding", initializer=lower_priority, initargs=(BATCH_NICENESS,)
        )
        self._priority = Priority()
        self._questions = QuestionBatches(self._encode_questions, threads)
        (prompt,) = tokenizer.counts([files.chunk_prompt])
        self.dimension = encoder.dimension
        # Most tokens of a chunk, special tokens included.
        self.max_tokens = files.max_tokens - prompt

    @classmethod
    def load(cls, settings: Settings) -> Embedder:
        """Check and load the configured model.

        Raises:
            UnavailableError: the model or its device is missing.
            DamagedError: the weights do not match their checksum, or the signature that the settings demand is missing
                or wrong.
        """
        verifier = ModelVerifier.of(settings)
        try:
            return cls._load(settings, verifier)
        except BaseException:
            verifier.close()
            raise

    @classmethod
    def _load(cls, settings: Settings, verifier: ModelVerifier) -> Embedder:
        """Load what the verifier lets through: of the bundled model the checksum is known, it needs no signature."""
        chosen = own_model(settings.embedding_model)
        if chosen is not None:
            require_model(chosen)
        model = settings.embedding_model if chosen is None else str(verifier.verified(chosen))
        files = find_model(model, settings.embedding_sha256)
        tokenizer_file = prepared_tokens(files, prepared_folders(files, settings))
        choice = choose_encoder(files, settings, tokenizer_file)
        load = choice.load
        if chosen is not None:
            load = checked(load, partial(verifier.check, chosen))
        encoder = load()
        before = _allocated()
        tokenizer = open_tokenizer(tokenizer_file, files.max_tokens)
        tokenizer_bytes = max(0, _allocated() - before)
        Embedder._loads += 1
        threads = choose_threads(settings.embedding_threads) if encoder.on_cpu else 1
        detail = f"{files.name}, {choice.detail}"
        return cls(
            files,
            encoder,
            tokenizer,
            threads=threads,
            detail=detail,
            tokenizer_file=tokenizer_file,
            tokenizer_bytes=tokenizer_bytes,
            model_note=missing_default(settings.embedding_model),
            load=load,
            verifier=verifier,
        )

    def memory_report(self) -> MemoryReport:
        """Return the bytes of the weights, and how often a model was loaded."""
        return MemoryReport(
            name=_("Embedding model"),
            detail=self._detail,
            bytes=self._weights.bytes,
            loads=Embedder._loads + self._weights.loads,
            attributes={
                "dimension": str(self.dimension),
                "max_tokens": str(self.max_tokens),
                "threads": str(self._threads),
                "sha256": self.files.sha256,
            },
            owner=Owner.MODELS,
            region=Region.NATIVE if self._on_cpu else Region.ELSEWHERE,
            ranges=self._weights.ranges,
        )

    def tokenizer_memory_report(self) -> MemoryReport:
        """Return the bytes of the tokenizer's tables: what was allocated while it was loaded, or files and objects."""
        files, objects = self._tokenizer.memory()
        mapped = sum(size for _path, size in files)
        return MemoryReport(
            name=_("Tokenizer of the embedding model"),
            detail=self.files.name,
            bytes=mapped + objects if files else self._tokenizer_bytes,
            loads=1,
            owner=Owner.MODELS,
            region=Region.PYTHON if files else Region.NATIVE,
            files=files,
        )

    def share_priority(self, other: Embedder) -> None:
        """Have questions to `other` pause the batches of this one, too, and the other way round."""
        self._priority = other._priority

    def urgent(self) -> AbstractContextManager[None]:
        """Pause the batches of ingestion while a question is answered, beyond its embedding."""
        return self._priority.urgent()

    def embed_query(self, text: str) -> Vectors:
        """Return the vector of a question, float32 (d,), normalised; batches of ingestion pause meanwhile."""
        with self._priority.urgent():
            return self.begin_queries([text])[0].result()

    def begin_queries(self, texts: Sequence[str]) -> list[Future[Vectors]]:
        """Return the vectors of questions as they will be, computed together and with others of the moment.

        Hold `urgent` until they are there.
        """
        return self._questions.submit([self.files.query_prompt + embedding_text(text.strip()) for text in texts])

    def embed_chunks(
        self,
        texts: Sequence[str],
        *,
        cancelled: Callable[[], bool] = lambda: False,
        on_progress: Callable[[int], None] = lambda _done: None,
    ) -> Vectors:
        """Return the vectors of chunks, float32 (n, d), normalised.

        `cancelled` is called between batches, `on_progress` with the number of finished texts, on the caller's thread.

        Raises:
            CancelledError: `cancelled` returned true.
        """
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        batches = self._batches(texts)
        running: dict[Future[Vectors], list[int]] = {}
        done = 0
        try:
            while True:
                if cancelled():
                    raise CancelledError(_("The embedding was cancelled; nothing of it was kept."))
                # One batch per thread, and one in reserve so that no thread waits for this loop.
                while len(running) <= self._threads and (batch := next(batches, None)) is not None:
                    positions, sequences = batch
                    running[
                        self._pool.submit(self._encode, sequences, self._priority.new_turn().yield_to_questions)
                    ] = positions
                if not running:
                    return vectors
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    positions = running.pop(future)
                    vectors[positions] = future.result()
                    done += len(positions)
                on_progress(done)
        finally:
            for future in running:
                future.cancel()

    def unknown_share(self, text: str) -> float:
        """Return the share of unknown tokens at the beginning of a text, 0 to 1."""
        return self._tokenizer.unknown_share(text[:SAMPLE_CHARACTERS])

    def token_count(self, text: str) -> int:
        """Return the number of tokens at the beginning of a text, without special ones."""
        return self.whole_token_count(text[:SAMPLE_CHARACTERS])

    def whole_token_count(self, text: str) -> int:
        """Return the number of tokens of a text, however long, without special ones."""
        return self._tokenizer.counts([text])[0]

    def close(self) -> None:
        """Stop the threads after the running batches, and after the questions that were begun."""
        self._questions.close()
        self._pool.shutdown(wait=True, cancel_futures=True)
        if self._verifier is not None:
            self._verifier.close()

    def discard(self) -> None:
        """Close it and release its weights: it is not used again."""
        self.close()
        self.release()

    def _encode_questions(self, texts: Sequence[str]) -> Vectors:
        return self._encode(self._tokenizer.ids(texts), never_yield)

    def _batches(self, texts: Sequence[str]) -> Iterator[tuple[list[int], list[list[int]]]]:
        """Yield batches: (positions in `texts`, token ids)."""
        for start in range(0, len(texts), WINDOW_TEXTS):
            window = [
                self.files.chunk_prompt + embedding_text(text.strip()) for text in texts[start : start + WINDOW_TEXTS]
            ]
            sequences = self._tokenizer.ids(window)
            for batch in plan_batches([len(sequence) for sequence in sequences], self._batch_tokens):
                yield [start + position for position in batch], [sequences[position] for position in batch]

    def _encode(self, sequences: Sequence[Sequence[int]], yield_turn: Callable[[], None]) -> Vectors:
        try:
            with self._weights.in_use() as encoder:
                if yield_turn is never_yield and isinstance(encoder, JoiningEncoder):
                    return _normalised(encoder.forward_together(sequences))
                return _normalised(encoder.forward(sequences, yield_turn))
        except DeviceMemoryError as error:
            if len(sequences) == 1:
                raise UnavailableError(
                    _("The GPU has no memory left for the embedding model; nothing was stored."),
                    _("Allow more with MILLPOND_GPU_MEMORY_MB, or set MILLPOND_EMBEDDING_DEVICE to cpu."),
                ) from error
        self._batch_tokens = max(MIN_BATCH_TOKENS, self._batch_tokens // 2)
        half = len(sequences) // 2
        return np.concatenate([self._encode(sequences[:half], yield_turn), self._encode(sequences[half:], yield_turn)])

    def release(self) -> int:
        """Release the weights until they are needed again, unless they are in use; return their bytes.

        The tokenizer and the threads stay. The next text waits until the weights are read again, half a second.
        """
        return self._weights.release()

    def release_idle(self, minutes: float) -> int:
        """Release the weights if nothing was embedded for `minutes`; 0: never. Return their bytes."""
        return self._weights.release(idle_seconds=60 * minutes) if minutes else 0


def _normalised(vectors: Vectors) -> Vectors:
    """Return vectors of length 1; one without direction stays as it is."""
    found: Vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return found


def _allocated() -> int:
    """Return the bytes that malloc has in use, 0 where the C library does not report them."""
    # psutil has it only where it was built against a C library with heap statistics.
    info = getattr(psutil, "heap_info", None)
    if info is None:
        return 0
    heap = info()
    return int(heap.heap_used + heap.mmap_used)


def plan_batches(lengths: Sequence[int], budget_tokens: int) -> Iterator[list[int]]:
    """Yield positions into `lengths`, longest first, with at most `budget_tokens` each (or a single sequence).

    The budget counts padding to the longest of a batch, so that it also bounds encoders that pad.
    """
    batch: list[int] = []
    longest = 0
    for position in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        longest = longest or lengths[position]
        if batch and longest * (len(batch) + 1) > budget_tokens:
            yield batch
            batch, longest = [], lengths[position]
        batch.append(position)
    if batch:
        yield batch


def choose_threads(wanted: int) -> int:
    """Return the number of threads for the setting `wanted`; 0 means one per usable core."""
    return wanted or usable_cores()
