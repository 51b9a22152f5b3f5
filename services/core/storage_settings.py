"""The settings of where a pond is stored: its database; its original files, in a folder or a bucket of an S3 server;
answers and vectors that nodes keep for each other, in a Redis server.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings

_S3 = "s3://"
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,62}")
_PREFIX = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*")


@dataclass(frozen=True, slots=True)
class S3Location:
    """A part of a bucket; `endpoint` and `region` are empty where the environment or the provider say them."""

    bucket: str
    prefix: str = ""
    endpoint: str = ""
    region: str = ""

    @classmethod
    def of(cls, url: str) -> S3Location:
        """Return what `s3://bucket/prefix?endpoint=https://host&region=name` names.

        Raises:
            ValueError: it is not of that form.
        """
        parts = urlsplit(url)
        given = parse_qsl(parts.query, keep_blank_values=True)
        query = dict(given)
        if parts.scheme != "s3" or not _BUCKET.fullmatch(parts.netloc):
            raise ValueError("must be s3://BUCKET/PREFIX, without a user, password or port")
        prefix = parts.path.strip("/")
        if prefix and (not _PREFIX.fullmatch(prefix) or {".", ".."} & set(prefix.split("/"))):
            raise ValueError("the prefix must be of letters, digits and . _ - / alone")
        if len(query) != len(given) or query.keys() - {"endpoint", "region"} or parts.fragment:
            raise ValueError("after the ? only endpoint= and region= are known, each once")
        endpoint = urlsplit(query.get("endpoint", ""))
        if "endpoint" in query and (
            endpoint.scheme not in {"http", "https"}
            or not endpoint.hostname
            or "@" in endpoint.netloc
            or endpoint.query
            or endpoint.fragment
        ):
            raise ValueError("the endpoint must be https://HOST (or http://HOST), without a password, ? and #")
        return cls(parts.netloc, prefix, query.get("endpoint", "").rstrip("/"), query.get("region", ""))


@dataclass(frozen=True, slots=True)
class CacheLocation:
    """A database of a Redis server; `ca` is a file of certificates by which a server with TLS is checked."""

    host: str
    port: int = 6379
    database: int = 0
    user: str = ""
    password: str = field(default="", repr=False)
    tls: bool = False
    ca: str = ""

    @classmethod
    def of(cls, url: str) -> CacheLocation:
        """Return what `rediss://user:password@host:port/0?ca=/path` names; all but the host may be left out.

        Raises:
            ValueError: it is not of that form.
        """
        parts = urlsplit(url)
        given = parse_qsl(parts.query, keep_blank_values=True)
        query = dict(given)
        if parts.scheme not in {"redis", "rediss"} or not parts.hostname:
            raise ValueError("must be redis://:PASSWORD@HOST:PORT/0, or rediss:// for TLS")
        number = parts.path.strip("/") or "0"
        if not re.fullmatch(r"\d{1,4}", number, re.ASCII):
            raise ValueError("after the host there is the number of a database, as /0, or nothing")
        tls, ca = parts.scheme == "rediss", query.get("ca", "")
        if len(query) != len(given) or query.keys() - {"ca"} or parts.fragment or (query and not (tls and ca)):
            raise ValueError("after the ? only ca=/path/of/certificates.pem is known, with rediss://")
        return cls(
            parts.hostname,
            6379 if parts.port is None else parts.port,
            int(number),
            unquote(parts.username or ""),
            unquote(parts.password or ""),
            tls,
            ca,
        )


class StorageSettings(BaseSettings):
    """Part of `Settings`; docs/postgresql.md and docs/files.md say what each place is good for."""

    database_url: str = Field(
        "",
        description=(
            "Where the database is: postgresql://USER:PASSWORD@HOST/DATABASE, best with a schema or database of its "
            "own; empty: SQLite in the data folder"
        ),
    )
    database_replicated: bool = Field(
        False,
        description="Litestream copies the SQLite database while it is in use: the checkpoints are Litestream's then, "
        "and pages have no checksums. See docs/backup.md",
    )
    vector_search: Literal["node", "database"] = Field(
        "node",
        description="Where vectors are searched: node: by an index in this process's memory; database: in PostgreSQL, "
        "by its extension pgvector, so that memory does not grow with the documents. See docs/postgresql.md",
    )
    files_url: str = Field(
        "",
        description="Where original files are kept: the absolute path of a folder, or "
        "s3://bucket/prefix?endpoint=https://host&region=name; empty: in the data folder. See docs/files.md",
    )
    files_access_key: str = Field(
        "", description="Access key for S3; empty: AWS_ACCESS_KEY_ID, or what the cloud gives"
    )
    files_secret_key: SecretStr = Field(
        SecretStr(""), description="Its secret; empty: AWS_SECRET_ACCESS_KEY, or what the cloud gives"
    )
    files_cache_mb: int = Field(
        1024, ge=16, description="Originals from S3 that are kept in the data folder while they are used, in MB"
    )
    files_seconds: float = Field(
        15.0, gt=0, description="Longest time in which S3 may not answer, in seconds; 5 MB are sent at once"
    )

    cache_url: str = Field(
        "",
        description="A Redis server in which nodes keep answers, search results and vectors for each other: "
        "redis://:PASSWORD@HOST:PORT/0, rediss:// for TLS; empty: each process has its own alone. See docs/cache.md",
    )

    node_name: str = Field(
        "",
        max_length=100,
        description="Name of this node among several that share a PostgreSQL database, the same after each start; "
        "empty: the machine's name and the port",
    )
    node_url: str = Field(
        "",
        max_length=200,
        pattern=r"^(https?://[A-Za-z0-9.:\[\]_-]+)?$",
        description="Address at which the other nodes reach this one, such as http://10.0.0.11:8501; empty: where it "
        "listens, which is 127.0.0.1 where it listens on all addresses",
    )

    @field_validator("database_url")
    @classmethod
    def _is_known_database(cls, value: str) -> str:
        """Return the address of PostgreSQL with the driver that Millpond has; refuse other databases."""
        scheme, _separator, rest = value.partition("://")
        if not value or scheme == "sqlite":
            return value
        if scheme not in {"postgres", "postgresql", "postgresql+psycopg"} or not rest:
            raise ValueError("must begin with postgresql:// or sqlite:///")
        return f"postgresql+psycopg://{rest}"

    @field_validator("files_url")
    @classmethod
    def _is_place(cls, value: str) -> str:
        """Refuse what is neither an absolute path nor a bucket, at the start."""
        if value.startswith(_S3):
            S3Location.of(value)
        elif value and not value.startswith("/"):
            raise ValueError("must be an absolute path, or begin with s3://")
        return value

    @field_validator("cache_url")
    @classmethod
    def _is_redis(cls, value: str) -> str:
        """Refuse what is no address of a Redis server, at the start."""
        if value:
            CacheLocation.of(value)
        return value

    @property
    def s3_location(self) -> S3Location | None:
        """The bucket in which originals are kept, None where they are in a folder."""
        return S3Location.of(self.files_url) if self.files_url.startswith(_S3) else None
