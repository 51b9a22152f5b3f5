from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from services.core.setting_names import RenamedSetting, UnknownVariable, renamed_settings, unknown_variables
from services.core.settings import RENAMED, Settings
from services.core.storage_settings import CacheLocation, S3Location


def test_environment_wins_over_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment overrides the TOML file, which overrides the default."""
    config = tmp_path / "millpond.toml"
    config.write_text('port = 9000\nlog_level = "debug"\n')
    monkeypatch.setenv("MILLPOND_CONFIG", str(config))
    monkeypatch.setenv("MILLPOND_PORT", "9001")
    settings = Settings()
    assert (settings.port, settings.log_level, settings.history_turns) == (9001, "debug", 5)


def test_misspelt_setting_in_the_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that does not exist is an error, not silence."""
    config = tmp_path / "millpond.toml"
    config.write_text("upload_limit = 3\n")
    monkeypatch.setenv("MILLPOND_CONFIG", str(config))
    with pytest.raises(ValidationError, match="upload_limit"):
        Settings()


def test_key_is_not_shown() -> None:
    """The key of a model server does not appear when the settings are printed."""
    assert "geheim" not in repr(Settings(openai_api_key="geheim"))


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("files", "absolute path"),
        ("https://s3.example/pond", "absolute path"),
        ("s3://key:geheim@pond", "without a user"),
        ("s3://", "BUCKET"),
        ("s3://pond/../other", "prefix"),
        ("s3://pond/a?endpont=https://s3.example", "endpoint= and region="),
        ("s3://pond/a?region=a&region=b", "each once"),
        ("s3://pond/a?endpoint=s3.example", "endpoint must be https"),
        ("s3://pond/a?endpoint=https://me:geheim@s3.example", "without a password"),
    ],
)
def test_place_of_originals_that_cannot_be_meant_is_refused(url: str, reason: str) -> None:
    """A place that is mistyped, relative, or holds a password is refused at the start, not with the first upload."""
    with pytest.raises(ValidationError, match=reason):
        Settings(files_url=url)


def test_place_of_originals_is_read() -> None:
    """Bucket, prefix, endpoint and region are taken from the address; a folder is none."""
    found = Settings(files_url="s3://pond/a/b/?region=eu-west-1&endpoint=http://127.0.0.1:8333/").s3_location
    assert found == S3Location("pond", "a/b", "http://127.0.0.1:8333", "eu-west-1")
    assert Settings(files_url="s3://pond").s3_location == S3Location("pond")
    assert Settings(files_url="/srv/originals").s3_location is None


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("cache.example:6379", "must be redis://"),
        ("http://cache.example", "must be redis://"),
        ("redis://", "must be redis://"),
        ("redis://cache/first", "number of a database"),
        ("redis://cache:port", "Port"),
        ("redis://cache/0?socket_timeout=60", "only ca="),
        ("redis://cache/0?ca=/ca.pem", "only ca="),
        ("rediss://cache/0?ca=", "only ca="),
    ],
)
def test_address_of_the_shared_cache_that_cannot_be_meant_is_refused(url: str, reason: str) -> None:
    """A mistyped address would look like a server that is away for ever, or a time limit of its own would hold
    questions up.
    """
    with pytest.raises(ValidationError, match=reason):
        Settings(cache_url=url)


def test_address_of_the_shared_cache_is_read() -> None:
    """A password with special characters, the port, the database or the certificates would be others."""
    assert CacheLocation.of("redis://cache") == CacheLocation("cache", 6379)
    found = CacheLocation.of("rediss://mill:a%20b%40c@[::1]:6380/3?ca=/etc/ca.pem")
    assert found == CacheLocation("::1", 6380, 3, "mill", "a b@c", tls=True, ca="/etc/ca.pem")
    assert "a b" not in repr(found)


def test_database_lies_in_the_data_folder(tmp_path: Path) -> None:
    """Without a database URL, state is one SQLite file in the data folder."""
    assert Settings(data_dir=tmp_path).effective_database_url == f"sqlite:///{tmp_path}/millpond.db"


