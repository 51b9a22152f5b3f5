"""The settings of backups: where to, how often, and which ones are kept."""

from __future__ import annotations

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings


class BackupSettings(BaseSettings):
    """Part of `Settings`; docs/backup.md says what a backup contains."""

    backup_destination: str = Field(
        "", description="Folder that backups are written to, best on another disk; empty: none. See docs/backup.md"
    )
    backup_hours: float = Field(
        24.0, ge=0, description="Time between two backups, in hours; 0: only when somebody asks for one"
    )
    backup_keep_last: int = Field(3, ge=1, description="So many newest backups are kept")
    backup_keep_daily: int = Field(7, ge=0, description="Of so many days with backups, the last one is kept")
    backup_keep_weekly: int = Field(4, ge=0, description="Of so many weeks with backups, the last one is kept")

    @field_validator("backup_destination")
    @classmethod
    def _is_absolute(cls, value: str) -> str:
        """Refuse a path that would lead elsewhere from another working directory."""
        if value and not value.startswith("/"):
            raise ValueError("must be an absolute path")
        return value
