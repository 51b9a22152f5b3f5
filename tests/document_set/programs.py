"""Files made by other programs from sources of this set: LibreOffice, pandoc, Gnumeric, AbiWord, groff, Chromium."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.document_set.content import Content

_SECONDS = 120


def libreoffice(source: bytes, suffix: str, target: str) -> bytes:
    """Return a file converted by LibreOffice; `target` is an ending, with an export filter behind a colon."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"source{suffix}")
        path.write_bytes(source)
        profile = f"-env:UserInstallation=file://{tempfile.gettempdir()}/document-set-profile"
        extra = ["--infilter=HTML (StarWriter)"] if suffix == ".html" else []
        _run(["soffice", profile, "--headless", *extra, "--convert-to", target, "--outdir", f"{folder}/out", str(path)])
        return Path(folder, "out", f"source.{target.partition(':')[0]}").read_bytes()


def pandoc(source: str, target: str, *options: str) -> bytes:
    """Return a file written by pandoc from Markdown."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "out")
        _run(["pandoc", "--from", "markdown", "--to", target, "--standalone", *options, "--output", str(path)], source)
        return path.read_bytes()


def gnumeric(source: bytes, suffix: str, target: str, exporter: str = "") -> bytes:
    """Return a sheet converted by Gnumeric."""
    return _converted(["ssconvert", *(["--export-type", exporter] if exporter else [])], source, suffix, target)


def abiword(source: bytes, suffix: str, target: str) -> bytes:
    """Return a document converted by AbiWord."""
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder, f"source{suffix}"), Path(folder, f"out{target}")
        path.write_bytes(source)
        _run(["abiword", f"--to={target[1:]}", f"--to-name={out}", str(path)])
        return out.read_bytes()


def groff(content: Content, device: str) -> bytes:
    """Return a text set by groff."""
    parts = [content.text(part) for part in ("paragraph", "bold", "quote", "bullet_1", "step_1")]
    source = f".TL\n{content.text('title')}\n.NH 1\n{content.text('heading')}\n"
    source += "".join(f".PP\n{part}\n" for part in parts)
    return subprocess.run(
        ["groff", "-ms", "-K", "utf8", "-T", device],
        input=source.encode(),
        stdout=subprocess.PIPE,
        check=True,
        timeout=_SECONDS,
    ).stdout


def chromium(page: str, *, archive: bool = False) -> bytes:
    """Return a page as Chromium prints it, or saves it as a web archive (MHTML)."""
    import os

    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        path = Path(folder, "page.html")
        path.write_text(page)
        browser = driver.chromium.launch(executable_path=os.environ.get("CHROMIUM"), args=["--no-sandbox"])
        tab = browser.new_page()
        tab.goto(path.as_uri())
        if not archive:
            return tab.pdf()
        session = tab.context.new_cdp_session(tab)
        return str(session.send("Page.captureSnapshot", {"format": "mhtml"})["data"]).encode()


def version(program: str) -> str:
    """Return what a program says of its version."""
    result = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=_SECONDS)
    lines = (result.stdout + result.stderr).strip().splitlines()
    return lines[0][:60] if lines else program


def _converted(command: Sequence[str], source: bytes, suffix: str, target: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder, f"source{suffix}"), Path(folder, f"out{target}")
        path.write_bytes(source)
        _run([*command, str(path), str(out)])
        return out.read_bytes()


def _run(command: Sequence[str], source: str = "") -> None:
    subprocess.run(command, input=source.encode(), capture_output=True, check=True, timeout=_SECONDS)
