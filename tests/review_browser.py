"""Chromium on the review page: a browser, and a server on this machine."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from posetrack_app.review.server import Session, make_server, open_listener

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None or find_spec("playwright") is None, reason="needs chromium on the PATH, and playwright"
)
SCREENSHOTS = os.environ.get("POSETRACK_SCREENSHOTS")
"""A folder that keeps pictures of the page, to look at; `.ci/run` sets it."""

_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def browser() -> Iterator[Browser]:
    """A headless Chromium with an empty profile."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=list(_FLAGS))
        try:
            yield opened
        finally:
            opened.close()


@contextmanager
def page_at(
    opened: Browser,
    address: str,
    *,
    width: int = 1366,
    height: int = 768,
    scale: float = 1,
    dark: bool = False,
    ignored: str = "nothing",
) -> Iterator[Page]:
    """The page when its tracks are shown; an error on it, without the text `ignored`, fails the test."""
    context = opened.new_context(
        viewport={"width": width, "height": height},
        device_scale_factor=scale,
        color_scheme="dark" if dark else "light",
    )
    context.set_default_timeout(60_000)
    errors: list[str] = []
    try:
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.goto(address)
        page.wait_for_selector("body[data-ready]")
        yield page
        assert not [error for error in errors if ignored not in error], errors
    finally:
        context.close()


@contextmanager
def serving(session: Session) -> Iterator[str]:
    """The address of the page of `session`."""
    with open_listener("127.0.0.1", 0) as listener:
        server, address = make_server(session, listener, "127.0.0.1")
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield address
        finally:
            server.should_exit = True
            thread.join(30)


def keep_screenshot(page: Page, name: str) -> None:
    """Store a picture of the page in the folder SCREENSHOTS, if there is one."""
    if SCREENSHOTS:
        Path(SCREENSHOTS).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png")
