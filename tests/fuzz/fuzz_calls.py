"""
Whole calls: requests of HTTP one after the other, parted by lines of ``---``, to a gateway on the engine in memory.

Anybody may do anything there.  Every request is answered, never with an error of ours; an answer has the length that
it announces, and what is announced as XML is XML where S3's own could be.
"""

from __future__ import annotations

import re
from typing import Any

from defusedxml import ElementTree

from rs3gw.auth.credentials import Authority
from rs3gw.engine.memory import Memory
from rs3gw.engine.ports import Bucket
from rs3gw.gateway import Gateway
from rs3gw.rest.asgi import Application
from tests.fuzz.fuzz_evidence import OWNER
from tests.fuzz.parts import HEADER_BYTES, Counter, Sending, StoppedClock, run, scope_of, unlogged

MOST_BYTES = HEADER_BYTES
MOST_CALLS = 8

POLICY = (
    '{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": "*", "Action": "s3:*",'
    ' "Resource": ["arn:aws:s3:::bucket", "arn:aws:s3:::bucket/*"]}}'
)


def target(data: bytes) -> None:
    with unlogged():
        run(answer_all(data.split(b"\n---\n")[:MOST_CALLS]))


async def answer_all(wires: list[bytes]) -> None:
    clock, entropy = StoppedClock(), Counter()
    engine = Memory(clock=clock)
    await engine.create_bucket(
        Bucket(name="bucket", region="us-east-1", created=clock.now(), documents={"policy": POLICY})
    )
    gateway = Gateway(
        engine, Authority([OWNER], region="us-east-1", clock=clock), clock=clock, entropy=entropy, region="us-east-1"
    )
    application = Application(gateway)
    for wire in wires:
        found = scope_of(wire)
        if found is not None:
            scope, body = found
            answered = Answered()
            await application(scope, Sending(body).receive, answered.send)
            answered.judge(scope["method"])
    await engine.close()


# What XML has no way to write S3 writes as references all the same.
UNSPEAKABLE = re.compile(rb"&#x[0-9a-f]+;")


class Answered:
    """What came back."""

    def __init__(self) -> None:
        self.status, self.body, self.is_whole = 0, b"", False
        self.headers: dict[bytes, bytes] = {}

    async def send(self, event: dict[str, Any]) -> None:
        if event["type"] == "http.response.start":
            self.status = event["status"]
            self.headers = dict(event["headers"])
            for name, value in event["headers"]:
                assert TOKEN.fullmatch(name), name
                assert not CONTROL.search(value), (name, value)
        else:
            assert not self.is_whole
            self.body += event.get("body", b"")
            self.is_whole = not event.get("more_body", False)

    def judge(self, method: str) -> None:
        if not self.status:
            # Nobody was there any more.
            return
        assert self.is_whole
        assert self.status not in (500, 503), self.body
        if method == "HEAD" or self.status in (204, 304):
            assert not self.body
            return
        assert int(self.headers.get(b"content-length", len(self.body))) == len(self.body)
        if self.body and self.headers.get(b"content-type") == b"application/xml" and b"etag" not in self.headers:
            # An error only has to be read, and has nothing in it that cannot be.
            said = ElementTree.fromstring(self.body if self.status >= 400 else UNSPEAKABLE.sub(b"?", self.body))
            assert self.status < 400 or said.findtext("Code")


TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
