"""Mail through the real parser: what its head and body say, what is given away, what is noted, what is refused."""

from __future__ import annotations

import base64
import quopri
import random
from datetime import UTC, datetime
from typing import Any

import pytest
from compressed_rtf import compress

from services.core.errors import BadInputError
from services.knowledge.notes import notes_of
from services.knowledge.parsing.results import ParsedFile
from tests.knowledge.formats.compound_files import attachment, compound_file, message
from tests.knowledge.formats.mails import ReceivedAttachments, attach, mail
from tests.knowledge.parsing.pools import Parse

HEAD = b"From: a@example.org\r\nTo: b@example.org\r\nDate: Mon, 9 Mar 2026 10:15:00 +0100\r\nMIME-Version: 1.0\r\n"


HALVES = "编号".encode()
MIXED = b'Content-Type: multipart/mixed; boundary="x"\r\n\r\n--x\r\n'


def word(data: bytes) -> bytes:
    return b"=?utf-8?B?" + base64.b64encode(data) + b"?="


def text_of(parsed: ParsedFile) -> str:
    return "\n".join(section.text for section in parsed.sections)


def sentences(parsed: ParsedFile) -> list[str]:
    return [note.text for note in notes_of(parsed.notes)]


def test_head_and_body_are_decoded(parse: Parse) -> None:
    """Subject, sender and text are shown undecoded, as they travel."""
    message = mail(
        "会议改期 – Öfen",
        "会议改到下周三下午，地点在二楼。",
        Cc="Zoë <z@example.org>",
        Date="Mon, 9 Mar 2026 10:15:00 +0100",
    )
    parsed = parse(message.as_bytes(), "m.eml")
    text = text_of(parsed)
    assert text.startswith(
        "Subject: 会议改期 – Öfen\nFrom: Anna <anna@example.org>\nTo: bob@example.org\nCc: Zoë <z@example.org>"
    )
    assert "Mar 2026 10:15:00 +0100" in text
    assert "会议改到下周三下午，地点在二楼。" in text
    assert parsed.media_type == "message/rfc822"
    assert all(chunk.heading == ("会议改期 – Öfen",) for chunk in parsed.chunks)


@pytest.mark.parametrize("name", ["m.eml", "m.txt", "m", "m.EML"])
def test_a_mail_is_known_by_its_content(parse: Parse, name: str) -> None:
    """A mail that was saved under another ending is indexed undecoded."""
    body = base64.b64encode(b"Die Lieferung kommt am Dienstag.")
    data = HEAD + b"Subject: x\r\nContent-Transfer-Encoding: base64\r\n\r\n" + body
    assert "Die Lieferung kommt am Dienstag." in text_of(parse(data, name))


def test_a_text_that_begins_like_a_mail_stays_one(parse: Parse) -> None:
    """A text with colons in its first lines is taken for a mail, and loses what looks like a head."""
    for text in ("Note: the pump\nWarning: hot\nFrom: the manual\n\nBody", "From: here\nit goes on: and on\n"):
        assert text_of(parse(text.encode(), "notes.txt")) == text.strip()


@pytest.mark.parametrize(
    ("subject", "shown"),
    [
        (b"=?utf-8?Q?B=C3=BCro?= =?utf-8?Q?_und?= Rest", "Büro und Rest"),
        (word(HALVES[:4]) + b" " + word(HALVES[4:]), "编号"),
        (b"=?gb2312?B?" + base64.b64encode("关于合同".encode("gbk")) + b"?=", "关于合同"),
        (b"=?iso-8859-1?Q?Caf=E9 ouvert?=", "Café ouvert"),
        (b"=?UTF-8?B?" + base64.b64encode("Prüfung".encode()).rstrip(b"=") + b"?=", "Prüfung"),
        (b"=?big5?B?" + base64.b64encode("會議通知".encode("big5")) + b"?=", "會議通知"),
        ("Änderung".encode(), "Änderung"),
        ("Größenänderung für die Küchengeräte".encode("latin-1"), "Größenänderung für die Küchengeräte"),
        (b"=?utf-8?B?broken", "=?utf-8?B?broken"),
        (b"folded\r\n over two\r\n\tlines", "folded over two lines"),
    ],
)
def test_subjects_as_programs_write_them(parse: Parse, subject: bytes, shown: str) -> None:
    """An encoded word that is broken, split within a character or not encoded at all is shown raw, or as noise."""
    parsed = parse(HEAD + b"Subject: " + subject + b"\r\n\r\nBody of it.\r\n", "m.eml")
    assert f"Subject: {shown}\n" in text_of(parsed)


