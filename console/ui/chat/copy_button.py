"""A button that copies a text, or the address of a view of this page, to the clipboard.

The browser allows that while a click is handled, so it happens there. `navigator.clipboard` exists on https and on
localhost alone; elsewhere a selection is copied, as browsers have always done it.
"""

from __future__ import annotations

import streamlit as st

from services.core.i18n import _

_HTML = """<button type="button"><svg viewBox="0 0 24 24" aria-hidden="true"><path fill="none" stroke="currentColor"
stroke-width="1.8"/></svg><span aria-live="polite"></span></button>"""
_CSS = """
button { display: inline-flex; align-items: center; gap: 0.35em; margin: 0; padding: 0.25rem 0; min-height: 1.75rem;
  border: 0; background: none; color: inherit; font: inherit; font-size: 0.875em; cursor: pointer;
  white-space: nowrap; }
button:hover { color: var(--st-primary-color); }
button:focus-visible { outline: 2px solid var(--st-primary-color); outline-offset: 2px; border-radius: 2px; }
svg { width: 1.15em; height: 1.15em; }
"""
_JS = """
const SHEETS = "M9 9h10v11H9z M6 15H5V4h10v2"
const LINK = "M10 8H7a4 4 0 0 0 0 8h3 M14 8h3a4 4 0 0 1 0 8h-3 M8.5 12h7"
const selected = (text) => {
  const area = document.createElement("textarea")
  area.value = text
  area.readOnly = true
  area.style.cssText = "position:fixed;top:0;left:0;opacity:0"
  document.body.append(area)
  area.select()
  try {
    return document.execCommand("copy")
  } catch {
    return false
  } finally {
    area.remove()
  }
}
const copied = async (text) => {
  try {
    await navigator.clipboard.writeText(text)
    return true
  } catch {
    return selected(text)
  }
}
export default function ({ data, parentElement }) {
  const button = parentElement.querySelector("button")
  const label = button.querySelector("span")
  button.querySelector("path").setAttribute("d", data.query ? LINK : SHEETS)
  button.title = data.help
  clearTimeout(parentElement.said)
  label.textContent = data.label
  button.onclick = async () => {
    const text = data.query ? new URL(`?${data.query}`, window.location.href.split("#")[0]).href : data.text
    label.textContent = await copied(text) ? data.done : data.failed
    button.focus()
    clearTimeout(parentElement.said)
    parentElement.said = setTimeout(() => { label.textContent = data.label }, 2500)
  }
}
"""
_component = st.components.v2.component("millpond_copy", html=_HTML, css=_CSS, js=_JS)


def copy_button(text: str, label: str, *, key: str, tip: str = "") -> None:
    """Draw a button that copies `text`."""
    _draw({"text": text}, label, key, tip)


def copy_link_button(query: str, label: str, *, key: str, tip: str = "") -> None:
    """Draw a button that copies the address of this page with `query` ("name=value") in place of its own."""
    _draw({"query": query}, label, key, tip)


def _draw(copied: dict[str, str], label: str, key: str, tip: str) -> None:
    words = {"label": label, "help": tip, "done": _("Copied"), "failed": _("The browser did not allow copying")}
    _component(key=key, data={**copied, **words}, width="content")
