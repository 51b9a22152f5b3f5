"""Text recognition with RapidOCR: PP-OCR's models, which its package carries, on ONNX Runtime.

Imported only in the process that recognises text: with its models it takes several hundred megabytes. Nothing is
downloaded: models are loaded by their path, and one that is missing is an error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from services.core.errors import UnavailableError
from services.core.i18n import _
from services.knowledge.recognition.recognized import RecognizedLine, RecognizedPicture, RecognizedWord, WordBox

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MODELS = {
    "Det": "PP-OCRv6_det_small.onnx",
    "Rec": "PP-OCRv6_rec_small.onnx",
}
# Lines are looked for in a picture of at most the first side, in pixels, and read in one of at most the other.
_MOST_SEARCHED = 1_600
_MOST_READ = 2_400
# Lines of which the engine is less sure are no text: patterns, parts of drawings.
_LEAST_CONFIDENCE = 0.5
# A line that is so many times as high as wide is written upwards or downwards; a page of such lines lies on its side.
_UPRIGHT = 1.5
_LEAST_LINES = 3
# A page that is read less surely than this may stand upside down.
_UPSIDE_DOWN = 0.8
# Lines wider than this many heights tell how askew a page lies; less than the angle (degrees) makes no difference.
_LONG = 6.0
_LEAST_ASKEW = 0.25


class RecognitionEngine:
    """Recognises the text of pictures; not thread-safe.

    Args:
        threads: of the computation.

    Raises:
        UnavailableError: the models are not there.
    """

    def __init__(self, *, threads: int = 1) -> None:
        import cv2
        from rapidocr import RapidOCR

        cv2.setNumThreads(threads)
        parameters: dict[str, Any] = {
            "EngineConfig.onnxruntime.intra_op_num_threads": threads,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            "Global.log_level": "critical",
            "Global.max_side_len": _MOST_READ,
            "Global.text_score": _LEAST_CONFIDENCE,
            # It turns single lines round; a page that lies upside down is turned as a whole, see `recognize`.
            "Global.use_cls": False,
            "Det.limit_type": "max",
            "Det.limit_side_len": _MOST_SEARCHED,
            # A line at a time: several are padded to the longest, and take its memory each.
            "Rec.rec_batch_num": 1,
            **{f"{part}.model_path": str(path) for part, path in _models().items()},
        }
        self._engine = RapidOCR(params=parameters)

    def recognize(self, picture: NDArray[np.uint8]) -> RecognizedPicture:
        """Return the lines of a picture, RGB as uint8 (height, width, 3)."""
        height, width = picture.shape[:2]
        lines = self._lines(picture)
        turns = 0
        for quarters in _other_turns(lines):
            others = self._lines(_turned(picture, quarters))
            if not _lies_on_its_side(others) and _sureness(others) > _sureness(lines):
                lines, turns = others, quarters
        # Boxes of a turned picture are brought back once the order of its lines no longer needs them.
        shown = (width, height) if turns % 2 == 0 else (height, width)
        found = [_turned_back(line, turns, width, height) for line in _straightened(lines, *shown)]
        return RecognizedPicture(width, height, tuple(found), 90 * turns)

    def _lines(self, picture: NDArray[np.uint8]) -> list[_Found]:
        import numpy as np

        found: Any = self._engine(np.ascontiguousarray(picture[:, :, ::-1]), return_word_box=True)
        if found.boxes is None or not found.txts:
            return []
        # The engine leaves out a line that it has no words of; which one, it does not say.
        words = found.word_results if len(found.word_results) == len(found.txts) else [()] * len(found.txts)
        return [
            _Found(text.strip(), float(score), np.asarray(box, np.float64), _words(parts))
            for text, score, box, parts in zip(found.txts, found.scores, found.boxes, words, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class _Found:
    """A line with the four corners of its box, clockwise from where its text begins."""

    text: str
    confidence: float
    corners: NDArray[np.float64]
    words: tuple[RecognizedWord, ...]

    @property
    def width(self) -> float:
        return float(math.dist(self.corners[0], self.corners[1]))

    @property
    def height(self) -> float:
        return float(math.dist(self.corners[1], self.corners[2]))


def _turned(picture: NDArray[np.uint8], quarters: int) -> NDArray[np.uint8]:
    """Return a picture turned clockwise by so many quarters."""
    import numpy as np

    return np.rot90(picture, -quarters)


def _models() -> dict[str, Path]:
    """Return the paths of the models in the package."""
    spec = find_spec("rapidocr")
    folder = Path(spec.origin).parent / "models" if spec and spec.origin else Path()
    models = {part: folder / name for part, name in MODELS.items()}
    if missing := [path.name for path in models.values() if not path.is_file()]:
        raise UnavailableError(
            _("A model of text recognition is missing: {name}.").format(name=missing[0]),
            _("Install the packages of this version again (make install)."),
        )
    return models


def _words(parts: Any) -> tuple[RecognizedWord, ...]:
    return tuple(RecognizedWord(str(text), _around(box)) for text, _score, box in parts if box is not None)


def _around(corners: Any) -> WordBox:
    xs, ys = [float(x) for x, _y in corners], [float(y) for _x, y in corners]
    return WordBox(min(xs), min(ys), max(xs), max(ys))


def _other_turns(lines: Sequence[_Found]) -> Sequence[int]:
    """Return by how many quarters a picture might have to be turned clockwise, going by its lines as it stands."""
    if _lies_on_its_side(lines):
        return (1, 3)
    total = sum(len(line.text) for line in lines)
    unsure = len(lines) >= _LEAST_LINES and _sureness(lines) < _UPSIDE_DOWN * total
    return (2,) if unsure else ()


def _sureness(lines: Sequence[_Found]) -> float:
    """Return how many characters were recognised, by how sure that is."""
    return sum(len(line.text) * line.confidence for line in lines)


def _lies_on_its_side(lines: Sequence[_Found]) -> bool:
    upright = sum(_is_upright(line) for line in lines)
    return upright >= _LEAST_LINES and 2 * upright > len(lines)


def _is_upright(line: _Found) -> bool:
    box = _around(line.corners)
    return box.height > _UPRIGHT * box.width


def _straightened(lines: Sequence[_Found], width: int, height: int) -> list[RecognizedLine]:
    """Return lines with their boxes, and those that they would have if the page did not lie askew."""
    angles = [
        math.atan2(line.corners[1][1] - line.corners[0][1], line.corners[1][0] - line.corners[0][0])
        for line in lines
        if line.width > _LONG * line.height
    ]
    angle = median(angles) if angles else 0.0
    askew = abs(math.degrees(angle)) > _LEAST_ASKEW
    cosine, sine = (math.cos(-angle), math.sin(-angle)) if askew else (1.0, 0.0)

    def straight(x: float, y: float) -> tuple[float, float]:
        x, y = x - width / 2, y - height / 2
        return x * cosine - y * sine + width / 2, x * sine + y * cosine + height / 2

    return [
        RecognizedLine(
            line.text,
            line.confidence,
            _around(line.corners),
            _around([straight(float(x), float(y)) for x, y in line.corners]),
            line.words,
        )
        for line in lines
    ]


def _turned_back(line: RecognizedLine, quarters: int, width: int, height: int) -> RecognizedLine:
    """Return a line of a picture that was turned clockwise, with boxes in the picture as it was (`width`, `height`);
    `straight` stays in the turned one.
    """
    if not quarters:
        return line

    def back(box: WordBox) -> WordBox:
        if quarters == 1:
            return WordBox(box.top, height - box.right, box.bottom, height - box.left)
        if quarters == 2:
            return WordBox(width - box.right, height - box.bottom, width - box.left, height - box.top)
        return WordBox(width - box.bottom, box.left, width - box.top, box.right)

    words = tuple(RecognizedWord(word.text, back(word.box)) for word in line.words)
    return RecognizedLine(line.text, line.confidence, back(line.box), line.straight, words)
