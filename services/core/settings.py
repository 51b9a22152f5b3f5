"""Every setting of the service: one class, each field described, read from the environment and a file."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from services.core.backup_settings import BackupSettings
from services.core.languages import LANGUAGES, matching_language
from services.core.machine import MEGABYTE
from services.core.networks import is_host_name, listed, parsed_networks
from services.core.oidc_settings import OidcSettings
from services.core.storage_settings import StorageSettings

DATABASE_FILE = "millpond.db"
AUDIT_KEY_FILE = "audit.key"
PREFIX = "MILLPOND_"
CONFIG_VARIABLE = "MILLPOND_CONFIG"

# Fields by the name that they had in earlier versions, which is still read.
RENAMED = {
    "looks_per_user": "diagnostics_per_user",
    "looks_total": "diagnostics_total",
    "looks_waiting": "diagnostics_waiting",
    "look_seconds": "diagnostics_seconds",
}


def default_data_dir() -> Path:
    """Return where state is kept when nothing else is configured."""
    return Path.home() / ".local" / "share" / "millpond"


class Settings(BackupSettings, StorageSettings, OidcSettings):
    """Settings by field; the environment variable is `MILLPOND_` and the field's name in capitals.

    Sources, the first one wins: arguments, environment, the file named by `MILLPOND_CONFIG` (TOML), names of earlier
    versions (`RENAMED`) in the environment and then in the file, defaults.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    data_dir: Path = Field(default_factory=default_data_dir, description="Folder that holds all state")
    language: str = Field(
        "en",
        description="Language of the texts where neither a person nor their browser asks for one: en, zh_CN, zh_TW",
    )

    host: str = Field("127.0.0.1", description="Address to listen on")
    port: int = Field(8501, ge=0, le=65535, description="Port to listen on; 0: any free one")
    insecure: bool = Field(
        False, description="Allow listening beyond loopback without sign-in and TLS: for tests; every page says so"
    )
    tls_cert: str = Field(
        "", description="Certificate (PEM, with those between it and the root), read again when it changes; empty: HTTP"
    )
    tls_key: str = Field("", description="Its private key (PEM, without a passphrase); empty: in the same file")
    trusted_proxies: str = Field(
        "",
        description="Addresses and networks of reverse proxies, separated by commas: only they are believed about the "
        "client's address (X-Forwarded-For) and https (X-Forwarded-Proto); empty: none",
    )
    base_path: str = Field(
        "", description="Path under which a reverse proxy publishes the console, e.g. /millpond; empty: at the root"
    )
    allowed_hosts: str = Field("", description="Further host names of the console, separated by commas")
    connections_limit: int = Field(
        0,
        ge=0,
        description="Most connections at once; 0: as many as descriptors allow, at most 4096. Over it idle ones are "
        "closed, and where there are none only health checks, metrics and administrators are served",
    )
    header_seconds: float = Field(
        8.0,
        gt=0,
        description="Longest time for the head of a request, or for a connection that says nothing, in seconds",
    )
    stall_seconds: float = Field(
        20.0,
        gt=0,
        description="Longest time in which nothing of a request's body arrives, or of a response is read, in seconds",
    )
    body_bytes_per_second: int = Field(
        500,
        ge=1,
        description="Least speed at which the body of a request must arrive in the long run, in bytes a second",
    )
    log_format: Literal["auto", "json", "text"] = Field("auto", description="Log lines; auto: text on a terminal")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Lowest level that is logged")

    embedding_model: str = Field(
        "",
        description="Embedding model: all-MiniLM-L6-v2 or multilingual-e5-small by name, the folder of a "
        "sentence-transformers model, or a packed file; empty: the default. See docs/models.md",
    )
    embedding_sha256: str = Field(
        "", description="Expected sha256 of its weights; empty: checked for bundled models alone"
    )
    embedding_device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where embeddings are computed")
    embedding_precision: Literal["auto", "float32", "bfloat16", "float16", "int8"] = Field(
        "auto",
        description="Arithmetic of the embedding model; auto: int8 on a CPU where the model's vectors hold in it, else "
        "float32, and float16 on a GPU; bfloat16 and float16 on a CPU load torch, 220 MB",
    )
    embedding_idle_minutes: float = Field(
        0.0,
        ge=0,
        description="The embedding model's weights are unloaded after this time without use, in minutes; 0: never",
    )
    embedding_threads: int = Field(0, ge=0, description="Threads for embedding; 0: one per core")
    model_key: str = Field(
        "",
        description="File of a public key (PEM): configured embedding and GGUF models are loaded only if its owner has "
        "signed them; empty: no signature is asked for. See docs/models.md",
    )
    chunk_tokens: int = Field(200, ge=16, description="Largest chunk in tokens of the embedding model")
    chunk_overlap_tokens: int = Field(24, ge=0, description="Tokens that neighbouring chunks share")

    upload_limit_mb: int = Field(200, ge=1, description="Largest file in MB")
    attachments_limit: int = Field(
        1000, ge=0, description="Most attachments of one file that become documents of their own; 0: none"
    )
    undo_seconds: float = Field(
        10.0, ge=0, le=300, description="How long a deletion on a page can be called off, in seconds; 0: not at all"
    )
    queue_limit: int = Field(10_000, ge=1, description="Largest number of unfinished ingestion jobs")
    parser_memory_mb: int = Field(1024, ge=128, description="Address space of the process that parses a file, in MB")
    parser_cpu_seconds: int = Field(120, ge=1, description="CPU time for parsing one file, in seconds")
    parser_wall_seconds: int = Field(300, ge=1, description="Time for parsing one file, in seconds")
    parser_output_mb: int = Field(64, ge=1, description="Largest text extracted from one file, in MB")
    ocr: bool = Field(
        True,
        description="Read pages without a text layer and pictures by text recognition (OCR); off: such pages are "
        "noted, and pictures are refused",
    )
    ocr_memory_mb: int = Field(
        2048, ge=128, description="Address space of the process that recognises text, in MB; there is one at most"
    )
    ocr_page_seconds: int = Field(60, ge=5, description="CPU time for recognising the text of one page, in seconds")
    ocr_threads: int = Field(1, ge=1, description="Threads of the process that recognises text")
    free_disk_mb: int = Field(256, ge=0, description="New files are refused when less than this is free, in MB")

    snapshot_seconds: float = Field(30.0, gt=0, description="Longest time between a change and its index snapshot")
    upgrade_copy_days: float = Field(
        14.0,
        ge=0,
        description="Days for which the copy of the database from before an upgrade is kept; it holds what is deleted "
        "meanwhile. 0: until the upgrade has succeeded",
    )
    snapshots_kept: int = Field(2, ge=1, description="Index snapshots kept on disk")

    memory_limit_mb: int = Field(
        0,
        ge=0,
        description="Memory limit of the process, in MB; 0: the container's limit, else a share of RAM",
    )
    malloc_arenas: int = Field(
        2, ge=0, description="Arenas of the C library's allocator; fewer retain less freed memory; 0: its default"
    )
    memory_share: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Share of the RAM that is the limit where neither a setting nor the container sets one",
    )
    budget: Literal["act", "dry-run", "off"] = Field(
        "act", description="What the memory budget does: act, only report what it would do, or nothing"
    )
    budget_soft: float = Field(0.75, gt=0, le=1, description="Soft watermark, as a share of the limit")
    budget_high: float = Field(0.85, gt=0, le=1, description="High watermark, as a share of the limit")
    budget_hard: float = Field(0.93, gt=0, le=1, description="Hard watermark, as a share of the limit")
    budget_sustained_seconds: float = Field(
        5.0, ge=0, description="RSS must be over a watermark for this time, in seconds"
    )
    budget_cool_down_seconds: float = Field(
        60.0, ge=0, description="Shortest time between two uses of an action, in seconds"
    )
    budget_restart_after_seconds: float = Field(
        60.0, ge=0, description="RSS must be over the hard watermark for this time before a restart, in seconds"
    )
    budget_restart_minutes: float = Field(
        60.0, ge=0, description="Shortest time between two restarts that the memory budget requests, in minutes"
    )
    webhook_url: str = Field("", description="URL that alerts are sent to, as JSON by POST; empty: none")
    webhook_secret: SecretStr = Field(
        SecretStr(""), description="Key for the signature of alerts: any text, or whsec_ and base64; empty: not signed"
    )
    restart_after_requests: int = Field(0, ge=0, description="Planned restart after this number of requests; 0: never")
    restart_after_hours: float = Field(0.0, ge=0, description="Planned restart after this number of hours; 0: never")
    drain_seconds: float = Field(
        60.0, gt=0, description="Longest time that a restart waits for requests in progress, in seconds"
    )
    restart_standby: bool = Field(
        True, description="Load the next process before a supervised restart ends this one, where memory allows both"
    )
    restarted_by: Literal["auto", "service", "nobody"] = Field(
        "auto",
        description="Who starts the process again when it ends with code 75: a service manager (systemd, Kubernetes, a "
        "container with a restart policy), nobody, or auto: detected",
    )
    visitors: Literal["admin", "user"] = Field(
        "admin", description="Role of visitors: administrators act on the process, users only ask, upload and read"
    )
    admin_token: SecretStr = Field(
        SecretStr(""), description="Token that makes a visitor an administrator where visitors are users"
    )
    session_idle_minutes: float = Field(
        720.0, gt=0, description="A session ends after this time without use, in minutes"
    )
    session_days: float = Field(14.0, gt=0, description="A session ends so long after the sign-in, in days")
    new_collection_access: Literal["none", "read", "write"] = Field(
        "none", description="What everyone may do in collections that are made once there are accounts"
    )
    secret_key_file: str = Field(
        "",
        description="File with mode 0600 that holds the key which encrypts stored secrets; empty: "
        "MILLPOND_SECRET_KEY, or secret.key in the data folder, made when it is needed",
    )
    secret_key: SecretStr = Field(
        SecretStr(""), description="That key itself, at least 32 characters; a new one goes before the old one"
    )
    audit_days: int = Field(365, ge=0, description="Days that the audit log keeps records; 0: forever")
    audit_key: str = Field(
        "",
        description="File of the key that signs the audit log, made at first use; empty: audit.key in the data folder",
    )
    audit_keep_names: bool = Field(
        False, description="Keep names of deleted documents and collections in the audit log; they are erased otherwise"
    )
    embedding_cache_mb: int = Field(
        8, ge=0, description="Cache of vectors of questions and of quoted sentences, in MB; 0: none"
    )
    answer_cache_mb: int = Field(16, ge=0, description="Cache of answers and search results, in MB; 0: none")
    cache_seconds: float = Field(3600.0, gt=0, description="Longest time that a cached answer is used, in seconds")
    breaker_failures: int = Field(
        3, ge=1, description="A chat model is not used for a while after this number of failures in a row"
    )
    breaker_seconds: float = Field(
        20.0, gt=0, description="How long at first, in seconds; doubled after each further failure"
    )
    model_idle_minutes: float = Field(
        30.0,
        ge=0,
        description="A local chat model is unloaded after this time without a question, in minutes; 0: never",
    )
    mask_exports: bool = Field(
        False,
        description="Mask personal data and secrets (phone, identity and card numbers, e-mail, keys) in exports of "
        "conversations; in the log, events and alerts they always are",
    )
    mask_answers: bool = Field(
        False, description="Mask personal data and secrets in answers and what they quote, before anybody reads them"
    )
    gpu_memory_mb: int = Field(0, ge=0, description="GPU memory limit of this process, in MB; 0: no limit")

    question_characters: int = Field(4000, ge=1, description="Longest question in characters")
    answers_per_user: int = Field(2, ge=1, description="Concurrent answers for one user")
    answers_total: int = Field(8, ge=1, description="Concurrent answers in all")
    answers_waiting: int = Field(32, ge=0, description="Questions that may wait for a slot")
    answer_seconds: float = Field(120.0, gt=0, description="Longest time for one answer, in seconds")
    searches_per_user: int = Field(16, ge=1, description="Concurrent searches for one user")
    searches_total: int = Field(32, ge=1, description="Concurrent searches in all")
    searches_waiting: int = Field(256, ge=0, description="Searches that may wait for a slot")
    search_seconds: float = Field(30.0, gt=0, description="Longest time for one search, in seconds")
    uploads_per_user: int = Field(4, ge=1, description="Concurrent uploads for one user")
    uploads_total: int = Field(16, ge=1, description="Concurrent uploads in all")
    uploads_waiting: int = Field(256, ge=0, description="Uploads that may wait for a slot")
    upload_seconds: float = Field(3600.0, gt=0, description="Longest time for receiving one upload, in seconds")
    diagnostics_per_user: int = Field(
        1, ge=1, description="Concurrent memory diagnostics (object censuses, experiments) for one user"
    )
    diagnostics_total: int = Field(1, ge=1, description="Concurrent memory diagnostics in all")
    diagnostics_waiting: int = Field(16, ge=0, description="Memory diagnostics that may wait for a slot")
    diagnostics_seconds: float = Field(600.0, gt=0, description="Longest time for one memory diagnostic, in seconds")
    history_turns: int = Field(
        5, ge=0, description="Turns of a conversation that are sent to the model and kept in RAM"
    )

    openai_base_url: str = Field("", description="URL of an OpenAI-compatible server, e.g. http://127.0.0.1:8000/v1")
    openai_api_key: SecretStr = Field(SecretStr(""), description="Key for that server")
    openai_model: str = Field("", description="Name of the model on that server")
    ollama_url: str = Field("http://127.0.0.1:11434", description="URL of Ollama")
    allowed_addresses: str = Field(
        "",
        description="Addresses, networks and host names, separated by commas, to which requests to chat servers and "
        "the webhook may go although they are refused otherwise: metadata services of clouds (169.254.0.0/16 and "
        "others), unspecified and multicast addresses, this server itself",
    )
    gguf_path: str = Field("", description="GGUF file for a local model in this process (extra: gguf)")
    gguf_context_tokens: int = Field(4096, ge=512, description="Context of the local model, in tokens")
    gguf_cache_precision: Literal["q8_0", "f16"] = Field(
        "q8_0", description="Precision of the local model's context cache: q8_0 takes half the memory of f16"
    )

    @field_validator("language")
    @classmethod
    def _is_language(cls, value: str) -> str:
        language = matching_language(value)
        if language is None:
            raise ValueError(f"{value[:40]} is not among the languages there are texts in: {', '.join(LANGUAGES)}")
        return language

    @field_validator("base_path")
    @classmethod
    def _is_path(cls, value: str) -> str:
        """Return the path with a slash before it and none behind it."""
        path = value.strip().strip("/")
        if not path:
            return ""
        if not re.fullmatch(r"[A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*", path):
            raise ValueError("must be a path of letters, digits and . _ ~ - such as /millpond")
        return f"/{path}"

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: str) -> str:
        """Refuse what is no address or network: a name could lead anywhere."""
        parsed_networks(value)
        return value

    @field_validator("allowed_addresses")
    @classmethod
    def _are_networks_or_names(cls, value: str) -> str:
        """Refuse what is neither an address nor a network nor a host's name."""
        for entry in listed(value):
            if not is_host_name(entry):
                parsed_networks(entry)
        return value

    @field_validator("webhook_url")
    @classmethod
    def _is_address(cls, value: str) -> str:
        """Refuse an invalid address at the start, not with the first alert."""
        if value and (urlsplit(value).scheme not in {"http", "https"} or not urlsplit(value).hostname):
            raise ValueError("must begin with http:// or https:// and name a host")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then environment, then the TOML file, then old names in either."""
        file = config_file(settings_cls)
        current = {name: value for name, value in file.items() if name not in RENAMED}
        former = {new: file[old] for old, new in RENAMED.items() if old in file} | {
            RENAMED[old]: value for old, value in former_variables().items()
        }
        return (
            init_settings,
            env_settings,
            InitSettingsSource(settings_cls, current),
            InitSettingsSource(settings_cls, former),
        )

    @property
    def effective_database_url(self) -> str:
        """The database URL with the default filled in."""
        return self.database_url or f"sqlite:///{self.data_dir / DATABASE_FILE}"

    @property
    def effective_audit_key(self) -> Path:
        """The file of the key that signs the audit log."""
        return Path(self.audit_key) if self.audit_key else self.data_dir / AUDIT_KEY_FILE

    @property
    def upload_limit_bytes(self) -> int:
        """Largest file in bytes."""
        return self.upload_limit_mb * MEGABYTE


def config_file(settings: type[BaseSettings]) -> dict[str, Any]:
    """Return what the file of settings holds, empty without one."""
    return dict(TomlConfigSettingsSource(settings, toml_file=os.environ.get(CONFIG_VARIABLE) or None).toml_data)


def former_variables() -> dict[str, str]:
    """Return the values that the environment gives under names of earlier versions, by these."""
    variables = {name.upper(): value for name, value in os.environ.items()}
    return {old: variables[PREFIX + old.upper()] for old in RENAMED if PREFIX + old.upper() in variables}
