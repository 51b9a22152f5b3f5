"""Compound files of Microsoft (MS-CFB), written for tests: folders and streams as nested dictionaries."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

SECTOR, MINI_SECTOR, CUTOFF = 512, 64, 4096
FREE, END, FAT = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD
Tree = dict[str, Any]


@dataclass
class _Entry:
    name: str
    kind: int  # 5 root, 1 storage, 2 stream
    data: bytes = b""
    left: int = FREE
    right: int = FREE
    child: int = FREE
    start: int = END
    size: int = 0


@dataclass
class _Writer:
    entries: list[_Entry] = field(default_factory=list)
    sectors: list[bytes] = field(default_factory=list)
    fat: list[int] = field(default_factory=list)

    def add(self, name: str, content: Tree | bytes, kind: int) -> int:
        number = len(self.entries)
        entry = _Entry(name, kind)
        self.entries.append(entry)
        if isinstance(content, bytes):
            entry.data, entry.size = content, len(content)
            return number
        names = sorted(content, key=lambda each: (len(each), each.upper()))
        numbers = [self.add(each, content[each], 2 if isinstance(content[each], bytes) else 1) for each in names]
        entry.child = self._balance(numbers)
        return number

    def _balance(self, numbers: list[int]) -> int:
        if not numbers:
            return FREE
        middle = len(numbers) // 2
        node = self.entries[numbers[middle]]
        node.left, node.right = self._balance(numbers[:middle]), self._balance(numbers[middle + 1 :])
        return numbers[middle]

    def store(self, data: bytes) -> int:
        """Store bytes in sectors of their own and return the first."""
        if not data:
            return END
        first = len(self.sectors)
        for at in range(0, len(data), SECTOR):
            self.sectors.append(data[at : at + SECTOR].ljust(SECTOR, b"\0"))
            self.fat.append(len(self.sectors))
        self.fat[-1] = END
        return first

    def file(self) -> bytes:
        mini, mini_fat = b"", []
        for entry in self.entries[1:]:
            if entry.kind != 2 or not entry.data:
                continue
            if entry.size >= CUTOFF:
                entry.start = self.store(entry.data)
                continue
            entry.start = len(mini) // MINI_SECTOR
            count = -(-entry.size // MINI_SECTOR)
            mini_fat += [*range(entry.start + 1, entry.start + count), END]
            mini += entry.data.ljust(count * MINI_SECTOR, b"\0")
        root = self.entries[0]
        root.start, root.size = self.store(mini), len(mini)
        mini_bytes = b"".join(struct.pack("<I", each) for each in mini_fat)
        mini_sectors = -(-len(mini_bytes) // SECTOR)
        mini_start = self.store(mini_bytes.ljust(mini_sectors * SECTOR, b"\xff"))
        directory = b"".join(_directory_entry(entry) for entry in self.entries)
        directory_start = self.store(directory.ljust(-(-len(directory) // SECTOR) * SECTOR, b"\0"))
        fat_sectors = 1
        while fat_sectors * 128 < len(self.fat) + fat_sectors:
            fat_sectors += 1
        fat_start = len(self.sectors)
        table = [*self.fat, *([FAT] * fat_sectors)]
        table += [FREE] * (fat_sectors * 128 - len(table))
        header = struct.pack("<8s16xHHHHH6x", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 0x3E, 3, 0xFFFE, 9, 6)
        header += struct.pack(
            "<IIIIIIIII", 0, fat_sectors, directory_start, 0, CUTOFF, mini_start, mini_sectors, END, 0
        )
        header += b"".join(struct.pack("<I", fat_start + n if n < fat_sectors else FREE) for n in range(109))
        return header + b"".join(self.sectors) + b"".join(struct.pack("<I", each) for each in table)


def _directory_entry(entry: _Entry) -> bytes:
    name = entry.name.encode("utf-16-le") + b"\0\0"
    return name.ljust(64, b"\0") + struct.pack(
        "<HBBIII16xI16xIQ", len(name), entry.kind, 1, entry.left, entry.right, entry.child, 0, entry.start, entry.size
    )


def compound_file(tree: Tree) -> bytes:
    """Return a compound file; `tree` maps names to bytes (streams) or to further trees (storages)."""
    writer = _Writer()
    writer.add("Root Entry", tree, 5)
    return writer.file()


def properties(header: int, numbers: dict[int, int] | None = None, times: dict[int, datetime] | None = None) -> bytes:
    """Return a stream of properties with a header of that many bytes: numbers and times by property id."""
    entries = [struct.pack("<HHIII", 0x0003, key, 6, value, 0) for key, value in (numbers or {}).items()]
    start = datetime(1601, 1, 1, tzinfo=UTC)
    for key, time in (times or {}).items():
        ticks = int((time - start).total_seconds()) * 10_000_000
        entries.append(struct.pack("<HHIQ", 0x0040, key, 6, ticks))
    return bytes(header) + b"".join(entries)


def texts(values: dict[int, str], encoding: str = "utf-16-le") -> Tree:
    """Return the streams of texts by property id; in another encoding than Unicode as the older kind of text."""
    kind = 0x001F if encoding == "utf-16-le" else 0x001E
    return {f"__substg1.0_{key:04X}{kind:04X}": value.encode(encoding) for key, value in values.items()}


def message(
    values: dict[int, str],
    *,
    header: int = 32,
    encoding: str = "utf-16-le",
    numbers: dict[int, int] | None = None,
    times: dict[int, datetime] | None = None,
    html: bytes = b"",
    recipients: tuple[tuple[str, str, int], ...] = (),
    attachments: tuple[Tree, ...] = (),
) -> Tree:
    """Return the tree of a message of Outlook; a recipient is (name, address, 1 for To or 2 for Cc)."""
    tree: Tree = texts(values, encoding) | {"__properties_version1.0": properties(header, numbers, times)}
    if html:
        tree["__substg1.0_10130102"] = html
    for number, (name, address, kind) in enumerate(recipients):
        tree[f"__recip_version1.0_#{number:08X}"] = texts({0x3001: name, 0x39FE: address}) | {
            "__properties_version1.0": properties(8, {0x0C15: kind})
        }
    for number, attachment in enumerate(attachments):
        tree[f"__attach_version1.0_#{number:08X}"] = attachment
    return tree


def attachment(name: str, data: bytes | Tree, mime_type: str = "") -> Tree:
    """Return the tree of an attachment: bytes, or a message."""
    tree: Tree = texts({0x3707: name, 0x370E: mime_type}) | {"__properties_version1.0": properties(8)}
    tree["__substg1.0_37010102" if isinstance(data, bytes) else "__substg1.0_3701000D"] = data
    return tree
