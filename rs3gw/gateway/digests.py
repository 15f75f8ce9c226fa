"""
What bytes are worth: their MD5, their checksums, and whether those are the ones that the sender promised.

A digest that came with a request is verified before anything becomes visible, here and nowhere else: both
protocols carry claims and judge none.  Bytes are looked at once, however many digests are asked of them.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Final, Protocol

from rs3gw.errors import (
    BadDigest,
    InvalidDigest,
    InvalidRequest,
    MalformedTrailerError,
    NotImplementedHere,
    XAmzContentSHA256Mismatch,
)
from rs3gw.operations.body import Body, Buffer
from rs3gw.operations.shapes import Checksums

DEFAULT: Final = "crc64nvme"
"""What S3 computes of every object whose sender chose nothing."""

FULL_OBJECT: Final = "FULL_OBJECT"
COMPOSITE: Final = "COMPOSITE"

_HEADER = "x-amz-checksum-"
# Algorithms that S3 has and rs3gw has not: refused by name, so that nobody believes them verified.
_ELSEWHERE = frozenset({"sha512", "md5", "xxhash64", "xxhash3", "xxhash128"})

_md5 = partial(hashlib.md5, usedforsecurity=False)


class _Running(Protocol):
    def update(self, data: Buffer, /) -> None: ...
    def digest(self) -> bytes: ...


@cache
def _crt() -> Any:
    """awscrt's checksums.  They come with 10 MiB of library, which a start need not wait for: 0.06 s."""
    from awscrt import checksums

    return checksums


def warm() -> None:
    """Load what the first upload would otherwise wait for; called from a thread once the server serves."""
    _crt()


class _Crc:
    """A CRC of awscrt in the shape of hashlib's objects."""

    __slots__ = ("_function", "_size", "_value")

    def __init__(self, name: str, size: int) -> None:
        self._function: Callable[[Buffer, int], int] = getattr(_crt(), name)
        self._size, self._value = size, 0

    def update(self, data: Buffer, /) -> None:
        self._value = self._function(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size, "big")


@dataclass(frozen=True, slots=True)
class _Algorithm:
    size_bytes: int
    start: Callable[[], _Running]
    combine: str | None = None
    """awscrt's name for (CRC of a, CRC of b, bytes of b) → CRC of ab; None for hashes, which cannot be combined."""


_ALGORITHMS: Final[Mapping[str, _Algorithm]] = {
    "crc32": _Algorithm(4, partial(_Crc, "crc32", 4), "combine_crc32"),
    "crc32c": _Algorithm(4, partial(_Crc, "crc32c", 4), "combine_crc32c"),
    "crc64nvme": _Algorithm(8, partial(_Crc, "crc64nvme", 8), "combine_crc64nvme"),
    "sha1": _Algorithm(20, partial(hashlib.sha1, usedforsecurity=False)),
    "sha256": _Algorithm(32, hashlib.sha256),
}


class Tally:
    """The digests of bytes that pass, each byte seen once."""

    __slots__ = ("_checksums", "_md5", "_others", "_sha256")

    def __init__(self, algorithms: Iterable[str], *, sha256: bool = False) -> None:
        self._md5: _Running = _md5()
        self._checksums = {name: _ALGORITHMS[name].start() for name in algorithms}
        self._others: list[_Running] = [*self._checksums.values()]
        self._sha256: _Running | None = None
        if sha256:
            self._sha256 = self._checksums.get("sha256")
            if self._sha256 is None:
                self._sha256 = hashlib.sha256()
                self._others.append(self._sha256)

    def update(self, data: Buffer) -> None:
        """See the next bytes.  Large ones let go of the interpreter while they are digested."""
        self.update_md5(data)
        self.update_others(data)

    def update_md5(self, data: Buffer) -> None:
        """See the next bytes for the MD5 alone, which takes longer than all others: they fit beside it."""
        self._md5.update(data)

    def update_others(self, data: Buffer) -> None:
        """See the next bytes for everything but the MD5."""
        for running in self._others:
            running.update(data)

    @property
    def md5(self) -> bytes:
        return self._md5.digest()

    @property
    def etag(self) -> str:
        """S3's ETag of an object that was put whole: the MD5 in hex."""
        return self._md5.digest().hex()

    @property
    def sha256(self) -> str | None:
        """The SHA-256 in hex, where it was asked for."""
        return None if self._sha256 is None else self._sha256.digest().hex()

    @property
    def checksums(self) -> dict[str, str]:
        """Base64 of each checksum that was asked for, by algorithm."""
        return {name: _encode(running.digest()) for name, running in self._checksums.items()}


