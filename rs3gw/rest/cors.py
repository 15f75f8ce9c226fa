"""
Which pages of the web may speak to this server: a setting of the operator's, for all that listens on the port of REST.

A browser asks before it sends (the preflight) and shows a page only what the answer says that it may see
(https://fetch.spec.whatwg.org/#http-cors-protocol).  No cookie means anything here, so nothing is allowed with
credentials of the browser's own.  The rules that S3 keeps with a bucket are another thing, and not implemented.
"""

from __future__ import annotations

from collections.abc import Collection

from rs3gw.rest.messages import Answer, Event, Request, Send

KEPT_SECONDS = 600
"""How long a browser may remember what a preflight said."""

METHODS = b"GET, HEAD, PUT, POST, DELETE"

SEEN = ", ".join(
    (
        *("ETag", "Content-Length", "Content-Range", "Accept-Ranges", "Last-Modified"),
        *("x-amz-request-id", "x-amz-id-2", "x-amz-version-id", "x-amz-mp-parts-count", "x-amz-tagging-count"),
        *(f"x-amz-checksum-{name}" for name in ("crc32", "crc32c", "crc64nvme", "sha1", "sha256", "type")),
        *("grpc-status", "grpc-message", "grpc-status-details-bin"),
    )
).encode()
"""What a page may see of an answer besides what every page may."""


def allowed(request: Request, origins: Collection[str]) -> str | None:
    """The origin of the page that asks, where it is one of these (or ``*`` is); None otherwise, and without a page."""
    origin = request.headers.get("origin")
    if origin is None or not ("*" in origins or origin.lower() in origins):
        return None
    return origin


def is_preflight(request: Request) -> bool:
    """Whether a browser asks what a page may ask."""
    return request.method == "OPTIONS" and "access-control-request-method" in request.headers


def preflight(request: Request) -> Answer:
    """What it is told: any method that there is here, and the headers that it names."""
    headers = [(b"access-control-allow-methods", METHODS), (b"access-control-max-age", b"%d" % KEPT_SECONDS)]
    named = request.headers.get("access-control-request-headers")
    if named:
        headers.append((b"access-control-allow-headers", named.encode("latin-1", "replace")))
    return Answer(204, headers)


def opened(send: Send, origin: str) -> Send:
    """A ``send`` whose answers a page of this origin may see."""

    async def put(event: Event) -> None:
        if event["type"] == "http.response.start":
            event["headers"] = [
                *event["headers"],
                (b"access-control-allow-origin", origin.encode("latin-1", "replace")),
                (b"access-control-expose-headers", SEEN),
                (b"vary", b"Origin"),
            ]
        await send(event)

    return put