@pytest.mark.parametrize(
    ("charset", "text"),
    [
        ("iso-8859-1", "Das Gerät kostet „zehn“ Euro – für Größe fünf."),
        ("gb2312", "本公司的退货费用为十元，请于七日内办理。"),
        ("shift_jis", "会議は水曜日の午後に延期されました。"),
        ("koi8-r", "Договор подписан в среду в Москве."),
        ("utf-7", "Die Größe beträgt fünf Meter."),
        ("utf-8", "Naïve café — 中文 and русский."),
    ],
)
@pytest.mark.parametrize("transfer", ["quoted-printable", "base64", "8bit"])
def test_bodies_in_their_encodings(parse: Parse, charset: str, text: str, transfer: str) -> None:
    """A body in another encoding than UTF-8 becomes noise."""
    raw = text.encode("cp1252" if charset == "iso-8859-1" else charset)
    body = {"quoted-printable": quopri.encodestring(raw), "base64": base64.encodebytes(raw), "8bit": raw}[transfer]
    head = f"Subject: s\r\nContent-Type: text/plain; charset={charset}\r\nContent-Transfer-Encoding: {transfer}\r\n\r\n"
    assert text in text_of(parse(HEAD + head.encode() + body, "m.eml"))


def test_of_two_versions_the_one_that_says_more_is_read(parse: Parse) -> None:
    """Both versions are indexed, so that everything is found twice; or only "this mail has a page" is."""
    page = (
        "<html><body><h1>Offer</h1><p>The oven costs 900 euros and comes with five years of warranty.</p></body></html>"
    )
    plain = "The oven costs 900 euros and comes with five years of warranty."
    assert text_of(parse(mail("s", plain, html=page).as_bytes(), "m.eml")).count("900 euros") == 1
    stub = text_of(parse(mail("s", "See the page.", html=page).as_bytes(), "m.eml"))
    assert "900 euros" in stub
    assert "See the page." not in stub


def test_a_page_that_nobody_declares_is_read_as_one(parse: Parse) -> None:
    """Old programs send a page without saying so, and its tags are indexed."""
    text = text_of(parse(HEAD + b"Subject: s\r\n\r\n<html><body><p>Only a <b>page</b>.</p></body></html>\r\n", "m.eml"))
    assert "Only a page." in text
    assert "<p>" not in text


def test_flowed_lines_are_joined(parse: Parse) -> None:
    """Sentences of flowed text are torn at the 72nd column."""
    body = b"Content-Type: text/plain; format=flowed\r\nSubject: s\r\n\r\n"
    body += b"This sentence was \r\nbroken by the program.\r\n-- \r\nAnna\r\n"
    text = text_of(parse(HEAD + body, "m.eml"))
    assert "This sentence was broken by the program." in text
    assert "\n-- \nAnna" in text


def test_attachments_are_given_away_and_named(parse: Parse) -> None:
    """Names in the three ways of writing them, a mail in the mail, and content in each transfer encoding."""
    csv = b"Content-Type: text/csv\r\n"
    csv += b"Content-Disposition: attachment; filename*=utf-8''Preisliste%20f%C3%BCr%20%C3%96fen.csv\r\n"
    csv += b"\r\na;b\n1;2\r\n--x\r\n"
    pdf = b"Content-Type: application/pdf\r\n\r\n%PDF-1.4 not really\r\n--x\r\n"
    inner = b"Content-Type: message/rfc822\r\n\r\n" + mail("Inner subject", "The inner text.").as_bytes()
    quoted = b'\r\n--x\r\nContent-Type: application/octet-stream; name="' + word("价格表.txt".encode()) + b'"\r\n'
    quoted += b"Content-Disposition: attachment\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    quoted += quopri.encodestring("价格为十元。".encode()) + b"\r\n--x--\r\n"
    data = HEAD + MIXED + b"\r\nSee attached.\r\n--x\r\n" + csv + pdf + inner + quoted
    received = ReceivedAttachments()
    parsed = parse(data, "m.eml", attachments=received)
    files = dict(received.files)
    assert set(files) == {"Preisliste für Öfen.csv", "attachment.pdf", "Inner subject.eml", "价格表.txt"}
    assert files["Preisliste für Öfen.csv"] == b"a;b\n1;2"
    assert files["价格表.txt"].decode().strip() == "价格为十元。"
    assert b"The inner text." in files["Inner subject.eml"]
    assert "The inner text." not in text_of(parsed)


