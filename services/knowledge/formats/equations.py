"""Equations of office programs and of web pages, written in one line: "x=(-b±√(b^2-4ac))/(2a)"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.knowledge.formats.xml_names import NAMES, child, value

if TYPE_CHECKING:
    from lxml import etree  # type: ignore[import-untyped]

# Parts that say how something looks.
_SKIPPED = frozenset({"annotation", "annotation-xml", "ctrlPr", "rPr", "fPr", "degHide"})


def equation_text(element: etree._Element) -> str:
    """Return an equation of Office Math or MathML as one line."""
    return " ".join(_text(element).split())


def _text(element: etree._Element) -> str:  # noqa: PLR0911 - one for each kind of part
    name = NAMES[element.tag].rpartition(":")[2]
    if name in _SKIPPED or name.endswith("Pr"):
        return ""
    if name in {"t", "mi", "mn", "mo", "mtext", "ms"}:
        return element.text or ""
    if name in {"nary", "d", "rad", "m", "eqArr"}:
        return _office_part(element, name)
    parts = [_text(each) for each in element]
    match name, parts:
        case (("f" | "mfrac"), [*_, over, under]):
            return f"{_grouped(over)}/{_grouped(under)}"
        case (("sSup" | "msup" | "limUpp" | "mover"), [*_, base, upper]):
            return f"{base}^{_grouped(upper)}" if upper.strip() else base
        case (("sSub" | "msub" | "limLow" | "munder"), [*_, base, lower]):
            return f"{base}_{_grouped(lower)}" if lower.strip() else base
        case (("sSubSup" | "msubsup" | "munderover"), [*_, base, lower, upper]):
            return f"{base}_{_grouped(lower)}^{_grouped(upper)}"
        case "msqrt", _:
            return f"√{_grouped(''.join(parts))}"
        case "mroot", [base, degree]:
            return f"{degree}√{_grouped(base)}"
        case "func", [*_, function, argument]:
            return f"{function} {_grouped(argument)}"
        case "mtable", _:
            return f"[{'; '.join(parts)}]"
        case "mtr", _:
            return ", ".join(parts)
    # Text that stands where none belongs is not lost.
    return (element.text or "") + "".join(part + (each.tail or "") for part, each in zip(parts, element, strict=True))


def _office_part(element: etree._Element, name: str) -> str:
    """Return a part whose signs Office Math keeps in properties."""
    properties = child(element, f"m:{name}Pr")
    parts = {NAMES[each.tag]: _text(each) for each in element}
    if name == "nary":
        lower, upper = (_grouped(parts.get(limit, "")) for limit in ("m:sub", "m:sup"))
        sign = value(properties, "m:chr") or "∫"
        return f"{sign}{f'_{lower}' if lower else ''}{f'^{upper}' if upper else ''} {parts.get('m:e', '')}"
    if name == "rad":
        return f"{parts.get('m:deg', '')}√{_grouped(parts.get('m:e', ''))}"
    rows = [_text(each) for each in element if NAMES[each.tag] == "m:e"]
    if name == "d":
        begin, separator, end = (value(properties, f"m:{sign}Chr") for sign in ("beg", "sep", "end"))
        found = child(properties, "m:begChr")
        return f"{begin if found is not None else '('}{(separator or '|').join(rows)}{end or _closing(begin)}"
    if name == "m":
        rows = [", ".join(_text(cell) for cell in each) for each in element if NAMES[each.tag] == "m:mr"]
        return f"[{'; '.join(rows)}]"
    return "; ".join(rows)


def _closing(begin: str) -> str:
    return {"": ")", "[": "]", "{": "", "|": "|", "⌊": "⌋", "⌈": "⌉", "‖": "‖"}.get(begin, ")")


def _grouped(text: str) -> str:
    """Return a part in parentheses where it has more than one sign."""
    text = text.strip()
    return text if len(text) < 2 or text.isalnum() else f"({text})"
