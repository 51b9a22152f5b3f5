"""Names of the counters and histograms behind `services.core.events`, and the metrics themselves."""

from __future__ import annotations

from dataclasses import dataclass

import prometheus_client
from prometheus_client import CollectorRegistry, Histogram

from services.core.events import Counter, Timer


@dataclass(frozen=True, slots=True)
class TimerMetric:
    """A histogram of durations; `bounds` are upper bounds in seconds, two or three to an octave where most values
    fall."""

    name: str
    help: str
    bounds: tuple[float, ...]


_MODEL_BOUNDS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 120.0)
_WAIT_BOUNDS = (0.001, 0.01, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)

TIMED: dict[Timer, TimerMetric] = {
    Timer.RETRIEVAL: TimerMetric(
        "millpond_retrieval_seconds",
        "From a question to the chunks that answer it.",
        (0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0),
    ),
    Timer.FIRST_TOKEN: TimerMetric(
        "millpond_first_token_seconds",
        "From an answer's beginning, after the queue, to its first token.",
        _MODEL_BOUNDS,
    ),
    Timer.ANSWER: TimerMetric(
        "millpond_answer_seconds", "From an answer's beginning, after the queue, to its end.", _MODEL_BOUNDS
    ),
    Timer.ANSWER_WAIT: TimerMetric(
        "millpond_answer_wait_seconds", "How long a question waited for a free slot.", _WAIT_BOUNDS
    ),
    Timer.INGESTION_WAIT: TimerMetric(
        "millpond_ingestion_wait_seconds",
        "How long a document waited in the queue before it was worked on.",
        (0.01, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0, 1800.0, 3600.0, 14400.0),
    ),
    Timer.PARSING: TimerMetric(
        "millpond_parsing_seconds",
        "Reading and chunking one file in its child process.",
        (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0),
    ),
    Timer.EMBEDDING: TimerMetric(
        "millpond_embedding_seconds",
        "Embedding one group of at most 256 chunks.",
        (0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0),
    ),
}


@dataclass(frozen=True, slots=True)
class CounterMetric:
    """The counter that a `Counter` belongs to, and its label values there."""

    counter: str
    labels: tuple[tuple[str, str], ...] = ()


# Counters that are missing here are exposed by a component, which reads them by `EventMetrics.total`.
COUNTERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "millpond_documents_total": ("Documents whose ingestion ended, or that were deleted, by outcome.", ("outcome",)),
    "millpond_chunks_embedded_total": ("Chunks that were embedded and stored.", ()),
    "millpond_recognized_pages_total": ("Pages that text recognition read.", ()),
    "millpond_model_change_chunks_embedded_total": (
        "Chunks that were embedded by the model that the documents are being changed to.",
        (),
    ),
    "millpond_received_bytes_total": ("Bytes of files that were added to the library.", ()),
    "millpond_answers_total": ("Answers by the state that they ended in.", ("state",)),
}
COUNTED: dict[Counter, CounterMetric] = {
    Counter.DOCUMENTS_READY: CounterMetric("millpond_documents_total", (("outcome", "ready"),)),
    Counter.DOCUMENTS_FAILED: CounterMetric("millpond_documents_total", (("outcome", "failed"),)),
    Counter.DOCUMENTS_DELETED: CounterMetric("millpond_documents_total", (("outcome", "deleted"),)),
    Counter.CHUNKS_EMBEDDED: CounterMetric("millpond_chunks_embedded_total"),
    Counter.PAGES_RECOGNIZED: CounterMetric("millpond_recognized_pages_total"),
    Counter.CHUNKS_CHANGED: CounterMetric("millpond_model_change_chunks_embedded_total"),
    Counter.BYTES_RECEIVED: CounterMetric("millpond_received_bytes_total"),
    Counter.ANSWERS_COMPLETE: CounterMetric("millpond_answers_total", (("state", "complete"),)),
    Counter.ANSWERS_STOPPED: CounterMetric("millpond_answers_total", (("state", "stopped"),)),
    Counter.ANSWERS_FAILED: CounterMetric("millpond_answers_total", (("state", "failed"),)),
}


class EventMetrics:
    """Counters and histograms. Every series exists from the start, so that a rate is right from the first event on.

    Nothing here allocates with a lock held: the garbage collector may run a finalizer that counts in the middle of
    another call.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._histograms = {
            timer: Histogram(metric.name, metric.help, buckets=metric.bounds, registry=registry)
            for timer, metric in TIMED.items()
        }
        counters = {
            name: prometheus_client.Counter(name, text, labels, registry=registry)
            for name, (text, labels) in COUNTERS.items()
        }
        self._counters = {
            counter: counters[metric.counter].labels(**dict(metric.labels))
            if metric.labels
            else counters[metric.counter]
            for counter, metric in COUNTED.items()
        }
        for counter in set(Counter) - set(COUNTED):
            self._counters[counter] = prometheus_client.Counter(counter.value, counter.value, registry=None)

    def observe(self, timer: Timer, seconds: float) -> None:
        """Record a duration in its histogram (about 2 microseconds)."""
        self._histograms[timer].observe(max(0.0, seconds))

    def count(self, counter: Counter, amount: float = 1) -> None:
        """Raise a counter (under 1 microsecond)."""
        self._counters[counter].inc(max(0.0, amount))

    def total(self, counter: Counter) -> float:
        """Return the counter's value since the start."""
        return next(iter(self._counters[counter].collect())).samples[0].value
