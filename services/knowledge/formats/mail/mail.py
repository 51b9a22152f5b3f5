"""Mail: single messages (eml, emlx), mailboxes (mbox) and web pages saved as one file (mht).

The body is read as text, files that came along are given to `Reading.attach`. Of two versions of a body the plain text
is read, unless it only says that there is another.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from io import SEEK_END
from typing import BinaryIO

from services.core.errors import BadInputError
from services.core.i18n import _
from services.core.machine import MEGABYTE
from services.knowledge.formats.mail.mime import LONGEST_LINE, Part, one_line, read_headers, read_message
from services.knowledge.formats.reading import LEAST_SCAN_BYTES, Reading
from services.knowledge.notes import NoteCollector, NoteKind
from services.knowledge.types import Section

SHOWN = ("Subject", "From", "To", "Cc", "Date")
_SIGNATURES = {
    "application/pkcs7-signature",
    "application/x-pkcs7-signature",
    "application/pgp-signature",
}
_SEALED = {"application/pkcs7-mime", "application/x-pkcs7-mime"}
# Said again in the other versions of the body, or meant for programs.
_SAME_TEXT = {"text/x-amp-html", "text/watch-html", "text/enriched", "text/richtext"}
_REPORTS = {
    "message/delivery-status",
    "message/disposition-notification",
    "message/feedback-report",
    "text/rfc822-headers",
}
_MESSAGES = {"message/rfc822", "message/global"}
# A plain version shorter than this share of the page's text only says that there is a page.
_STUB = 0.3
# A page that old programs send without saying so.
_PAGE = re.compile(rb"\s*<(?:!doctype\s+html|html)\b", re.IGNORECASE)
_PAGE_BYTES = 500
_FROM_LINE = re.compile(rb"From \S+.{0,60}\d{4}|From \S+@")
_PGP_SIGNED = re.compile(
    r"-----BEGIN PGP SIGNED MESSAGE-----\n(?:[A-Za-z]+: .*\n)*\n(.*?)\n-----BEGIN PGP SIGNATURE-----.*?"
    r"(?:-----END PGP SIGNATURE-----|\Z)",
    re.DOTALL,
)


@dataclass(slots=True)
class Body:
    """What a part of a body says: the sections of a page, or a plain text; `notes` count only if it is chosen."""

    sections: list[Section] = field(default_factory=list)
    plain: str | None = None
    notes: NoteCollector = field(default_factory=NoteCollector)

    def length(self) -> int:
        """Return how many characters its text has, without spaces."""
        if self.plain is not None:
            return len("".join(self.plain.split()))
        return sum(len("".join(section.text.split())) for section in self.sections)


def read_eml(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    """Yield the sections of a mail.

    Raises:
        BadInputError: it is encrypted.
    """
    start, end = 0, stream.seek(0, SEEK_END)
    stream.seek(0)
    first = stream.readline(LONGEST_LINE)
    if first.strip().isdigit():  # Apple Mail: the length of the message, and a property list behind it
        start, end = len(first), min(end, len(first) + int(first[:20]))
    elif first.startswith((b"From ", b">From ")) or first == b"\xef\xbb\xbf":
        start = len(first)
    yield from message_sections(read_message(stream, start, end), reading)


def read_mht(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    """Yield the sections of a web page that was saved with its pictures in one file."""
    page = read_message(stream, 0, stream.seek(0, SEEK_END))
    address = page.header("snapshot-content-location") or page.header("content-location")
    subject = page.header("subject")
    intro = "\n".join(line for line in (subject, address) if line)
    if intro:
        yield Section(intro, heading=(subject,) if subject else ())
    for part in _leaves(page):
        if part.media_type in {"text/html", "application/xhtml+xml"}:
            yield from html_body(part.data(_most(reading)), part.parameter("charset"), reading.notes).sections
        elif part.media_type == "text/plain" and part.disposition != "attachment":
            yield from _plain_sections(part.text(_most(reading), reading.notes), ())


def read_mbox(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    """Yield the sections of all mails of a mailbox; one that is encrypted is noted."""
    end = stream.seek(0, SEEK_END)
    for start, until in _mails(stream, end):
        mail = read_message(stream, start, until)
        try:
            yield from message_sections(mail, reading)
        except BadInputError:
            reading.notes.add(NoteKind.ENCRYPTED_MAILS, place=mail.header("subject")[:80])
        reading.progress(until, end)


def message_sections(mail: Part, reading: Reading) -> Iterator[Section]:
    """Yield the sections of a message: what its head says, then its body.

    Raises:
        BadInputError: it is encrypted.
    """
    head = "\n".join(f"{name}: {mail.header(name)}" for name in SHOWN if mail.header(name))
    yield from with_head(head, mail.header("subject"), _Walk(reading, mail).bodies(mail), reading.notes)


def with_head(head: str, subject: str, bodies: Iterable[Body], notes: NoteCollector) -> Iterator[Section]:
    """Yield the sections of a message under its subject; what its head says comes first."""
    heading = (subject,) if subject else ()
    for body in bodies:
        notes.include(body.notes)
        if body.plain is not None:
            yield from _plain_sections("\n\n".join(filter(None, (head, body.plain.strip("\n")))), heading)
            head = ""
            continue
        for section in body.sections:
            if head:
                yield Section(head, heading=heading)
                head = ""
            own = section.heading if section.heading[:1] == heading else heading + section.heading
            yield Section(section.text, section.page, section.sheet, own)
    if head:
        yield Section(head, heading=heading)


@dataclass(slots=True)
class _Walk:
    """Goes through the parts of a mail: yields its body, gives away its files, notes what is left out."""

    reading: Reading
    mail: Part

    def bodies(self, part: Part) -> Iterator[Body]:
        kind = part.media_type
        if kind == "multipart/encrypted":
            raise encrypted_mail("PGP")
        if kind == "multipart/signed":
            self.reading.notes.add(NoteKind.SIGNATURES)
        if kind == "multipart/alternative":
            yield from self._alternative(part)
        elif part.children:
            for child in part.children:
                yield from self.bodies(child)
        elif self._is_body(part):
            yield self._body(part)
        else:
            self._file(part)

    def _is_body(self, part: Part) -> bool:
        if part.media_type in _REPORTS:
            return True
        if part.media_type not in {"text/plain", "text/html", *_SAME_TEXT}:
            return False
        return part is self.mail or (part.disposition != "attachment" and not part.file_name)

    def _body(self, part: Part) -> Body:
        if part.media_type == "text/html":
            return html_body(part.data(_most(self.reading)), part.parameter("charset"))
        if not part.headers.get("content-type") and _PAGE.match(part.data(_PAGE_BYTES)):
            return html_body(part.data(_most(self.reading)), "")
        notes = NoteCollector()
        text = part.text(_most(self.reading), notes)
        if text.lstrip().startswith("-----BEGIN PGP MESSAGE-----"):
            raise encrypted_mail("PGP")
        if signed := _PGP_SIGNED.search(text):
            self.reading.notes.add(NoteKind.SIGNATURES)
            text = text[: signed.start()] + signed[1] + text[signed.end() :]
        if part.parameter("format").lower() == "flowed":
            text = _unfold(text, delete_space=part.parameter("delsp").lower() == "yes")
        return Body(plain=text, notes=notes)

    def _alternative(self, part: Part) -> Iterator[Body]:
        """Yield one of several versions of the body: plain text, unless it is a stub, else the last that is read."""
        versions = []
        for child in part.children:
            if child.media_type not in _SAME_TEXT:
                bodies = list(self.bodies(child))
                if any(body.length() for body in bodies):
                    versions.append(bodies)
        if not versions:
            return
        plain = [bodies for bodies in versions if all(body.plain is not None for body in bodies)]
        pages = [bodies for bodies in versions if bodies not in plain]
        yield from preferred(plain[0] if plain else [], pages[-1] if pages else [])

    def _is_scan(self, part: Part) -> bool:
        """Whether a picture may be a page that was scanned or photographed, and is read; logos are small and inline."""
        sent = part.disposition == "attachment" and part.end - part.start >= LEAST_SCAN_BYTES
        return sent and self.reading.recognizer is not None

    def _file(self, part: Part) -> None:
        """Give a file that came along to whoever stores it, or note why it is left out."""
        notes, kind, name = self.reading.notes, part.media_type, part.file_name
        if kind in _SEALED and part is self.mail:
            raise sealed_mail(part.parameter("smime-type"))
        if kind in _SIGNATURES:
            if not any(child is part for child in self.mail.children) or self.mail.media_type != "multipart/signed":
                notes.add(NoteKind.SIGNATURES)
        elif kind.startswith("image/") and not self._is_scan(part):
            notes.add(NoteKind.MAIL_PICTURES, place=(name or part.default_name())[:80])
        elif kind in _MESSAGES:
            # The name that mail programs give is often no more than "message" or missing.
            headers, _body = read_headers(part.stream, part.start, part.end)
            subject = one_line(str(headers.get("subject", "")))
            shown = name if name.lower().endswith(".eml") else f"{name or subject or 'mail'}.eml"
            self.reading.attach(shown, part.content())
        elif kind in {"message/external-body", "message/partial", "application/ms-tnef", *_SEALED}:
            notes.add(NoteKind.UNREAD_ATTACHMENTS, place=(name or part.default_name())[:80])
        else:
            self.reading.attach(name or part.default_name(), part.content())


def preferred(plain: list[Body], page: list[Body]) -> list[Body]:
    """Return the plain version of a body, unless there is none or it only says that there is a page."""
    return page if page and _length(plain) < _STUB * _length(page) else plain or page


def html_body(data: bytes, declared: str, notes: NoteCollector | None = None) -> Body:
    """Return what a page says; the encoding that the mail declares counts more than the one that the page does."""
    from services.knowledge.formats.encoding.encodings import decode, decode_page
    from services.knowledge.formats.web.web_pages import page_sections

    notes = NoteCollector() if notes is None else notes
    try:
        decoded = decode(data, declared) if declared else decode_page(data)
    except BadInputError:
        decoded = decode_page(data)
    decoded.add_notes(notes)
    return Body(list(page_sections(decoded.text, notes)), notes=notes)


def encrypted_mail(method: str) -> BadInputError:
    """Return the error for a mail that nobody without its key can read."""
    return BadInputError(
        _("The mail is encrypted with {method}; nothing of it was kept.").format(method=method),
        _("Open it in the mail program that has the key, save it decrypted or print it to PDF, and upload that."),
    )


def sealed_mail(smime_type: str) -> BadInputError:
    """Return the error for a mail whose text is inside an envelope of S/MIME."""
    if smime_type.lower() == "signed-data":
        return BadInputError(
            _("The mail's text is inside an S/MIME signature, which is not opened; nothing of it was kept."),
            _("Save it as text or print it to PDF in the mail program, and upload that."),
        )
    return encrypted_mail("S/MIME")


def _plain_sections(text: str, heading: tuple[str, ...]) -> Iterator[Section]:
    from services.knowledge.formats.text import split_text

    for part in split_text(text):
        yield Section(part, heading=heading)


def _unfold(text: str, *, delete_space: bool) -> str:
    """Return flowed text (RFC 3676) with its paragraphs on one line each."""
    lines: list[str] = []
    flowing = False
    for line in text.split("\n"):
        if flowing and not line.startswith(">"):
            lines[-1] += line.removeprefix(" ")
        else:
            lines.append(line.removeprefix(" "))
        flowing = line.endswith(" ") and line != "-- " and not line.startswith(">")
        if flowing and delete_space:
            lines[-1] = lines[-1][:-1]
    return "\n".join(lines)


def _leaves(part: Part) -> Iterator[Part]:
    if not part.children:
        yield part
    for child in part.children:
        yield from _leaves(child)


def _mails(stream: BinaryIO, end: int) -> Iterator[tuple[int, int]]:
    """Yield where the mails of a mailbox lie: each after a line "From ..." at the start or after an empty line."""
    stream.seek(0)
    places: list[tuple[int, int]] = []
    at = 0
    empty = True
    while line := stream.readline(LONGEST_LINE):
        if empty and line.startswith(b"From ") and _FROM_LINE.match(line):
            places.append((at, at + len(line)))
        empty = not line.strip()
        at += len(line)
    for number, (_start, begin) in enumerate(places):
        yield begin, places[number + 1][0] if number + 1 < len(places) else end


def _length(bodies: list[Body]) -> int:
    return sum(body.length() for body in bodies)


def _most(reading: Reading) -> int:
    return 4 * reading.output_mb * MEGABYTE


def looks_like_mail(head: bytes) -> str:
    """Return "mail", "mbox" or "mht" if a file with these first bytes is one, else an empty text.

    Every line before the first empty one must be a header, among them one that says from whom and another of mail.
    """
    first, _end, rest = head.partition(b"\n")
    box = bool(_FROM_LINE.match(first))
    lines = (rest if box else head).removeprefix(b"\xef\xbb\xbf").replace(b"\r", b"").split(b"\n")
    names: set[bytes] = set()
    for number, line in enumerate(lines):
        if not line.strip():
            break
        if number == len(lines) - 1 and names:  # cut off
            break
        if line[:1] in b" \t" and names:
            continue
        name, colon, _value = line.partition(b":")
        if not colon or not re.fullmatch(rb"[A-Za-z][A-Za-z0-9-]{1,60}", name.rstrip()):
            return ""
        names.add(name.strip().lower())
    if b"snapshot-content-location" in names:
        return "mht"
    others = {b"to", b"subject", b"date", b"message-id", b"received", b"mime-version", b"return-path", b"delivered-to"}
    senders = {b"from", b"return-path", b"received", b"delivered-to"}
    if not names & senders or len(names & others | names & senders) < 3:
        return ""
    return "mbox" if box else "mail"
