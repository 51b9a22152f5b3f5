from __future__ import annotations

import pytest

from services.core.errors import BadInputError
from tests.knowledge.formats.compound_files import compound_file
from tests.knowledge.parsing import samples
from tests.knowledge.parsing.pools import Parse

NOISE = bytes(range(256)) * 40
FOREIGN = {
    "damaged Word": (compound_file({"WordDocument": bytes(4096), "1Table": NOISE}), "damaged|no text"),
    "damaged PowerPoint": (compound_file({"PowerPoint Document": NOISE}), "damaged|no text"),
    "protected old Word": (compound_file({"WordDocument": bytes(11) + b"\1" + NOISE}), "protected"),
    "protected old PowerPoint": (
        compound_file({"PowerPoint Document": NOISE, "Current User": bytes(12) + b"\xdf\xc4\xd1\xf3" + bytes(9)}),
        "protected",
    ),
    "Visio": (compound_file({"VisioDocument": NOISE}), "Visio"),
    "Publisher": (compound_file({"Quill": {"QuillSub": NOISE}, "Contents": NOISE}), "Publisher"),
    "Hangul": (compound_file({"FileHeader": NOISE, "BodyText": {"Section0": NOISE}}), "Hangul"),
    "protected Word": (compound_file({"EncryptionInfo": NOISE, "EncryptedPackage": NOISE}), "protected"),
    "unknown compound file": (compound_file({"Data": NOISE}), "an old Office file"),
    "damaged compound file": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + NOISE, "damaged"),
    "Pages": (samples.zipped({"Index/Document.iwa": NOISE, "Metadata/Properties.plist": "x"}), "Pages"),
    "Keynote": (samples.zipped({"Index/Slide-1.iwa": NOISE, "Index/Document.iwa": NOISE}), "Keynote"),
    "XPS": (samples.zipped({"FixedDocumentSequence.fdseq": "<x/>", "_rels/.rels": "<x/>"}), "XPS"),
    "WordPerfect": (b"\xffWPC" + NOISE, "WordPerfect"),
    "Kindle": (b"Book".ljust(60, b"\0") + b"BOOKMOBI" + NOISE, "Kindle"),
    "PostScript": (b"%!PS-Adobe-3.0\n" + NOISE, "PostScript"),
    "DjVu": (b"AT&TFORM" + NOISE, "DjVu"),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_what_is_not_read_is_refused_by_name(parse: Parse, case: str) -> None:
    """The message names the format, the hint what to do; the ending of the file makes no difference."""
    data, expected = FOREIGN[case]
    for name in ("a.doc", "a.docx", "a"):
        with pytest.raises(BadInputError, match=expected) as caught:
            parse(data, name)
        assert caught.value.hint
