"""Who may talk to the server: the page that it opened, on this machine, with the token of this session."""

from __future__ import annotations

import secrets
from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY = 1 << 20
"""Bytes of a request; an edit has some hundred."""

_HEADERS = {
    b"referrer-policy": b"no-referrer",  # the address holds the token
    b"x-content-type-options": b"nosniff",
    b"cross-origin-resource-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
    b"x-frame-options": b"DENY",
}


class Access:
    """ASGI middleware that refuses what does not come from the session's own page.

    - The host must be one of `hosts` ("127.0.0.1:8000"): a page elsewhere whose name was changed to point here sends
      its own name (DNS rebinding). None: any.
    - The path must start with /TOKEN/, which only the person at the terminal knows.
    - A request that changes something must name the server as its origin; a form on another site cannot.
    """

    def __init__(self, app: ASGIApp, token: str, hosts: Collection[str] | None) -> None:
        self._app = app
        self._token = token
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS.items()]
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send_with_headers)
        else:
            await self._app(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self._hosts is not None and host not in self._hosts:
            return PlainTextResponse("This host name is not allowed.\n", 403)
        given = scope["path"].removeprefix("/").partition("/")[0]
        if not secrets.compare_digest(given.encode(), self._token.encode()):
            return PlainTextResponse(
                "The token in this address is wrong or old. Open the address that posetrack review printed.\n",
                403,
            )
        if scope["method"] in ("GET", "HEAD"):
            return None
        if headers.get("origin") != f"http://{host}":
            return PlainTextResponse("Changes are accepted from the review page only.\n", 403)
        length = headers.get("content-length", "")
        if not length.isdecimal() or int(length) > MAX_BODY:
            return PlainTextResponse("The request is too large.\n", 413)
        return None
