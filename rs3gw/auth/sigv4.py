"""
AWS Signature Version 4, as S3 has it: pure functions from what was sent to what the signature must be.

S3's dialect differs from the general one in two ways that matter here: the path is encoded once and never
normalised (``a//b`` and ``a/../b`` are keys), and the payload's hash is whatever x-amz-content-sha256 says.
Everything compares in constant time.  https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
and …/sigv4-streaming.html, …/sigv4-query-string-auth.html, …/sigv4-streaming-trailers.html.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from urllib.parse import quote, unquote_to_bytes

from rs3gw.auth.evidence import Scope, Signature

ALGORITHM = "AWS4-HMAC-SHA256"
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
SIGNED_CHUNKS = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
"""How x-amz-content-sha256 begins where each chunk of the body has a signature of its own."""


def canonical_path(path: str) -> str:
    """
    The path with every byte but the unreserved and the slash percent-encoded, once.

    A client may send a character raw that it signed encoded, so the path is decoded first; raw bytes beyond ASCII
    stand in it as Latin-1, as the wire has them.  A plain path is what it is: most are, and the check costs a tenth
    of the work.
    """
    if _PLAIN_PATH(path):
        return path
    return quote(unquote_to_bytes(path.encode("latin-1")), safe="/-._~")


_PLAIN_PATH = re.compile(r"[A-Za-z0-9\-._~/]*\Z").match


def canonical_query(pairs: Sequence[tuple[str, str]]) -> str:
    """The pairs, each side decoded and encoded again, sorted by their encoded form."""
    if not pairs:
        return ""
    encoded = [(_encoded(name), _encoded(value)) for name, value in pairs]
    encoded.sort()
    return "&".join([f"{name}={value}" for name, value in encoded])


def decoded(text: str) -> str:
    """A piece of a query, percent-decoded; bytes that are no UTF-8 survive in disguise."""
    return _octets(text).decode("utf-8", "surrogateescape")


def _encoded(text: str) -> str:
    return quote(_octets(text), safe="-._~")


def _octets(text: str) -> bytes:
    # A plus stands for a space in what some clients send (and for %20 in what they sign).
    return unquote_to_bytes(text.replace("+", " ").encode("latin-1"))


def canonical_headers(headers: Mapping[str, str], signed: Sequence[str]) -> str:
    """One line a signed header, its name in lower case, its value trimmed with runs of spaces folded into one."""
    return "".join([f"{name}:{folded(headers.get(name, ''))}\n" for name in signed])


def folded(value: str) -> str:
    """A header's value, trimmed, with runs of white space folded into one space."""
    if value.isascii():
        return " ".join(value.split())
    # Only what is white space in ASCII is folded: a no-break space in metadata is text, and signed as it is.
    octets = value.encode("utf-8", "surrogateescape")
    return b" ".join(octets.split()).decode("utf-8", "surrogateescape")


def canonical_request(shown: Signature) -> str:
    """What the client made its hash of."""
    return "\n".join(
        (
            shown.method,
            canonical_path(shown.path),
            canonical_query(shown.query),
            canonical_headers(shown.headers, shown.signed_headers),
            ";".join(shown.signed_headers),
            shown.payload_hash,
        )
    )


def string_to_sign(timestamp: str, scope: Scope, canonical: str) -> str:
    """What is signed."""
    digest = hashlib.sha256(canonical.encode("utf-8", "surrogateescape")).hexdigest()
    return f"{ALGORITHM}\n{timestamp}\n{scope}\n{digest}"


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


@lru_cache(maxsize=1024)
def signing_key(secret_key: str, date: str, region: str, service: str) -> bytes:
    """The key of a day, a region and a service; cached, because a client uses one for a day."""
    dated = _hmac(b"AWS4" + secret_key.encode(), date)
    return _hmac(_hmac(_hmac(dated, region), service), "aws4_request")


def sign(key: bytes, text: str) -> str:
    """The signature of a string, in hex."""
    keyed = _keyed(key).copy()
    keyed.update(text.encode())
    return keyed.hexdigest()


@lru_cache(maxsize=1024)
def _keyed(key: bytes) -> hmac.HMAC:
    # What a key alone decides is hashed once; and unlike hmac.digest, a copy keeps the interpreter while it works.
    return hmac.new(key, digestmod="sha256")


def verify(shown: Signature, secret_key: str) -> bytes | None:
    """The signing key where the signature is right, None where it is not."""
    scope = shown.scope
    key = signing_key(secret_key, scope.date, scope.region, scope.service)
    expected = sign(key, string_to_sign(shown.timestamp, scope, canonical_request(shown)))
    return key if hmac.compare_digest(expected.encode(), shown.signature.encode("utf-8", "surrogateescape")) else None


class ChunkSigner:
    """
    The chain of signatures over the chunks of a body: each signs its chunk and the signature before it.

    The first link is the signature of the request.  Not to be shared: it remembers the last link.
    """

    __slots__ = ("_key", "_last", "_scope", "_timestamp")

    def __init__(self, *, key: bytes, seed: str, scope: Scope, timestamp: str) -> None:
        self._key = key
        self._last = seed
        self._scope = scope
        self._timestamp = timestamp

    def chunk(self, data_sha256: str) -> str:
        """The signature that the next chunk must have, by the hex digest of its bytes."""
        return self._link("AWS4-HMAC-SHA256-PAYLOAD", f"{EMPTY_SHA256}\n{data_sha256}")

    def trailer(self, trailer_sha256: str) -> str:
        """The signature that the trailer must have, by the hex digest of its canonical form."""
        return self._link("AWS4-HMAC-SHA256-TRAILER", trailer_sha256)

    def _link(self, algorithm: str, hashes: str) -> str:
        self._last = sign(self._key, f"{algorithm}\n{self._timestamp}\n{self._scope}\n{self._last}\n{hashes}")
        return self._last

    @staticmethod
    def agree(expected: str, sent: str) -> bool:
        """Whether two signatures are the same, in constant time."""
        return hmac.compare_digest(expected.encode(), sent.encode("utf-8", "surrogateescape"))