def test_what_cannot_be_read_is_noted_by_its_name(parse: Parse) -> None:
    """Films, archives, signatures and logos vanish in silence, or each becomes a failed document."""
    message = mail("s", "Text.")
    attach(message, "movie.mp4", b"\0\0\0\x18ftypmp42" + bytes(random.Random(1).randbytes(3000)), "video/mp4")
    attach(message, "photos.zip", b"PK\x05\x06" + bytes(18), "application/zip")
    attach(message, "winmail.dat", b"\x78\x9f\x3e\x22data", "application/ms-tnef")
    attach(message, "logo.png", b"\x89PNG\r\n\x1a\n", "image/png")
    attach(message, "empty.txt", b"", "text/plain")
    received = ReceivedAttachments()
    parsed = parse(message.as_bytes(), "m.eml", attachments=received)
    assert received.files == []
    assert sentences(parsed) == [
        "4 attachments were not read: movie.mp4, photos.zip, winmail.dat, empty.txt",
        "1 picture was left out: logo.png",
    ]


def test_more_attachments_than_allowed_are_noted(parse: Parse) -> None:
    """A mail with any number of files fills the queue."""
    message = mail("s", "Text.")
    for number in range(5):
        attach(message, f"part {number}.txt", f"Text of part {number}.".encode(), "text/plain")
    received = ReceivedAttachments()
    parsed = parse(message.as_bytes(), "m.eml", attachments=received, most_attachments=3)
    assert [name for name, _data in received.files] == ["part 0.txt", "part 1.txt", "part 2.txt"]
    assert sentences(parsed) == ["2 attachments were left out, more than one file may bring: part 3.txt, part 4.txt"]


def test_a_large_attachment_comes_in_pieces(parse: Parse) -> None:
    """A large file is held as a whole, and needs more memory than the parser may have."""
    content = random.Random(3).randbytes(2_500_000).hex().encode() * 2  # 10 MB
    message = HEAD + b'Subject: s\r\nContent-Type: multipart/mixed; boundary="x"\r\n\r\n--x\r\n\r\nSee it.\r\n--x\r\n'
    message += b"Content-Type: text/plain\r\nContent-Disposition: attachment; filename=big.txt\r\n"
    message += b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(content) + b"--x--\r\n"
    received = ReceivedAttachments()
    parse(message, "m.eml", attachments=received)
    assert received.files == [("big.txt", content)]
    assert received.largest_piece <= 64 * 1024


def test_signed_mail_is_read_with_a_note(parse: Parse) -> None:
    """The signature is indexed as base64, or shown as a file."""
    body = MIXED.replace(b"mixed", b"signed") + b"\r\nThe contract is signed.\r\n--x\r\n"
    body += b"Content-Type: application/pkcs7-signature; name=smime.p7s\r\n"
    body += b"Content-Transfer-Encoding: base64\r\n\r\nMIIB\r\n--x--\r\n"
    inline = b"Subject: s\r\n\r\n-----BEGIN PGP SIGNED MESSAGE-----\r\nHash: SHA256\r\n\r\nThe contract is signed.\r\n"
    inline += b"-----BEGIN PGP SIGNATURE-----\r\n\r\niQEz\r\n-----END PGP SIGNATURE-----\r\n"
    for data in (body, inline):
        parsed = parse(HEAD + data, "m.eml")
        assert "The contract is signed." in text_of(parsed)
        assert "iQEz" not in text_of(parsed)
        assert "MIIB" not in text_of(parsed)
        assert sentences(parsed) == ["Digitally signed; the signature was not checked"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            b'Content-Type: multipart/encrypted; boundary="x"\r\n\r\n--x\r\n\r\nVersion: 1\r\n--x--\r\n',
            "encrypted with PGP",
        ),
        (b"Content-Type: application/pkcs7-mime; smime-type=enveloped-data\r\n\r\nMIIB\r\n", "encrypted with S/MIME"),
        (b"Content-Type: application/pkcs7-mime; smime-type=signed-data\r\n\r\nMIIB\r\n", "inside an S/MIME signature"),
        (b"\r\n-----BEGIN PGP MESSAGE-----\r\n\r\nhQEM\r\n-----END PGP MESSAGE-----\r\n", "encrypted with PGP"),
    ],
)
def test_encrypted_mail_is_refused_by_name(parse: Parse, content: bytes, said: str) -> None:
    """An encrypted mail is "ready" with its sender's address as its whole text."""
    with pytest.raises(BadInputError, match=said) as caught:
        parse(HEAD + b"Subject: s\r\n" + content, "m.eml")
    assert caught.value.hint


