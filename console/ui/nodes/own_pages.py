"""The link to a node's own pages, where the browser can go there."""

from __future__ import annotations

import ipaddress
from urllib.parse import quote, urlsplit

import streamlit as st

from console.navigation import PageName
from services.app.container import Services
from services.core.i18n import _
from services.nodes.types import Node


def own_pages_link(services: Services, node: Node, name: PageName) -> None:
    """Draw a link to a page of that node; nothing where its address is one of its own machine alone."""
    if _opens_here(node.url):
        address = f"{node.url}{services.settings.base_path}/{quote(name)}"
        st.link_button(_("Its own pages"), address, type="tertiary", icon=":material/open_in_new:")


def _opens_here(url: str) -> bool:
    """Return whether a node's address can lead there from the browser: one of its own machine leads nowhere else."""
    return not _is_loopback(url) or _is_loopback(str(st.context.url or ""))


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return host == "localhost"
