"""Make sure that there is a Chromium: the one on PATH, else Debian's package, else Playwright's; else fail clearly."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # run as a script, before anything is collected

from playwright.sync_api import sync_playwright

from tests.browser.chromium import find_chromium


def install_debian_package() -> None:
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        return
    print("Installing Chromium from Debian's packages")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update", "-qq"], ["install", "-qq", "-y", "--no-install-recommends", "chromium"]):
        if subprocess.run([apt, *arguments], check=False, env=environment, stdout=subprocess.DEVNULL).returncode:
            return


def install_with_playwright() -> None:
    print("Downloading Playwright's Chromium")
    subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False)


def main() -> int:
    for install in (None, install_debian_package, install_with_playwright):
        if install:
            install()
        with sync_playwright() as playwright:
            found = find_chromium(playwright)
        if found:
            print(f"Chromium: {found}")
            return 0
    print(
        "The browser tests need Chromium and none could be found or installed.\n"
        "Install it (Debian: apt-get install chromium) or name one in MILLPOND_CHROMIUM.",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