def test_a_web_archive_is_a_page(parse: Parse) -> None:
    """A page that a browser saved shows its MIME parts instead of its text."""
    data = (
        b"From: <Saved by Blink>\r\nSnapshot-Content-Location: https://example.org/fees\r\nSubject: Fees\r\n"
        b'MIME-Version: 1.0\r\nContent-Type: multipart/related; type="text/html"; boundary="x"\r\n\r\n\r\n'
        b"--x\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
        b"<html><body><h1>Fees</h1><p>Der R=C3=BCckversand kostet 10 Euro.</p></body></html>\r\n"
        b"--x\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\niVBORw0KGgo=\r\n"
        b"--x\r\nContent-Type: text/css\r\n\r\nbody { color: red }\r\n--x--\r\n"
    )
    for name in ("page.mhtml", "page.mht", "page"):
        parsed = parse(data, name)
        text = text_of(parsed)
        assert "Der Rückversand kostet 10 Euro." in text
        assert "https://example.org/fees" in text
        assert "color" not in text
        assert parsed.media_type == "multipart/related"


def test_a_mailbox_is_read_mail_by_mail(parse: Parse) -> None:
    """Only the first mail of a mailbox is read, or an encrypted one keeps the others out."""
    first = mail("One", "The first text.")
    attach(first, "a.txt", b"The attached text.", "text/plain")
    secret = b"From: x@example.org\nSubject: Secret\nTo: y@example.org\n\n-----BEGIN PGP MESSAGE-----\nhQ\n"
    box = b"".join(
        b"From anna@example.org Mon Mar  9 10:15:00 2026\n" + each + b"\n\n"
        for each in (first.as_bytes(), secret, mail("Two", "From here on it is the second text.").as_bytes())
    )
    for name in ("archive.mbox", "archive"):
        received = ReceivedAttachments()
        parsed = parse(box, name, attachments=received)
        text = text_of(parsed)
        assert "The first text." in text
        assert "it is the second text." in text
        assert {section.heading for section in parsed.sections} == {("One",), ("Two",)}
        assert received.files == [("a.txt", b"The attached text.")]
        assert "1 encrypted mail was left out: Secret" in sentences(parsed)


def outlook(**options: Any) -> bytes:
    values = {0x001A: "IPM.Note", 0x0037: "Angebot Öfen", 0x1000: "Der Preis beträgt 12 €.\r\n", 0x0C1A: "Anna Müller"}
    return compound_file(message({**values, 0x5D01: "anna@example.org", **options.pop("values", {})}, **options))


def test_outlook_messages_are_read(parse: Parse) -> None:
    """A message of Outlook is "an old Office file"."""
    inner = message({0x0037: "Older offer", 0x1000: "It was 15 euros in May."}, header=24)
    data = outlook(
        times={0x0039: datetime(2026, 3, 9, 10, 15, tzinfo=UTC)},
        recipients=(("Bob", "bob@example.org", 1), ("Cy", "cy@example.org", 2)),
        attachments=(
            attachment("Garantie für Öfen.txt", b"Five years. " * 1000),
            attachment("image001.png", b"\x89PNG", "image/png"),
            attachment("Older offer", inner),
        ),
    )
    received = ReceivedAttachments()
    parsed = parse(data, "offer.msg", attachments=received)
    text = text_of(parsed)
    assert text.startswith(
        "Subject: Angebot Öfen\nFrom: Anna Müller <anna@example.org>\nTo: Bob <bob@example.org>\n"
        "Cc: Cy <cy@example.org>\nDate: Mon, 09 Mar 2026 10:15:00 +0000\n\nDer Preis beträgt 12 €."
    )
    assert "It was 15 euros in May." in text
    assert received.files == [("Garantie für Öfen.txt", b"Five years. " * 1000)]
    assert sentences(parsed) == ["1 picture was left out: image001.png"]
    assert parsed.media_type == "application/vnd.ms-outlook"


