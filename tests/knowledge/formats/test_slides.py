from __future__ import annotations

import io
import zipfile
from typing import Any

from services.knowledge.notes import notes_of
from services.knowledge.parsing.results import ParsedFile
from tests.knowledge.parsing import samples
from tests.knowledge.parsing.pools import Parse

A = 'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
P = 'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main"'
R = 'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
_KIND = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_NEW_KIND = "http://schemas.microsoft.com/office/2018/10/relationships"


def link(identifier: str, kind: str, target: str) -> str:
    return f'<Relationship Id="{identifier}" Type="{kind}" Target="{target}"/>'


def links(*each: str) -> str:
    space = "http://schemas.openxmlformats.org/package/2006/relationships"
    return f'<Relationships xmlns="{space}">{"".join(each)}</Relationships>'


def slide(found: ParsedFile, number: int) -> str:
    return "\n\n".join(section.text for section in found.sections if section.page == number)


def notes(found: ParsedFile) -> dict[str, tuple[int, str]]:
    return {note.kind.value: (note.count, note.place) for note in notes_of(found.notes)}


def saved(presentation: Any, change: dict[str, Any] | None = None) -> bytes:
    """Return a presentation as a file, members replaced or added by `change`."""
    out = io.BytesIO()
    presentation.save(out)
    with zipfile.ZipFile(out) as archive:
        members: dict[str, bytes | str] = {name: archive.read(name) for name in archive.namelist()}
    for name, edit in (change or {}).items():
        members[name] = edit(members[name].decode()) if callable(edit) else edit
    return samples.zipped(members)


def test_what_a_slide_shows_is_read(parse: Parse) -> None:
    """Groups, tables with merged cells, charts, descriptions of pictures, notes: in order, the title first."""
    from pptx import Presentation
    from pptx.chart.data import CategoryChartData
    from pptx.enum.chart import XL_CHART_TYPE
    from pptx.util import Inches

    presentation = Presentation()
    first = presentation.slides.add_slide(presentation.slide_layouts[5])
    first.shapes.title.text = "Watch list"
    group = first.shapes.add_group_shape()
    inner = group.shapes.add_group_shape()
    inner.shapes.add_textbox(0, 0, Inches(2), Inches(1)).text_frame.text = "Within two groups"
    table = first.shapes.add_table(4, 3, 0, 0, Inches(5), Inches(2)).table
    for at, text in enumerate(
        ("Station", "Officer", "Shift", "Bridge", "Mott", "day", "", "Pell", "night", "All", "", "")
    ):
        table.cell(at // 3, at % 3).text = text
    table.cell(1, 0).merge(table.cell(2, 0))
    table.cell(3, 0).merge(table.cell(3, 2))
    data = CategoryChartData()
    data.categories = ["May", "June"]
    data.add_series("Visitors", (70, 90))
    first.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, 0, 0, Inches(3), Inches(3), data)
    first.notes_slide.notes_text_frame.text = "Say hello"
    text = slide(parse(saved(presentation), "deck.pptx"), 1)
    assert text.split("\n\n") == [
        "Watch list",
        "Within two groups",
        (
            "| Station | Officer | Shift |\n| --- | --- | --- |\n| Bridge | Mott | day |\n| Bridge | Pell | night |\n"
            "| All | All | All |"
        ),
        "|  | Visitors |\n| --- | --- |\n| May | 70 |\n| June | 90 |",
        "Speaker notes: Say hello",
    ]


def test_hidden_slides_and_repeated_text(parse: Parse) -> None:
    """A hidden slide is read and noted; what the master puts on each slide is there once; slide numbers are not."""
    from pptx import Presentation

    presentation = Presentation()
    for title in ("One", "Two", "Three"):
        presentation.slides.add_slide(presentation.slide_layouts[1]).shapes.title.text = title
    shape = (
        f'<p:sp {A}><p:nvSpPr><p:cNvPr id="90" name="x"/><p:cNvSpPr/><p:nvPr>%s</p:nvPr></p:nvSpPr><p:spPr/>'
        "<p:txBody><a:bodyPr/><a:p><a:r><a:t>%s</a:t></a:r></a:p></p:txBody></p:sp></p:spTree>"
    )
    footer = shape % ('<p:ph type="ftr"/>', "Quillfeather QF-1")
    number = shape % ('<p:ph type="sldNum"/>', "17")
    change = {
        "ppt/slides/slide2.xml": lambda xml: xml.replace("<p:sld ", '<p:sld show="0" ').replace("</p:spTree>", footer),
        "ppt/slides/slide3.xml": lambda xml: xml.replace("</p:spTree>", number).replace("</p:spTree>", footer),
        "ppt/slideMasters/slideMaster1.xml": lambda xml: xml.replace("</p:spTree>", shape % ("", "Confidential draft")),
    }
    found = parse(saved(presentation, change), "deck.pptx")
    assert [slide(found, at) for at in (1, 2, 3)] == [
        "One\n\nOn every slide: Confidential draft",
        "Two\n\nOn every slide: Quillfeather QF-1",
        "Three",
    ]
    assert notes(found) == {"hidden_slides": (1, "2")}


