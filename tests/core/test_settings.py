from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from services.core.settings import Settings


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


def test_database_lies_in_the_data_folder(tmp_path: Path) -> None:
    """Without a database URL, state is one SQLite file in the data folder."""
    assert Settings(data_dir=tmp_path).effective_database_url == f"sqlite:///{tmp_path}/millpond.db"