def test_older_and_page_only_outlook_messages(parse: Parse) -> None:
    """Texts in a code page become noise, a message with a page only is empty."""
    old = compound_file(
        message({0x0037: "报价", 0x1000: "价格为十元，含运费。"}, encoding="gb18030", numbers={0x3FFD: 936})
    )
    text = text_of(parse(old, "old.msg"))
    assert "Subject: 报价" in text
    assert "价格为十元，含运费。" in text
    page = "<html><body><p>Der Preis beträgt 12 €.</p></body></html>".encode("cp1252")
    html = outlook(values={0x1000: ""}, html=page, numbers={0x3FDE: 1252})
    assert "Der Preis beträgt 12 €." in text_of(parse(html, "page.msg"))


def test_outlook_messages_with_rich_text_only(parse: Parse) -> None:
    """A message whose text is there as compressed RTF alone is ready with its subject."""
    text = rb"{\rtf1\ansi\ansicpg1252 Der Preis betr\'e4gt 12 Euro.\par Mit freundlichen Gr\'fc\'dfen}"
    tree = message({0x0037: "Preis", 0x001A: "IPM.Note"})
    tree["__substg1.0_10090102"] = compress(text)
    assert "Der Preis beträgt 12 Euro." in text_of(parse(compound_file(tree), "rich.msg"))
    tree["__substg1.0_10090102"] = compress(text)[:30]
    broken = parse(compound_file(tree), "broken.msg")
    assert broken.notes
    assert "Preis" in text_of(broken)


def test_encrypted_and_damaged_outlook_messages(parse: Parse) -> None:
    """An encrypted message is ready without its text; a damaged one crashes the parser."""
    with pytest.raises(BadInputError, match="encrypted"):
        parse(outlook(values={0x001A: "IPM.Note.SMIME"}), "secret.msg")
    whole = outlook(attachments=(attachment("a.txt", b"x" * 9000),))
    with pytest.raises(BadInputError) as caught:
        parse(whole[:600], "cut.msg")
    assert caught.value.hint


@pytest.mark.parametrize(
    "data",
    [
        HEAD + b'Content-Type: multipart/mixed; boundary="x"\r\n\r\n--x\r\n\r\nHalf of the text',
        HEAD + b"Content-Type: multipart/mixed\r\n\r\nHalf of the text",
        HEAD + b'Content-Type: multipart/mixed; boundary="x"\r\n\r\nHalf of the text',
        HEAD + b"Content-Type: text/plain; charset=no-such\r\n\r\nHalf of the text",
        HEAD + b"Content-Transfer-Encoding: base64\r\n\r\nSGFsZiBvZiB0aGUgdGV4dA=",
        HEAD + b"\xff\xfe broken header\r\nHalf of the text",
        b"\r\nHalf of the text",
        HEAD.replace(b"\r\n", b"\n") + b"\nHalf of the text",
    ],
)
def test_broken_mails_lose_no_text(parse: Parse, data: bytes) -> None:
    """A mail that was cut off or written by a bad program is refused, or ready without its text."""
    assert "Half of the text" in text_of(parse(data, "m.eml"))


def test_deep_nesting_ends(parse: Parse) -> None:
    """Parts in parts in parts take for ever, or overflow the stack."""
    body = b"The innermost text."
    for level in range(200):
        mark = f"b{level}".encode()
        body = (
            b'Content-Type: multipart/mixed; boundary="'
            + mark
            + b'"\r\n\r\n--'
            + mark
            + b"\r\n"
            + body
            + b"\r\n--"
            + mark
            + b"--"
        )
    assert parse(HEAD + body, "m.eml").sections
