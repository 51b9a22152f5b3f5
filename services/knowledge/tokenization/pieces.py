"""The pieces of a Unigram vocabulary in files that are mapped: a trie, and the token and score of each piece.

Every process that maps them shares them. They are checked by their sha256 before the first one does
(`services.knowledge.embedding.engine.prepared_folder`).
"""

from __future__ import annotations

import json
import mmap
import re
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from marisa_trie import Trie

TRIE, VALUES, FACTS = "pieces.marisa", "values.bin", "facts.json"
FILES = (TRIE, VALUES, FACTS)
# What an unknown character is worth below the rarest piece; the value of SentencePiece.
_UNKNOWN_PENALTY = 10.0


class Pieces:
    """The pieces by their beginnings; `special` are the ids of special tokens by name."""

    def __init__(self, folder: Path) -> None:
        """Map the files of a folder.

        Raises:
            OSError: one is missing.
        """
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        self.special: Mapping[str, int] = facts["special"]
        self.normalisation = Normalisation(facts["normalised"])
        self.longest = int(facts["longest"])  # characters
        self.unknown_score = float(facts["unknown_score"])
        self.trie = Trie().mmap(str(folder / TRIE))
        with (folder / VALUES).open("rb") as file:
            values = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        half = len(values) // 2
        self.tokens: Sequence[int] = values[:half].cast("i")
        self.scores: Sequence[float] = values[half:].cast("f")
        self.files = tuple((str(folder / name), (folder / name).stat().st_size) for name in (TRIE, VALUES))


class Normalisation:
    """What characters are normalised to, in three strings: as objects of their own, 5,000 pairs would take 1 MB."""

    def __init__(self, pairs: Mapping[str, str]) -> None:
        """Map single characters to texts."""
        ordered = sorted(pairs)
        self._characters = "".join(ordered)
        self._texts = "".join(pairs[character] for character in ordered)
        self._bounds = array("I", [0])
        for character in ordered:
            self._bounds.append(self._bounds[-1] + len(pairs[character]))
        self._pattern = re.compile(f"[{''.join(_ranges(ordered))}]") if ordered else None

    def apply(self, text: str) -> str:
        """Return a text with its characters replaced; most texts have few to replace."""
        return text if self._pattern is None else self._pattern.sub(self._replaced, text)

    def _replaced(self, found: re.Match[str]) -> str:
        place = bisect_left(self._characters, found[0])
        return self._texts[self._bounds[place] : self._bounds[place + 1]]


def _ranges(characters: Sequence[str]) -> Iterator[str]:
    """Yield ascending characters as the ranges of a pattern's class: `re` compares what lies beyond the first 65,536
    code points with each of a class's entries, of which there would be a thousand."""
    begin = last = characters[0]
    for character in (*characters[1:], ""):
        if character and ord(character) == ord(last) + 1:
            last = character
            continue
        yield f"{re.escape(begin)}-{re.escape(last)}"
        begin = last = character


def write_pieces(
    folder: Path,
    pieces: Sequence[str],
    scores: Sequence[float],
    special: Mapping[str, int],
    normalised: Mapping[int, str],
) -> None:
    """Write the files for `Pieces`; pieces whose log-probability is not below 0 stand for no text and are left out."""
    kept = [number for number, score in enumerate(scores) if score < 0 and pieces[number]]
    trie = Trie([pieces[number] for number in kept])
    tokens, worth = array("i", bytes(4 * len(kept))), array("f", bytes(4 * len(kept)))
    for number in kept:
        place = trie[pieces[number]]
        tokens[place], worth[place] = number, scores[number]
    trie.save(str(folder / TRIE))
    (folder / VALUES).write_bytes(tokens.tobytes() + worth.tobytes())
    facts = {
        "special": dict(special),
        "longest": max(len(pieces[number]) for number in kept),
        "unknown_score": min(scores) - _UNKNOWN_PENALTY,
        "normalised": {chr(code): text for code, text in sorted(normalised.items())},
    }
    (folder / FACTS).write_text(json.dumps(facts), encoding="utf-8")
