"""What the words of a statement have to do with a question: the same terms, or other forms of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from services.knowledge.retrieval.question_kinds import ASKING
from services.knowledge.text.terms import terms
from services.knowledge.text.unspaced import is_unspaced

ASKING_TERMS = frozenset(term for word in ASKING for term in terms(word))
# What words count that a question has because it is one.
_ASKING_WEIGHT = 0.3

# What another form of a word counts: "teacher" for "teaches", "cooking" for "cook".
FORM_WEIGHT = 0.7
_SHORTEST_FORM = 4  # letters that two forms share at least
_LONGEST_ENDING = 4

Shared = Mapping[str, float]


class QuestionWords:
    """A question's terms with the places that they cover, and what each place is worth: the idf of its rarest term."""

    def __init__(self, located: Sequence[tuple[str, range]], idf: Mapping[str, float]) -> None:
        self.terms = frozenset(term for term, _places in located)
        self._places: dict[str, list[int]] = {}
        self._worth: dict[int, float] = {}
        self._idf = {term: idf[term] * (_ASKING_WEIGHT if term in ASKING_TERMS else 1.0) for term, _places in located}
        for term, places in located:
            self._places.setdefault(term, []).extend(places)
            for place in places:
                self._worth[place] = max(self._worth.get(place, 0.0), self._idf[term])
        self._whole = sum(self._worth.values())

    def coverage(self, shared: Shared) -> float:
        """Return the share of the question that these terms cover, each counted by its weight, 0 to 1."""
        covered: dict[int, float] = {}
        for term, weight in shared.items():
            for place in self._places.get(term, ()):
                covered[place] = max(covered.get(place, 0.0), self._idf[term] * weight)
        return sum(covered.values()) / self._whole if self._whole else 0.0


class QuestionRelation:
    """Relates texts of one passage to a question."""

    def __init__(self, question: QuestionWords, document: str, passage: Iterable[Iterable[str]]) -> None:
        """Relate texts of the `document` of that name, whose statements have the terms `passage`."""
        self._question = question
        self._forms = _forms(question.terms, {word for words in passage for word in words})
        self._about: dict[str, Shared] = {}
        self.document = self.about(document)

    def about(self, text: str) -> Shared:
        """Return what a title or a context shares with the question; the same ones come for many statements."""
        if not text:
            return {}
        if text not in self._about:
            self._about[text] = self.shared(terms(text))
        return self._about[text]

    def shared(self, words: Iterable[str]) -> Shared:
        """Return the terms of the question that are among `words`, 1, or of which another form is, less."""
        found: dict[str, float] = {}
        for word in words:
            if word in self._question.terms:
                found[word] = 1.0
            elif word in self._forms:
                found.setdefault(self._forms[word], FORM_WEIGHT)
        return found

    def coverage(self, shared: Shared) -> float:
        """Return the share of the question that these terms cover, 0 to 1."""
        return self._question.coverage(shared)


def union(first: Shared, second: Shared) -> Shared:
    """Return the terms of both with the higher weight of each."""
    return {term: max(first.get(term, 0.0), second.get(term, 0.0)) for term in {*first, *second}}


def stem_of(name: str) -> str:
    """Return a file's name without its ending."""
    return name.rsplit(".", 1)[0]


def _forms(asked: AbstractSet[str], words: AbstractSet[str]) -> dict[str, str]:
    """Return by word the term of the question that it is another form of, for terms that no word equals."""
    missing = [
        term for term in asked - words if len(term) >= _SHORTEST_FORM and term.isalpha() and not is_unspaced(term)
    ]
    forms: dict[str, str] = {}
    for word in words:
        for term in missing:
            if word.startswith(term[:_SHORTEST_FORM]) and _same_word(term, word):
                forms[word] = term
    return forms


def _same_word(first: str, second: str) -> bool:
    """Return whether two words differ in their endings only."""
    if not second.isalpha():
        return False
    shared = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        shared += 1
    longest = max(len(first), len(second))
    return (
        shared >= _SHORTEST_FORM
        and longest - shared <= min(_LONGEST_ENDING, shared - 1)
        and (shared >= min(len(first), len(second)) - 1)
    )
