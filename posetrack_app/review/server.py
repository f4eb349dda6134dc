"""The web server of the review page. What it does with edits is the session's; it only passes them on."""

from __future__ import annotations

import json
import logging
import secrets
import socket
from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from posetrack_app.core.errors import InputError
from posetrack_app.review.access import Access
from posetrack_app.review.static_files import CONTENT_TYPES, page_html, static_files

_LOGGER = logging.getLogger("posetrack")
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


class Session(Protocol):
    """The tracks under review and their edits; methods may be called from any thread."""

    def tracks(self) -> bytes:
        """The columns of the tracks as they are now; see `Columns.tracks_message`."""

    def keypoints(self, block: int) -> bytes:
        """See `Columns.keypoints_message`."""

    def frame(self, index: int) -> bytes | None:
        """A frame of the video as JPEG, or None."""

    def change(self, what: str, edit: Mapping[str, Any], revision: int) -> Mapping[str, Any]:
        """Do what ("add", "undo" or "redo") to the edits, store them, and return the new state.

        Raises InputError, for a `revision` that is not the newest one `OutdatedError`.
        """


class OutdatedError(InputError):
    """Another window has changed the edits since."""


def application(session: Session, token: str, hosts: Collection[str] | None) -> Starlette:
    """The ASGI application; see `Access` for `token` and `hosts`."""

    async def page(_: Request) -> Response:
        nonce = secrets.token_urlsafe(16)
        policy = (
            f"default-src 'none'; script-src 'self' 'nonce-{nonce}'; style-src 'self'; img-src 'self' blob: data:; "
            "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        headers = {"content-security-policy": policy, "cache-control": "no-store"}
        return Response(page_html(nonce), media_type=CONTENT_TYPES[".html"], headers=headers)

    async def static(request: Request) -> Response:
        name = request.path_params["name"]
        content = static_files().get(name)
        if content is None:
            return PlainTextResponse("There is no such file.\n", 404)
        kind = CONTENT_TYPES[f".{name.rpartition('.')[2]}"]
        return Response(content, media_type=kind, headers={"cache-control": "no-cache"})

    async def tracks(_: Request) -> Response:
        return _binary(await run_in_threadpool(session.tracks))

    async def keypoints(request: Request) -> Response:
        return _binary(await run_in_threadpool(session.keypoints, request.path_params["block"]))

    async def frame(request: Request) -> Response:
        image = await run_in_threadpool(session.frame, request.path_params["index"])
        if image is None:
            return PlainTextResponse("This frame cannot be read.\n", 404)
        return Response(image, media_type="image/jpeg", headers={"cache-control": "private, max-age=3600"})

    async def change(request: Request) -> Response:
        try:
            body = json.loads(await request.body())
            revision, edit = body["revision"], body.get("edit", {})
            if type(revision) is not int or not isinstance(edit, dict):
                raise ValueError
        except (ValueError, KeyError, TypeError, RecursionError):
            return JSONResponse({"error": "the request is not what the page sends"}, 400)
        try:
            state = await run_in_threadpool(session.change, request.path_params["what"], edit, revision)
        except OutdatedError as error:
            return JSONResponse({"error": str(error)}, 409)
        except InputError as error:
            return JSONResponse({"error": str(error)}, 422)
        return JSONResponse(state)

    routes = [
        Route(f"/{token}/", page),
        Route(f"/{token}/static/{{name}}", static),
        Route(f"/{token}/tracks", tracks),
        Route(f"/{token}/keypoints/{{block:int}}", keypoints),
        Route(f"/{token}/frame/{{index:int}}", frame),
        *(
            Route(f"/{token}/edits/{what}", _with_path(change, what), methods=["POST"])
            for what in ("add", "undo", "redo")
        ),
    ]
    return Starlette(routes=routes, middleware=[Middleware(Access, token=token, hosts=hosts)])


def _with_path(endpoint: Callable[[Request], Any], what: str) -> Callable[[Request], Any]:
    async def call(request: Request) -> Response:
        request.path_params["what"] = what
        response: Response = await endpoint(request)
        return response

    return call


def _binary(content: bytes) -> Response:
    return Response(content, media_type="application/octet-stream", headers={"cache-control": "no-store"})


def serve(session: Session, host: str, port: int, on_ready: Callable[[str], None]) -> None:
    """Serve until ctrl-C. `on_ready` gets the address of the page; port 0 takes a free one.

    Raises InputError if the port cannot be opened.
    """
    with open_listener(host, port) as listener:
        server, address = make_server(session, listener, host)
        on_ready(address)
        server.run(sockets=[listener])


def open_listener(host: str, port: int) -> socket.socket:
    """A socket that is bound to the address. Raises InputError if that is not possible."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        reason = error.strerror or str(error)
        raise InputError(
            f"{host}:{port} cannot be opened ({reason}); choose another port", option="port"
        ) from error
    return listener


def make_server(session: Session, listener: socket.socket, host: str) -> tuple[uvicorn.Server, str]:
    """A server with a new token for the `listener`, and the address of its page.

    Requests must name one of this machine's own names as the host, unless `host` is open to the network.
    """
    token = secrets.token_urlsafe(24)
    port = listener.getsockname()[1]
    name = f"[{host}]" if ":" in host else host
    hosts = {f"{each}:{port}" for each in _LOOPBACK} if name in _LOOPBACK else None
    if hosts is None:
        _LOGGER.warning("the page can be opened from other machines, by anyone who has the address")
    config = uvicorn.Config(
        application(session, token, hosts),
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=2,
    )
    return uvicorn.Server(config), f"http://{name}:{port}/{token}/"
