"""Names of settings as people give them: those of earlier versions, and mistyped ones."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from services.core.settings import CONFIG_VARIABLE, PREFIX, RENAMED, Settings, config_file, former_variables

_OTHER_VARIABLES = frozenset({CONFIG_VARIABLE, "MILLPOND_SUPERVISOR"})
# Of the tests, and what Kubernetes and Docker set for a service of this name.
_FOREIGN = re.compile(r"MILLPOND_(TEST_|CHROMIUM$|SERVICE_|PORT_\d+_|ENV_)")


@dataclass(frozen=True, slots=True)
class RenamedSetting:
    """A setting that was given under the name of an earlier version; names as they stand where it was given."""

    old: str
    new: str


def renamed_settings() -> list[RenamedSetting]:
    """Return the settings that environment and file give under old names; of a file that cannot be read, none."""
    file: dict[str, Any] = {}
    with suppress(OSError, ValueError):  # whoever reads the settings says what is wrong with it
        file = config_file(Settings)
    variables = [RenamedSetting(PREFIX + old.upper(), PREFIX + RENAMED[old].upper()) for old in former_variables()]
    return [*variables, *(RenamedSetting(old, new) for old, new in RENAMED.items() if old in file)]


@dataclass(frozen=True, slots=True)
class UnknownVariable:
    """A variable of the environment that looks like a setting and is none; `nearest` is what may be meant, if any."""

    name: str
    nearest: str


def unknown_variables() -> list[UnknownVariable]:
    """Return the variables of the environment that begin like a setting's and that nothing reads."""
    names = [f"{PREFIX}{name.upper()}" for name in Settings.model_fields]
    known = {*names, *(f"{PREFIX}{old.upper()}" for old in RENAMED), *_OTHER_VARIABLES}
    unknown = []
    for given in sorted(os.environ):
        name = given.upper()
        if name.startswith(PREFIX) and name not in known and not _FOREIGN.match(name):
            nearest = nearest_setting(name.removeprefix(PREFIX))
            unknown.append(UnknownVariable(given, f"{PREFIX}{nearest.upper()}" if nearest else ""))
    return unknown


def nearest_setting(name: str) -> str:
    """Return the setting whose name is nearest to one that does not exist, or an empty text."""
    return next(iter(get_close_matches(name.lower(), Settings.model_fields, n=1)), "")
