"""Where the Chromium that the browser tests drive comes from."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from playwright.sync_api import Playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def playwrights_own(playwright: Playwright) -> Path | None:
    """Return Playwright's own Chromium if it has been downloaded."""
    path = Path(playwright.chromium.executable_path)
    return path if path.exists() else None


def find_chromium(playwright: Playwright) -> Path | None:
    """Return `MILLPOND_CHROMIUM`, else the first Chromium on PATH, else Playwright's own, else None."""
    configured = os.environ.get("MILLPOND_CHROMIUM")
    if configured:
        return Path(configured)
    for name in NAMES:
        found = shutil.which(name)
        if found:
            return Path(found)
    return playwrights_own(playwright)
