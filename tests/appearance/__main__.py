"""Looks at every view in both languages, light and dark, at three widths: `make appearance`, about ten minutes.

`tests/browser/test_appearance.py` looks at every page once with the same eyes.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Error, expect, sync_playwright

from tests.appearance.content import fill
from tests.appearance.walk import LANGUAGES, OTHERS, PAGES, THEMES, WIDTHS, faults_of, tab
from tests.browser.chromium import find_chromium
from tests.browser.conftest import FLAGS, PATIENCE
from tests.team import serving_team


def main() -> int:
    """Print what is wrong, a line each; returns the exit code. Arguments: parts of the addresses to look at."""
    expect.set_options(timeout=PATIENCE)
    views = [
        view
        for view in (*PAGES.values(), *OTHERS)
        if not sys.argv[1:] or any(part in view.address for part in sys.argv)
    ]
    looks = [(theme, width) for theme in THEMES for width in WIDTHS]
    wrong = 0
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        chromium = find_chromium(playwright)
        if chromium is None:
            print("No Chromium: install it, or name one in MILLPOND_CHROMIUM.", file=sys.stderr)
            return 1
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        with serving_team(Path(folder) / "data", memory_limit_mb=4000) as team:
            content = fill(team)
            for language in LANGUAGES:
                with tab(browser, team, language) as (page, troubles):
                    for view in views:
                        try:
                            faults = faults_of(page, view, content, language, looks)
                        except (Error, AssertionError) as error:
                            faults = [f"{view.address} {language}: {error}"]
                        faults += [f"{view.address} {language}: {trouble}" for trouble in troubles.taken()]
                        print(*faults or [f"{view.address} {language}: nothing"], sep="\n", flush=True)
                        wrong += len(faults)
        browser.close()
    print(f"{len(views)} views, {wrong} faults")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
