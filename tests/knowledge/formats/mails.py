"""Mails for tests, as mail programs write them, and what their attachments arrive as."""

from __future__ import annotations

from email.message import EmailMessage


def mail(subject: str, text: str, *, html: str = "", **headers: str) -> EmailMessage:
    """Return a mail with a plain body, and with a page as its other version if `html` is given."""
    message = EmailMessage()
    message["Subject"] = subject
    for name, value in {"From": "Anna <anna@example.org>", "To": "bob@example.org", **headers}.items():
        message[name] = value
    message.set_content(text)
    if html:
        message.add_alternative(html, subtype="html")
    return message


def attach(message: EmailMessage, name: str | None, data: bytes, media_type: str = "application/octet-stream") -> None:
    """Attach a file to a mail."""
    main, _slash, sub = media_type.partition("/")
    message.add_attachment(data, maintype=main, subtype=sub, filename=name)


class ReceivedAttachments:
    """Takes in the files that a file brings while it is parsed."""

    def __init__(self) -> None:
        self.files: list[tuple[str, bytes]] = []
        self.largest_piece = 0
        self._name = ""
        self._data = bytearray()

    def begin(self, name: str) -> None:
        self._name, self._data = name, bytearray()

    def write(self, data: bytes) -> None:
        self.largest_piece = max(self.largest_piece, len(data))
        self._data += data

    def end(self, *, keep: bool) -> None:
        if keep:
            self.files.append((self._name, bytes(self._data)))

    def reset(self) -> None:
        self.files.clear()