@dataclass(slots=True, kw_only=True)  # not frozen: one a write
class Claims:
    """What a sender says of bytes that are still to come."""

    md5: bytes | None = None
    sha256: str | None = None
    algorithm: str | None = None
    """The checksum that the sender chose, given now or promised for the end; None where it chose none."""
    checksum: str | None = None
    """Base64, where it was given before the bytes."""

    def tally(self, *also: str) -> Tally:
        """Room for every digest that the claims need, and for ``also``; CRC64NVME where nothing was chosen."""
        chosen = () if self.algorithm is None else (self.algorithm,)
        return Tally(dict.fromkeys((*chosen, *also)) or (DEFAULT,), sha256=self.sha256 is not None)

    def verify(self, tally: Tally, trailers: Mapping[str, str]) -> None:
        """
        Compare the claims with what came.

        Raises XAmzContentSHA256Mismatch, BadDigest, InvalidRequest for a trailer that is no checksum,
        MalformedTrailerError for one that was promised and did not come.
        """
        if self.sha256 is not None and tally.sha256 != self.sha256.lower():
            raise XAmzContentSHA256Mismatch(
                client_computed_content_sha256=self.sha256, s3_computed_content_sha256=tally.sha256
            )
        if self.md5 is not None and tally.md5 != self.md5:
            raise BadDigest(
                message="The Content-MD5 you specified did not match what we received.",
                expected_digest=_encode(self.md5),
                calculated_digest=_encode(tally.md5),
            )
        expected = self.checksum
        if self.algorithm is not None and expected is None:
            expected = trailers.get(_HEADER + self.algorithm)
            if expected is None:
                raise MalformedTrailerError()
            _decode(self.algorithm, expected, "trailing header")
        if self.algorithm is not None and expected != tally.checksums[self.algorithm]:
            raise mismatch(self.algorithm)


_NOTHING = Claims()


def claims(*, content_md5: str | None, checksums: Checksums, asked: str | None, body: Body) -> Claims:
    """
    Read what a request says of its body; ``asked`` is the algorithm that it names besides.

    Raises InvalidDigest for a Content-MD5 that is none, InvalidRequest for a checksum that is none, for two of
    them, and for an algorithm that is named without a checksum.
    """
    given = checksums.__dict__
    if content_md5 is None and body.sha256 is None and asked is None and not given and not body.promised:
        return _NOTHING
    algorithm, checksum = single(checksums)
    for name in body.promised:
        promised = _promised(name)
        if algorithm is not None:
            raise InvalidRequest(message="Expecting a single x-amz-checksum- header")
        algorithm = promised
    if asked is not None:
        if algorithm is None:
            raise InvalidRequest(
                message="x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* "
                "or x-amz-trailer headers were found."
            )
        if asked.lower() != algorithm:
            raise InvalidRequest(message="Value for x-amz-sdk-checksum-algorithm header is invalid.")
    return Claims(
        md5=None if content_md5 is None else _md5_of(content_md5),
        sha256=body.sha256,
        algorithm=algorithm,
        checksum=checksum,
    )


_SINGLE = "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."


def single(checksums: Checksums) -> tuple[str | None, str | None]:
    """
    The one checksum that may be given, as (algorithm, base64); both None where there is none.

    Raises InvalidRequest for two, or for one that is not base64 of the right length.
    """
    given = [(name, value) for name, value in checksums.__dict__.items() if value is not None]
    if not given:
        return None, None
    if len(given) > 1:
        raise InvalidRequest(message=_SINGLE)
    algorithm, checksum = given[0]
    _decode(algorithm, checksum)
    return algorithm, checksum


