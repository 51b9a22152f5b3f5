"""The cursor stands in the field for the next question as soon as one can type there: when the page was loaded, another
conversation was opened, or an answer has ended. It leaves every other field that somebody is in alone.
"""

from __future__ import annotations

import streamlit as st

# A field that was disabled has lost the focus; a touch screen would cover half of the page with its keyboard.
_JS = """
export default function ({ data, parentElement }) {
  if (parentElement.readied === data.ready || matchMedia("(pointer: coarse)").matches) return
  parentElement.readied = data.ready
  if (!data.ready) return
  let looks = 0
  const look = () => {
    const at = document.activeElement ?? document.body
    const elsewhere = at !== document.body && !at.closest("[data-testid=stSidebar] button")
    if (!parentElement.isConnected || elsewhere) return
    const field = document.querySelector("[data-testid=stChatInput] textarea")
    if (field && !field.disabled) field.focus({ preventScroll: true })
    else if (++looks < 50) setTimeout(look, 100)
  }
  look()
}
"""
_component = st.components.v2.component("millpond_question_field", js=_JS)


def focus_question_field(place: str, *, ready: bool) -> None:
    """Put the cursor into the field once for each `place` (a conversation), and each time that it is `ready` again."""
    _component(key=f"question-field-{place}", data={"ready": ready}, height=1)
