"""Sources in Markdown and HTML, from which other programs make their formats."""

from __future__ import annotations

from html import escape

from tests.document_set.content import Content


def markdown(content: Content, *, footnote: bool = True) -> str:
    """Return the document as Markdown as pandoc reads it."""
    header, *rows = content.table()
    table = "\n".join(
        ["| " + " | ".join(header) + " |", "|---|---|---|", *("| " + " | ".join(row) + " |" for row in rows)]
    )
    mark = "[^1]" if footnote else ""
    text = f"""# {content.text("title")}

## {content.text("heading")}

{content.text("paragraph")}{mark} See [{content.text("link")}](https://example.org/page).

**{content.text("bold")}**

{content.text("umlauts")}

{content.text("chinese")}

### {content.text("subheading")}

- {content.text("bullet_1")}
- {content.text("bullet_2")}
    - {content.text("bullet_3")}

1. {content.text("step_1")}
2. {content.text("step_2")}

> {content.text("quote")}

```
{content.text("code")}
```

{table}
"""
    return f"{text}\n[^1]: {content.text('footnote')}\n" if footnote else text


def html(content: Content, *, encoding: str = "utf-8", chinese: bool = True) -> str:
    """Return the document as a page."""
    header, *rows = content.table()
    cells = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    chinese_line = f"<p>{content.text('chinese')}</p>" if chinese else ""
    return f"""<!DOCTYPE html>
<html><head><meta charset="{encoding}"><title>{content.text("title")}</title></head><body>
<h1>{content.text("title")}</h1><h2>{content.text("heading")}</h2>
<p>{content.text("paragraph")} See <a href="https://example.org/page">{content.text("link")}</a>.</p>
<p><b>{content.text("bold")}</b></p><p>{content.text("umlauts")}</p>{chinese_line}
<h3>{content.text("subheading")}</h3>
<ul><li>{content.text("bullet_1")}</li><li>{content.text("bullet_2")}<ul><li>{content.text("bullet_3")}</li></ul></li></ul>
<ol><li>{content.text("step_1")}</li><li>{content.text("step_2")}</li></ol>
<blockquote>{content.text("quote")}</blockquote><pre>{escape(content.text("code"))}</pre>
<table border="1"><tr>{"".join(f"<th>{cell}</th>" for cell in header)}</tr>{cells}</table>
</body></html>
"""


def plain(content: Content, *languages: str) -> str:
    """Return the document as plain text, with the lines in other languages that its encoding can carry."""
    parts = ["title", "heading", "paragraph", "bold", "subheading", "bullet_1", "bullet_2", "step_1", "quote", "code"]
    parts += languages
    lines = [content.text(part) for part in parts]
    return "\n\n".join(lines) + "\n\n" + "\n".join("\t".join(row) for row in content.table()) + "\n"
