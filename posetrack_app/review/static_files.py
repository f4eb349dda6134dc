"""The files of the page: HTML, style and ES modules, as they are in the package."""

from __future__ import annotations

import base64
import json
from functools import cache
from importlib.resources import files

CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}


@cache
def static_files() -> dict[str, bytes]:
    """Name -> content of every file of the page. Nothing else can be served, whatever a request asks for."""
    folder = files(__package__).joinpath("static")
    return {
        entry.name: entry.read_bytes()
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name)
        if "." in entry.name and f".{entry.name.rpartition('.')[2]}" in CONTENT_TYPES
    }


def page_html(nonce: str) -> str:
    """The page for the server. Its modules import each other as "review/NAME.js", which the import map resolves."""
    modules = {f"review/{name}": f"./static/{name}" for name in static_files() if name.endswith(".js")}
    head = (
        '<link rel="stylesheet" href="static/style.css">\n'
        f'<script type="importmap" nonce="{nonce}">{json.dumps({"imports": modules})}</script>\n'
        '<script type="module" src="static/main.js"></script>'
    )
    return _template().replace("<!--head-->", head)


def single_page_html(embedded: str) -> str:
    """The page with everything inside, for a file; `embedded` are the script elements with its data."""
    names = static_files()
    modules = {
        f"review/{name}": f"data:text/javascript;base64,{base64.b64encode(content).decode()}"
        for name, content in names.items()
        if name.endswith(".js")
    }
    policy = (
        "default-src 'none'; script-src 'unsafe-inline' data:; style-src 'unsafe-inline'; img-src blob: data:"
    )
    head = (
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f"<style>\n{names['style.css'].decode()}</style>\n"
        f'<script type="importmap">{json.dumps({"imports": modules})}</script>\n'
        '<script type="module">import "review/main.js";</script>'
    )
    return _template().replace("<!--head-->", head).replace("<!--embedded-->", embedded)


def _template() -> str:
    return static_files()["index.html"].decode()