def test_comments_of_both_kinds(parse: Parse) -> None:
    """Comments of old and of new versions of PowerPoint have their authors; replies are comments, too."""
    from pptx import Presentation

    presentation = Presentation()
    presentation.slides.add_slide(presentation.slide_layouts[5]).shapes.title.text = "Plan"
    new = 'xmlns:n="http://schemas.microsoft.com/office/powerpoint/2018/8/main"'
    body = f"<n:txBody {A}><a:bodyPr/><a:p><a:r><a:t>%s</a:t></a:r></a:p></n:txBody>"
    end = "</Relationships>"
    slide_links = link("c1", f"{_KIND}/comments", "../comments/c1.xml") + link(
        "c2", f"{_NEW_KIND}/comments", "../comments/c2.xml"
    )
    main_links = link("a1", f"{_KIND}/commentAuthors", "commentAuthors.xml") + link(
        "a2", f"{_NEW_KIND}/authors", "authors.xml"
    )
    old = '<p:cm authorId="0"><p:pos x="0" y="0"/><p:text>Too dear</p:text></p:cm>'
    change = {
        "ppt/slides/_rels/slide1.xml.rels": lambda xml: xml.replace(end, slide_links + end),
        "ppt/_rels/presentation.xml.rels": lambda xml: xml.replace(end, main_links + end),
        "ppt/comments/c1.xml": f"<p:cmLst {P}>{old}</p:cmLst>",
        "ppt/comments/c2.xml": (
            f'<n:cmLst {new}><n:cm authorId="{{B}}"><n:replyLst><n:reply authorId="{{B}}">{body % "Agreed"}</n:reply>'
            f"</n:replyLst>{body % 'Really?'}</n:cm></n:cmLst>"
        ),
        "ppt/commentAuthors.xml": f'<p:cmAuthorLst {P}><p:cmAuthor id="0" name="Ann Lee"/></p:cmAuthorLst>',
        "ppt/authors.xml": f'<n:authorLst {new}><n:author id="{{B}}" name="Bo"/></n:authorLst>',
    }
    found = parse(saved(presentation, change), "deck.pptx")
    lines = slide(found, 1).split("\n\n")
    assert lines[:2] == ["Plan", "Comment by Ann Lee: Too dear"]
    assert sorted(lines[2:]) == ["Comment by Bo: Agreed", "Comment by Bo: Really?"]
    assert notes(found) == {"comments": (3, "")}


def test_a_presentation_with_the_barest_parts(parse: Parse) -> None:
    """Other programs leave out masters, layouts and themes, and name their parts as they like."""
    text = (
        f"<p:sld {P} {A}><p:cSld><p:spTree><p:sp><p:nvSpPr/><p:txBody><a:p><a:r><a:t>%s</a:t></a:r></a:p></p:txBody>"
        "</p:sp></p:spTree></p:cSld></p:sld>"
    )
    order = '<p:sldIdLst><p:sldId id="256" r:id="b"/><p:sldId id="257" r:id="a"/></p:sldIdLst>'
    data = samples.zipped(
        {
            "[Content_Types].xml": samples.CONTENT_TYPES,
            "_rels/.rels": links(link("r1", f"{_KIND}/officeDocument", "/ppt/main.xml")),
            "ppt/main.xml": f"<p:presentation {P} {R}>{order}</p:presentation>",
            "ppt/_rels/main.xml.rels": links(
                link("a", f"{_KIND}/slide", "one.xml"), link("b", f"{_KIND}/slide", "./two.xml")
            ),
            "ppt/one.xml": text % "Second in the show",
            "ppt/two.xml": text % "First in the show",
        }
    )
    found = parse(data, "bare.pptx")
    assert [slide(found, at) for at in (1, 2)] == ["First in the show", "Second in the show"]
