"""Every page in a pseudo-language: what stands outside of ⟦ and ⟧ did not pass through the catalogue."""

from __future__ import annotations

import re
from contextlib import suppress

import httpx
import pytest
from playwright.sync_api import Page, expect

from console.navigation import PageName
from console.requested_language import LANGUAGE_COOKIE
from services.core.languages import LANGUAGES, PSEUDO
from services.core.settings import Settings
from services.knowledge.embedding.model_files import find_model
from tests.browser.samples import CHINESE
from tests.servers import Server, eventually

pytestmark = pytest.mark.browser

# Texts of the smallest blocks, as somebody sees them; tables that are drawn on a canvas have theirs in hidden cells.
_TEXTS = """() => {
  const seen = new Set()
  const skip = ["stIconMaterial", "stHeader", "stToolbar"].map((name) => `[data-testid=${name}]`).join() +
    ", [role=img], script, style, noscript, svg title"
  const inline = new Set(["SPAN", "B", "STRONG", "EM", "I", "CODE", "A", "SUP", "SMALL", "TSPAN", "MARK", "BR"])
  const visit = (element) => {
    if (element.matches(skip) || getComputedStyle(element).fontFamily.includes("Material")) return ""
    let own = ""
    for (const child of element.childNodes) {
      if (child.nodeType === 3) own += child.textContent
      else if (child.nodeType === 1) {
        const text = visit(child)
        own += inline.has(child.tagName.toUpperCase()) ? text : ""
        if (!inline.has(child.tagName.toUpperCase()) && text.trim()) seen.add(text.trim())
      }
    }
    for (const name of ["placeholder", "title"]) {
      const said = element.getAttribute(name)?.trim()
      if (said) seen.add(said)
    }
    return own
  }
  seen.add(visit(document.body).trim())
  return [...seen]
}"""
# A pattern of dates, which Streamlit has in English alone.
_STREAMLIT = r"YYYY.MM.DD.*"
# Names: of the product, of what it is made of, of units, settings, files, types, people, languages.
_DATA = (
    r"Millpond|Streamlit|Ollama|RSS|PSS|USS|API|CPU|GPU|URL|GGUF|JSON|CSV|Markdown|HTML|PDF|UTC|AM|PM|SQLite|FAISS|BM25|Python|"
    r"pymalloc|malloc|glibc|tracemalloc|NULL|None|True|False|min|max|sum|ms|s|h|d|gen\d|MB|GB|KB|B|p50|p95|p|KiB|MiB|Chat|"
    + "|".join(LANGUAGES.values())
)
_WORD = re.compile(r"[A-Za-z][A-Za-z-]+")
_NAME = re.compile(r"[\w.<>\[\]/:@%-]*[._/<\[@:=][\w.<>\[\]/:@%()-]*|[A-Z][A-Z_0-9]{3,}|[0-9a-f]{6,}")


def unmarked(text: str) -> str:
    """Return what of a text is outside of the marks."""
    found, depth = [], 0
    for character in text:
        depth += character == "⟦"
        if not depth:
            found.append(character)
        depth -= character == "⟧" and depth > 0
    return "".join(found).strip()


def foreign_words(text: str, data: frozenset[str]) -> str:
    """Return the words outside of the marks that are neither names nor data, "" for none."""
    rest = unmarked(text)
    if rest in data or re.fullmatch(_STREAMLIT, rest):
        return ""
    for known in data:
        rest = rest.replace(known, " ")
    rest = re.sub(rf"(?<![\w])(?:{_DATA})(?![\w])", " ", _NAME.sub(" ", rest))
    return " ".join(_WORD.findall(rest))


def foreign_texts(page: Page, data: frozenset[str]) -> list[str]:
    """Return the texts of a page that are not of the catalogue."""
    return [text for text in page.evaluate(_TEXTS) if foreign_words(text, data)]


def audited(console: Server) -> frozenset[str]:
    """Return what the audit log says, which is English for everybody; its table is drawn sooner or later."""
    records = console.client.get("/api/audit").raise_for_status().json()["records"]
    return frozenset(record[name] for record in records for name in ("actor", "detail") if record[name])


def test_every_page_shows_texts_of_the_catalogue_alone(console: Server, page: Page) -> None:
    """A text that is written past the catalogue stays English for everybody."""
    with httpx.Client(base_url=console.url, timeout=60) as client:
        assert client.post("/api/documents", files={"file": ("mill.md", CHINESE.encode())}).status_code < 300
        eventually(lambda: client.get("/api/documents").json()["documents"][0]["status"] == "ready", what="ingestion")
        asked = {"model": "millpond", "messages": [{"role": "user", "content": "蓄水池的水位由谁记录？"}]}
        assert client.post("/v1/chat/completions", json=asked).status_code == 200
    page.context.add_cookies([{"name": LANGUAGE_COOKIE, "value": PSEUDO, "url": console.url}])
    fields = Settings.model_fields
    settings = set(fields) | {str(f.description) for f in fields.values()} | {str(f.default) for f in fields.values()}
    data = frozenset(settings | {"mill.md", find_model("", "").name, "int8", "cpu", "General", *CHINESE.split()})
    faults: dict[str, list[str]] = {}
    addresses = [name.value for name in PageName] + [
        "documents?document=1",
        "memory?range=hour",
        "collector?view=experiment",
    ]
    for name in addresses:
        page.goto(f"/{name}")
        expect(page.locator(".st-key-status-strip")).to_be_visible()
        expect(page.locator("[data-testid=stSkeleton]")).to_have_count(0)
        expect(page.locator("html")).to_have_attribute("lang", "en-XA")
        page.wait_for_function(
            "document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning'"
        )
        expect(page.get_by_text("An internal error occurred")).to_have_count(0)
        with suppress(AssertionError):  # Streamlit's own texts are put in a moment later
            eventually(lambda: not foreign_texts(page, data | audited(console)), seconds=5)
        if found := foreign_texts(page, data | audited(console)):
            faults[name] = found
    assert faults == {}, "\n".join(text for texts in faults.values() for text in texts)


def test_the_check_tells_names_from_texts() -> None:
    """A check that lets everything pass finds nothing."""
    assert foreign_words("⟦Used⟧ 3 MB of millpond.db", frozenset()) == "of"
    assert foreign_words("⟦a ⟦b⟧ c⟧ · services.core.i18n", frozenset()) == ""
    assert foreign_words("Last five minutes", frozenset()) == "Last five minutes"
