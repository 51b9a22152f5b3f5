"""A snapshot as a profile that other programs read: speedscope's JSON, and pprof's gzipped protobuf.

Their formats: https://www.speedscope.app/file-format-schema.json and profile.proto of https://github.com/google/pprof.
Only a handful of its messages are needed, so they are encoded here. tracemalloc records lines, not functions: a frame
is named by its line. What a snapshot left out is a frame of its own, so that a profile's sums are the snapshot's.
"""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterable, Iterator
from enum import StrEnum

from services.core.i18n import _
from services.memory.tracing.snapshot_file import Traces
from services.memory.tracing.source import short_path
from services.memory.tracing.types import SnapshotInfo

SPEEDSCOPE_SCHEMA = "https://www.speedscope.app/file-format-schema.json"
_VARINT, _BYTES = 0, 2  # wire types of protobuf
_LEVEL = 6  # of gzip: 9 takes three times as long for two percent


class ProfileFormat(StrEnum):
    """The formats of profiles."""

    SPEEDSCOPE = "speedscope"
    PPROF = "pprof"

    @property
    def ending(self) -> str:
        """How the name of such a file ends."""
        return ".speedscope.json" if self is ProfileFormat.SPEEDSCOPE else ".pb.gz"


def as_profile(traces: Traces, info: SnapshotInfo, wanted: ProfileFormat) -> bytes:
    """Return a whole snapshot as a file of a format."""
    return as_speedscope(traces, info) if wanted is ProfileFormat.SPEEDSCOPE else as_pprof(traces, info)


def as_speedscope(traces: Traces, info: SnapshotInfo) -> bytes:
    """Return a sampled profile in bytes, each traceback with the most recent call last."""
    places = _places(traces, info)
    frames = [{"name": name, "file": file, "line": line} if file else {"name": name} for name, file, line in places]
    name = profile_name(info)
    head = {
        "$schema": SPEEDSCOPE_SCHEMA,
        "exporter": "millpond",
        "name": name,
        "activeProfileIndex": 0,
        "shared": {"frames": frames},
    }
    profile = {"type": "sampled", "name": name, "unit": "bytes", "startValue": 0}
    file = io.StringIO()
    # Written piece by piece: as lists, the samples of a large snapshot would take ten times the space of the file.
    file.write(json.dumps(head)[:-1] + ', "profiles": [' + json.dumps(profile)[:-1] + ', "samples": [')
    weights: list[int] = []
    for stack, size, _count in _samples(traces, info):
        file.write(f"{',' if weights else ''}[{','.join(map(str, reversed(stack)))}]")
        weights.append(size)
    file.write(f'], "weights": {json.dumps(weights)}, "endValue": {sum(weights)}}}]}}\n')
    return file.getvalue().encode()


def as_pprof(traces: Traces, info: SnapshotInfo) -> bytes:
    """Return a profile with the sample types inuse_objects and inuse_space; its default is the latter."""
    texts = _Texts()
    space, count = texts.number("bytes"), texts.number("count")
    types = [(texts.number("inuse_objects"), count), (texts.number("inuse_space"), space)]
    compressed = io.BytesIO()
    with gzip.GzipFile(fileobj=compressed, mode="wb", compresslevel=_LEVEL, mtime=0) as file:
        for kind, unit in types:
            file.write(_message(1, _field(1, kind) + _field(2, unit)))
        places = _places(traces, info)
        ids = [_varint(number) for number in range(1, len(places) + 1)]
        for stack, size, blocks in _samples(traces, info):
            locations = b"".join([ids[frame] for frame in stack])  # the most recent call first, as pprof wants it
            file.write(_message(2, _message(1, locations) + _message(2, _varint(blocks) + _varint(size))))
        for number, (name, path, line) in enumerate(places, start=1):
            file.write(_message(4, _field(1, number) + _message(4, _field(1, number) + _field(2, line))))
            named = texts.number(name)
            file.write(
                _message(5, _field(1, number) + _field(2, named) + _field(3, named) + _field(4, texts.number(path)))
            )
        file.write(_field(9, int(info.time * 1e9)))
        file.write(_message(11, _field(1, texts.number("space")) + _field(2, space)) + _field(12, 1))
        file.write(_field(13, texts.number(profile_name(info))) + _field(14, types[1][0]))
        for text in texts.all():
            file.write(_message(6, text.encode()))
    return compressed.getvalue()


def profile_name(info: SnapshotInfo) -> str:
    """Return what a program shows as the profile's name."""
    return _readable(info.name or _("Millpond, allocations, snapshot {id}").format(id=info.id))


def _places(traces: Traces, info: SnapshotInfo) -> list[tuple[str, str, int]]:
    """Return name, path and line of each frame; of what was left out as the last one."""
    names = [_readable(short_path(file)) for file in traces.files]
    paths = [_readable(file) for file in traces.files]
    places = [
        (f"{names[file]}:{line}", paths[file], max(0, line))
        for file, line in zip(traces.frame_files.tolist(), traces.frame_lines.tolist(), strict=True)
    ]
    if info.left_out > 0:
        places.append((_readable(_("Tracebacks too small to be stored")), "", 0))
    return places


def _samples(traces: Traces, info: SnapshotInfo) -> Iterator[tuple[list[int], int, int]]:
    """Yield each traceback as numbers of frames, most recent call first, with its bytes and blocks."""
    for number in range(len(traces)):
        stack = traces.frames[traces.offsets[number] : traces.offsets[number + 1]].tolist()
        yield stack, int(traces.bytes[number]), int(traces.blocks[number])
    if info.left_out > 0:
        yield [len(traces.frame_lines)], info.left_out, max(0, info.blocks - int(traces.blocks.sum()))


def _readable(text: str) -> str:
    """Return text as it may stand in UTF-8: paths can have bytes that are none."""
    return text.encode("utf-8", "replace").decode()


class _Texts:
    """The table of texts of a profile, in which each is there once; number 0 is the empty one."""

    def __init__(self) -> None:
        self._numbers = {"": 0}

    def number(self, text: str) -> int:
        """Return the number of a text."""
        return self._numbers.setdefault(text, len(self._numbers))

    def all(self) -> Iterable[str]:
        """Return all texts in the order of their numbers."""
        return self._numbers.keys()


def _varint(value: int) -> bytes:
    """Return a whole number from 0 on as protobuf writes it: seven bits a byte, the lowest first."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def _field(number: int, value: int) -> bytes:
    return _varint(number << 3 | _VARINT) + _varint(value)


def _message(number: int, content: bytes) -> bytes:
    """Return a field that has a length: a message, a text, or packed numbers."""
    return _varint(number << 3 | _BYTES) + _varint(len(content)) + content
