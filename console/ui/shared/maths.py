"""Mathematics in texts: told from prices, kept from being escaped, and written as Streamlit's Markdown has it."""

from __future__ import annotations

import re

_MOST_INLINE = 200  # characters
_MOST_DISPLAYED = 2000
_FORMULA = re.compile(
    rf"""(?<![\\$])\$\$(?P<dollars>[^$]{{1,{_MOST_DISPLAYED}}}?)\$\$(?!\$)
      | \\\[(?P<brackets>.{{1,{_MOST_DISPLAYED}}}?)\\\]
      | \\\((?P<parentheses>[^\n]{{1,{_MOST_INLINE}}}?)\\\)
      | (?<![\\$\w])\$(?P<inline>[^\s$](?:[^$\n]{{0,{_MOST_INLINE}}}?[^\s$\\])?)\$(?![\w$])
    """,
    re.VERBOSE | re.DOTALL,
)
# What no formula needs: links, code, and commands of TeX that load, link or define something.
_UNWANTED = re.compile(
    r"\]\(|!\[|://|`|[\ue000-\uf8ff]|\n[^\S\n]*\n"
    r"|\\(?:href|url|includegraphics|html\w*|g?def|edef|xdef|let|global|futurelet|(?:re)?newcommand|providecommand"
    r"|char|unicode|class|cssId|style|require)\b"
)
# Words between two dollar signs are prices with text between them, unless TeX marks them as text.
_PROSE = re.compile(r"\d[^\\]*\s[^\W\d_]{2,}")
_TEXT = re.compile(r"\\(?:text|mathrm|operatorname|mbox)\w*\s*\{[^}]*\}")
_OPEN, _CLOSE = "\ue002", "\ue003"
_HELD = re.compile(f"{_OPEN}(\\d+){_CLOSE}")


class Formulas:
    """Formulas that were taken out of a text, so that it can be escaped without them."""

    def __init__(self) -> None:
        self._held: list[str] = []

    def take_out(self, text: str, *, displayed: bool = True) -> str:
        """Return `text` with a placeholder for each formula; those in lines of their own only if `displayed`."""
        text = text.replace(_OPEN, "").replace(_CLOSE, "")
        return _FORMULA.sub(lambda match: self._hold(match, displayed=displayed), text)

    def put_back(self, text: str) -> str:
        """Return an escaped text with its formulas."""
        return _HELD.sub(lambda match: self._held[int(match[1])], text)

    def _hold(self, match: re.Match[str], *, displayed: bool) -> str:
        block = match["dollars"] or match["brackets"]
        formula = (block or match["parentheses"] or match["inline"]).strip()
        prose = match["inline"] is not None and _PROSE.search(_TEXT.sub("", formula))
        if not formula or _UNWANTED.search(formula) or prose or (block and not displayed):
            return match[0]
        formula = formula.replace("<", r"\lt ").replace(">", r"\gt ")
        self._held.append(f"\n\n$$\n{formula}\n$$\n\n" if block else f"${' '.join(formula.split())}$")
        return f"{_OPEN}{len(self._held) - 1}{_CLOSE}"
