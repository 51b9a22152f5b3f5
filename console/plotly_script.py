"""Plotly's JavaScript, served from the installed package: nothing comes from the network, nothing is copied."""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

URL = f"/assets/plotly-{version('plotly')}.min.js"
_YEAR_SECONDS = 365 * 24 * 3600


def script() -> Path:
    """Return the script's file, without importing the package."""
    found = find_spec("plotly")
    if found is None or not found.submodule_search_locations:
        raise FileNotFoundError("plotly")
    return Path(found.submodule_search_locations[0]) / "package_data" / "plotly.min.js"


def route() -> Route:
    """Return the route under which browsers find it. The version is in the address, so they may keep it for good."""

    async def serve(_request: Request) -> Response:
        return FileResponse(
            script(),
            media_type="text/javascript",
            headers={"Cache-Control": f"public, max-age={_YEAR_SECONDS}, immutable"},
        )

    return Route(URL, endpoint=serve, include_in_schema=False)