def single_of_upload(checksums: Checksums) -> tuple[str, str] | None:
    """
    The one checksum that a completion may claim of the whole object, as (algorithm, base64), with or without -N.

    Raises InvalidRequest for two, or for one that is none.
    """
    given = {name: value for name, value in checksums.__dict__.items() if value is not None}
    algorithm, _ = single(Checksums.of({name: value.partition("-")[0] for name, value in given.items()}))
    return None if algorithm is None else (algorithm, given[algorithm])


def _promised(trailer: str) -> str:
    algorithm = trailer.lower().removeprefix(_HEADER)
    if not trailer.lower().startswith(_HEADER) or algorithm not in _ALGORITHMS:
        if algorithm in _ELSEWHERE:
            raise NotImplementedHere(header=trailer)
        raise InvalidRequest(message="The value specified in the x-amz-trailer header is not supported")
    return algorithm


def mismatch(algorithm: str) -> BadDigest:
    """The refusal of bytes that are not those that the checksum was made of."""
    return BadDigest(message=f"The {algorithm.upper()} you specified did not match the calculated checksum.")


def verify_document(
    data: bytes, *, content_md5: str | None = None, checksums: Checksums | None = None, sha256: str | None = None
) -> None:
    """
    Verify a document that was read whole (XML, JSON) against the digests that came with it.

    Raises what ``claims`` and ``Claims.verify`` raise.
    """
    algorithm, checksum = (None, None) if checksums is None else single(checksums)
    claimed = Claims(
        md5=None if content_md5 is None else _md5_of(content_md5), sha256=sha256, algorithm=algorithm, checksum=checksum
    )
    tally = claimed.tally()
    tally.update(data)
    claimed.verify(tally, {})


# Checksums of checksums --------------------------------------------------------------------------------------


def can_combine(algorithm: str) -> bool:
    """Whether the checksum of a whole follows from those of its parts: true of CRCs."""
    return _ALGORITHMS[algorithm].combine is not None


def combine(algorithm: str, parts: Sequence[tuple[str, int]]) -> str:
    """The checksum of the concatenation of parts, of each of which (checksum, bytes) is known."""
    known = _ALGORITHMS[algorithm]
    if known.combine is None:
        raise ValueError(f"{algorithm} does not combine")
    combine_two: Callable[[int, int, int], int] = getattr(_crt(), known.combine)
    whole = 0
    for checksum, size in parts:
        whole = combine_two(whole, int.from_bytes(base64.b64decode(checksum), "big"), size)
    return _encode(whole.to_bytes(known.size_bytes, "big"))


def composite(algorithm: str, parts: Sequence[str]) -> str:
    """S3's checksum of an upload in parts where the parts were digested by themselves: digest of digests, -N."""
    running = _ALGORITHMS[algorithm].start()
    running.update(b"".join(map(base64.b64decode, parts)))
    return f"{_encode(running.digest())}-{len(parts)}"


def etag_of_parts(etags: Sequence[str]) -> str:
    """S3's ETag of an object that was uploaded in parts: MD5 of the parts' MD5s, -N."""
    return f"{_md5(bytes.fromhex(''.join(etags))).hexdigest()}-{len(etags)}"


# Spelling ----------------------------------------------------------------------------------------------------


def _encode(digest: bytes) -> str:
    return binascii.b2a_base64(digest, newline=False).decode()


def is_checksum(algorithm: str, value: str) -> bool:
    """Whether this is base64 of as many bytes as the algorithm gives."""
    known = _ALGORITHMS.get(algorithm)
    try:
        return known is not None and len(base64.b64decode(value, validate=True)) == known.size_bytes
    except ValueError:
        return False


def _decode(algorithm: str, value: str, where: str = "header") -> None:
    if not is_checksum(algorithm, value):
        raise InvalidRequest(message=f"Value for {_HEADER}{algorithm} {where} is invalid.")


def _md5_of(value: str) -> bytes:
    try:
        digest = base64.b64decode(value, validate=True)
    except ValueError:
        digest = b""
    if len(digest) != 16:
        raise InvalidDigest(message="The Content-MD5 you specified is not valid.")
    return digest
