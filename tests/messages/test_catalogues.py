"""The catalogues hold every text, as it is now, with the same placeholders; the generated ones are made of them."""

from __future__ import annotations

import gettext

import pytest
from babel.messages import Catalog

from services.core.i18n import CATALOGUES, DOMAIN
from services.core.languages import LANGUAGES, SIMPLIFIED
from tests.messages.__main__ import files
from tests.messages.catalogues import faults, read, template, traditional, updated
from tests.messages.extraction import calls, calls_in
from tests.messages.traditional import in_traditional


@pytest.fixture(scope="module")
def simplified() -> Catalog:
    return read(SIMPLIFIED)


def test_every_text_has_its_translation(simplified: Catalog) -> None:
    """A text that was added or changed without its Chinese would be read in English."""
    found = faults(updated(simplified))
    assert not found, "run `make messages`, then write the translations in locale/zh_CN:\n" + "\n".join(found)


def test_no_translation_is_of_a_text_that_is_gone() -> None:
    """Stale entries would be translated again and again, and never be seen."""
    now = {message.id for message in template() if message.id}
    stale = [message.id for message in read(SIMPLIFIED) if message.id and message.id not in now]
    assert not stale, "run `make messages`"


def test_the_files_are_what_make_messages_writes() -> None:
    """A translation that was not compiled, or traditional Chinese from before, would be shipped."""
    stale = [str(path) for path, content in files().items() if not path.exists() or path.read_bytes() != content]
    assert not stale, "run `make messages`"


def test_traditional_chinese_keeps_what_is_put_in(simplified: Catalog) -> None:
    """A converter that touched a placeholder would break the text where it is shown."""
    assert not faults(traditional(updated(simplified)))
    assert in_traditional("{用户} 的内存 `软件` 泄漏") == "{用户} 的記憶體 `软件` 洩漏"
    assert in_traditional("前 {shown} 行，共 {count} 行") == "前 {shown} 列，共 {count} 列"
    assert in_traditional("选择列；按行") == "選擇欄；按行"
    assert in_traditional("质量、令牌、“文件”") == "品質、權杖、「檔案」"


@pytest.mark.parametrize("language", [name for name in LANGUAGES if name != "en"])
def test_a_compiled_catalogue_is_read_by_the_standard_library(language: str) -> None:
    """What is shipped must be found where the product looks for it."""
    found = gettext.translation(DOMAIN, localedir=CATALOGUES, languages=[language])
    assert found.gettext("Memory") != "Memory"
    assert found.ngettext("{count} document", "{count} documents", 1) == found.ngettext(
        "{count} document", "{count} documents", 2
    )


def test_texts_are_literals_and_not_made_at_import() -> None:
    """A text that is made of pieces is in no catalogue; one made at import is frozen in one language for everybody."""
    found = [*calls()]
    assert not [call for call in found if not all(call.texts)], "a text must be a literal; put values in with format()"
    # A page's script runs anew each time, in the language of its reader.
    frozen = [call for call in found if call.at_import and not call.file.startswith("pages/")]
    assert not frozen, "made at import: move it into a function"


def test_the_checks_find_what_they_look_for() -> None:
    """A check that sees nothing passes always."""
    code = """
A = _("frozen")
class B:
    c: str = plural("a", "b", 1)
def d(e=_("default")):
    return f"{_('x')} {_(e)}"
"""
    found = [(call.texts, call.at_import) for call in calls_in(code, "x.py")]
    assert sorted(found) == [
        (("",), False),
        (("a", "b"), True),
        (("default",), True),
        (("frozen",), True),
        (("x",), False),
    ]
    catalog = Catalog(locale=SIMPLIFIED)
    catalog.add("{count} of {all}", "{count} 共 {total}")
    catalog.add("missing", "")
    catalog.add("fuzzy", "模糊", flags=["fuzzy"])
    assert [line.partition(":")[0] for line in faults(catalog)] == ["other placeholders", "missing", "fuzzy"]
