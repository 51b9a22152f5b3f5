"""Reads pprof's profiles with protobuf's own runtime, by the fields of its profile.proto."""

from __future__ import annotations

import gzip
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

# Fields by number; a type in capitals is a message, "+" means repeated.
_MESSAGES = {
    "Profile": {
        1: "sample_type ValueType+",
        2: "sample Sample+",
        3: "mapping Mapping+",
        4: "location Location+",
        5: "function Function+",
        6: "string_table string+",
        9: "time_nanos int64",
        11: "period_type ValueType",
        12: "period int64",
        13: "comment int64+",
        14: "default_sample_type int64",
    },
    "ValueType": {1: "type int64", 2: "unit int64"},
    "Sample": {1: "location_id uint64+", 2: "value int64+"},
    "Mapping": {1: "id uint64"},
    "Location": {1: "id uint64", 2: "mapping_id uint64", 3: "address uint64", 4: "line Line+"},
    "Line": {1: "function_id uint64", 2: "line int64"},
    "Function": {1: "id uint64", 2: "name int64", 3: "system_name int64", 4: "filename int64", 5: "start_line int64"},
}
_TYPES = {"int64": 3, "uint64": 4, "string": 9}


def read_profile(content: bytes) -> Any:
    """Return the message Profile; fails on fields that pprof does not know."""
    file = descriptor_pb2.FileDescriptorProto(name="profile.proto", package="perftools.profiles", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, text in fields.items():
            field, kind = text.split()
            plain = kind.removesuffix("+")
            made = message.field.add(name=field, number=number, label=3 if kind.endswith("+") else 1)
            if plain in _TYPES:
                made.type = _TYPES[plain]
            else:
                made.type, made.type_name = 11, f".perftools.profiles.{plain}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = message_factory.GetMessageClass(pool.FindMessageTypeByName("perftools.profiles.Profile"))()
    found.ParseFromString(gzip.decompress(content))
    size = found.ByteSize()
    found.DiscardUnknownFields()
    assert found.ByteSize() == size, "fields that pprof does not know"
    return found
