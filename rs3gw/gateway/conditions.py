"""
Whether a request still holds when it is carried out.

Reads are judged against the object that was found; writes against the object that they would replace, inside the
engine's commit, so that of two writers who insist on being first only one is.  Pure: an ETag and a time come in,
nothing or a refusal goes out.  ETags are bare inside rs3gw; quotes are the wire's and are taken off here.

RFC 9110, section 13, and what S3 makes of it:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-requests.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime

from rs3gw.engine.ports import Condition, Object
from rs3gw.errors import NoSuchKey, NotImplementedHere, NotModified, PreconditionFailed

# What parts the ETags of a list is passed over, not matched: a pattern that spans it may be tried again from each of
# its characters, and a header of 32 KiB would take minutes.
_ETAG = re.compile(r'(W/)?(?:"([^"]*)"|([^\s,"]+))')


def bare(etag: str) -> str:
    """An ETag without its quotes; clients send it with and without."""
    return etag.strip().strip('"')


def quoted(etag: str) -> str:
    """An ETag as every answer gives it."""
    return f'"{etag}"'


def matches(etag: str, asked: str, *, weakly: bool = False) -> bool:
    """Whether a list of ETags, or ``*``, means this one.  A weak ETag matches only where weakness will do."""
    if asked.strip() == "*":
        return True
    return any(
        etag == (bare if inner is None else inner) and (weakly or weak is None)
        for weak, inner, bare in (found.groups() for found in _ETAG.finditer(asked))
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The four conditions of a read, or of a copy's source."""

    if_match: str | None = None
    if_none_match: str | None = None
    if_modified_since: datetime | None = None
    if_unmodified_since: datetime | None = None

    def judge(self, etag: str, modified: datetime) -> None:
        """
        Judge a read.  If-Match goes before If-Unmodified-Since, If-None-Match before If-Modified-Since.

        Raises PreconditionFailed, NotModified.
        """
        failed = self._failed(etag, modified)
        if failed is None:
            return
        if failed in ("If-None-Match", "If-Modified-Since"):
            raise NotModified(etag=quoted(etag), last_modified=format_datetime(modified, usegmt=True))
        raise PreconditionFailed(condition=failed)

    def judge_source(self, etag: str, modified: datetime) -> None:
        """Judge a copy's source, of which nobody holds an older state.  Raises PreconditionFailed."""
        failed = self._failed(etag, modified)
        if failed is not None:
            raise PreconditionFailed(condition=f"x-amz-copy-source-{failed}")

    def _failed(self, etag: str, modified: datetime) -> str | None:
        # HTTP dates have whole seconds, and so has the Last-Modified that a client sends back.
        second = modified.replace(microsecond=0)
        if self.if_match is not None:
            if not matches(etag, self.if_match):
                return "If-Match"
        elif self.if_unmodified_since is not None and second > self.if_unmodified_since:
            return "If-Unmodified-Since"
        if self.if_none_match is not None:
            if matches(etag, self.if_none_match, weakly=True):
                return "If-None-Match"
        elif self.if_modified_since is not None and second <= self.if_modified_since:
            return "If-Modified-Since"
        return None


def writing(*, key: str, if_match: str | None, if_none_match: str | None) -> Condition | None:
    """
    The condition of a write, for the engine to judge inside its commit; None where there is none.

    Of If-None-Match S3 takes ``*`` alone, of If-Match an ETag alone, and never both.
    Raises NotImplementedHere for the rest; the condition raises PreconditionFailed, and NoSuchKey where an ETag is
    asked of a key that holds nothing.
    """
    if if_match is None and if_none_match is None:
        return None
    if if_match is not None and if_none_match is not None:
        raise NotImplementedHere(
            message=_IMPLIES,
            header="If-Match,If-None-Match",
            additional_message="Multiple conditional request headers present in the request",
        )
    if if_none_match is not None:
        if if_none_match.strip() != "*":
            raise _unaccepted("If-None-Match")
        return _absent
    assert if_match is not None
    if if_match.strip() == "*":
        raise _unaccepted("If-Match")
    return _present(key, if_match)


def deleting(*, key: str, if_match: str | None) -> Condition | None:
    """The condition of a delete: an ETag, or ``*`` for any object.  It raises as that of a write does."""
    return None if if_match is None else _present(key, if_match)


_IMPLIES = "A header you provided implies functionality that is not implemented"


def _unaccepted(header: str) -> NotImplementedHere:
    return NotImplementedHere(
        message=_IMPLIES,
        header=header,
        additional_message=f"We don't accept the provided value of {header} header for this API",
    )


def _absent(replaced: Object | None) -> None:
    if replaced is not None:
        raise PreconditionFailed(condition="If-None-Match")


def _present(key: str, if_match: str) -> Condition:
    def judge(replaced: Object | None) -> None:
        if replaced is None:
            raise NoSuchKey(key=key)
        if not matches(replaced.facts.etag, if_match):
            raise PreconditionFailed(condition="If-Match")

    return judge