def test_old_names_are_still_read_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation whose environment and file were written for an earlier version runs as before, and learns the
    new names.
    """
    config = tmp_path / "millpond.toml"
    config.write_text("looks_waiting = 3\nlook_seconds = 7.5\nport = 9000\n")
    monkeypatch.setenv("MILLPOND_CONFIG", str(config))
    monkeypatch.setenv("MILLPOND_LOOKS_TOTAL", "4")
    settings = Settings()
    assert (settings.diagnostics_total, settings.diagnostics_waiting, settings.diagnostics_seconds) == (4, 3, 7.5)
    assert settings.port == 9000
    assert renamed_settings() == [
        RenamedSetting("MILLPOND_LOOKS_TOTAL", "MILLPOND_DIAGNOSTICS_TOTAL"),
        RenamedSetting("looks_waiting", "diagnostics_waiting"),
        RenamedSetting("look_seconds", "diagnostics_seconds"),
    ]


def test_a_new_name_wins_over_an_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the two stand; of two old ones, the environment's counts."""
    config = tmp_path / "millpond.toml"
    config.write_text("diagnostics_total = 2\nlooks_waiting = 3\n")
    monkeypatch.setenv("MILLPOND_CONFIG", str(config))
    monkeypatch.setenv("MILLPOND_LOOKS_TOTAL", "4")
    monkeypatch.setenv("millpond_looks_waiting", "5")
    monkeypatch.setenv("MILLPOND_LOOKS_PER_USER", "6")
    monkeypatch.setenv("MILLPOND_DIAGNOSTICS_PER_USER", "1")
    settings = Settings()
    assert (settings.diagnostics_total, settings.diagnostics_waiting, settings.diagnostics_per_user) == (2, 5, 1)


def test_an_old_name_is_checked_like_the_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that cannot be used is refused under either name."""
    monkeypatch.setenv("MILLPOND_LOOKS_TOTAL", "0")
    with pytest.raises(ValidationError, match="diagnostics_total"):
        Settings()


def test_every_old_name_leads_to_a_setting() -> None:
    """A name that leads nowhere would be refused at the start; one that still exists could not be renamed."""
    assert set(RENAMED.values()) <= set(Settings.model_fields)
    assert not set(RENAMED) & set(Settings.model_fields)


def test_mistyped_variables_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable with a slip in its name is ignored in silence; one of another program of this name is none of ours."""
    for name in ("MILLPOND_DATADIR", "MILLPOND_UPLOAD_LIMIT", "millpond_hsot", "MILLPOND_QQ", "MILLPOND_PORT_8501_TCP"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("MILLPOND_CONFIG", "")
    monkeypatch.setenv("MILLPOND_LOOKS_TOTAL", "2")
    assert unknown_variables() == [
        UnknownVariable("MILLPOND_DATADIR", "MILLPOND_DATA_DIR"),
        UnknownVariable("MILLPOND_QQ", ""),
        UnknownVariable("MILLPOND_UPLOAD_LIMIT", "MILLPOND_UPLOAD_LIMIT_MB"),
        UnknownVariable("millpond_hsot", "MILLPOND_HOST"),
    ]
    Settings()


@pytest.mark.parametrize(("given", "read"), [("/millpond", "/millpond"), ("a/b/", "/a/b"), ("/", ""), ("", "")])
def test_base_path_is_read_with_and_without_slashes(given: str, read: str) -> None:
    """A slash too many or too few puts the console at an address that nobody asks for."""
    assert Settings(base_path=given).base_path == read


def test_a_base_path_that_is_none_is_refused() -> None:
    """A whole address, or a path with a query, is found out with the first request."""
    for given in ("https://example.org/x", "/a?b", "/a b", "//a//b"):
        with pytest.raises(ValidationError, match="base_path"):
            Settings(base_path=given)
