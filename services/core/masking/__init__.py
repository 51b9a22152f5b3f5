"""Masking: personal data and secrets are found in text and replaced by their kind.

`find` says where they are, `mask` replaces them, `StreamMask` does so while a text arrives. Only what can be told from
the text itself is found: numbers by their check digits, shapes and the words beside them; names of people are not.
"""

from services.core.masking.finder import find
from services.core.masking.kinds import PersonalFinding, PersonalKind
from services.core.masking.masker import mask, mask_texts
from services.core.masking.stream import StreamMask

__all__ = ["PersonalFinding", "PersonalKind", "StreamMask", "find", "mask", "mask_texts"]
