"""Check every request: does it come from a page of this service? And count the answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cvqa_models.serve.metrics import Metrics

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Addresses and names by which only this machine can reach the service."""


class Guard:
    """Refuses requests that pages of other hosts make a browser send, and counts answers by code.

    A page of another host may not post; the browser sends the page's host. If the service is only for this machine,
    requests by other host names are refused too: with such a name, a foreign page could read answers.

    Args:
        app: The application that answers.
        hosts: Host names by which the service may be called; empty for any.
        metrics: Counters for the answers.
    """

    def __init__(self, app: ASGIApp, hosts: Sequence[str], metrics: Metrics) -> None:
        self._app, self._hosts, self._metrics = app, hosts, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._metrics.count(f'cvqa_requests_total{{code="{message["status"]}"}}')
                message["headers"] = [*message["headers"], (b"x-content-type-options", b"nosniff")]
            await send(message)

        reason = self._reason(scope["method"], Headers(scope=scope))
        if reason is None:
            await self._app(scope, receive, counted)
            return
        headers = [(b"content-type", b"application/json")]
        await counted({"type": "http.response.start", "status": 403, "headers": headers})
        await counted({"type": "http.response.body", "body": json.dumps({"error": reason}).encode()})

    def _reason(self, method: str, headers: Headers) -> str | None:
        """Return why a request is refused, or None."""
        host = headers.get("host", "")
        if self._hosts and _name(host) not in self._hosts:
            return "This service is for its own machine; call it as 127.0.0.1 or localhost, or start it with `--host`."
        origin = headers.get("origin")
        if method not in ("GET", "HEAD") and origin is not None and urlsplit(origin).netloc != host:
            return "Only pages of this service may post to it."
        return None


def _name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None
