"""What the documents of the set say: the same parts in each, every part with a word that is in no other file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

_CONSONANTS = "bdfgklmnprstvz"
_VOWELS = "aeiou"
ROWS = 3
COLUMNS = 3
_SENTENCES = {
    "title": "Handbook of the {word} works",
    "heading": "Care of the {word} pump",
    "subheading": "Daily {word} checks",
    "paragraph": "The {word} valve opens at 4 bar and closes by itself when the pressure falls.",
    "bold": "Never open the {word} cover while it runs.",
    "umlauts": "Größe, Höhe und Maß der {word} überprüfen.",
    "chinese": "青石桥的 {word} 水泵每天检查一次。",
    "traditional": "圖書館的 {word} 水泵每天檢查一次，週末休息。",
    "japanese": "{word} ポンプは毎日点検してください。週末は休みです。",
    "korean": "{word} 펌프는 매일 점검해야 합니다. 주말에는 쉽니다.",
    "russian": "Насос {word} нужно проверять каждый день, кроме выходных.",
    "greek": "Η αντλία {word} ελέγχεται κάθε ημέρα.",
    "polish": "Pompę {word} należy sprawdzać każdego dnia, także w święta.",
    "bullet_1": "Grease the {word} bearing",
    "bullet_2": "Empty the {word} tray",
    "bullet_3": "Note the {word} reading",
    "step_1": "Close the {word} tap",
    "step_2": "Wait for the {word} lamp",
    "quote": "Whoever hurries the {word} waits for it.",
    "code": "set_level({word}, 42)",
    "link": "the {word} page",
    "footnote": "Measured at the {word} flange.",
    "header": "Works {word} letterhead",
    "footer": "Customer {word} number",
    "comment": "Ask {word} about this",
    "textbox": "Keep {word} dry",
    "notes": "Tell the {word} story here",
    "field": "{word}",
}
CELLS = tuple(f"cell_{row}_{column}" for row in range(ROWS) for column in range(COLUMNS))
BODY = (
    "title", "heading", "subheading", "paragraph", "bold", "umlauts", "chinese", "bullet_1", "bullet_2", "bullet_3",
    "step_1", "step_2", "quote", "code", *CELLS,
)  # fmt: skip


@dataclass(slots=True)
class Content:
    """The parts of one file. `used` collects what a writer has put in: its word must be found again."""

    name: str
    used: dict[str, str] = field(default_factory=dict)

    def word(self, part: str) -> str:
        """Return the word of a part, six letters, the same at each run."""
        digest = hashlib.sha256(f"{self.name}/{part}".encode()).digest()
        word = "".join(
            _CONSONANTS[digest[2 * at] % len(_CONSONANTS)] + _VOWELS[digest[2 * at + 1] % len(_VOWELS)]
            for at in range(4)
        )
        self.used[part] = word
        return word

    def text(self, part: str) -> str:
        """Return the text of a part."""
        return _SENTENCES.get(part, "{word}").format(word=self.word(part))

    def table(self) -> list[list[str]]:
        """Return the rows of the table, the header first."""
        return [[self.word(f"cell_{row}_{column}") for column in range(COLUMNS)] for row in range(ROWS)]
