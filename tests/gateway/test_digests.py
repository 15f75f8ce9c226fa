"""
Digests: claims that are verified, and checksums that are made of checksums.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rs3gw.errors import (
    BadDigest,
    InvalidDigest,
    InvalidRequest,
    MalformedTrailerError,
    NotImplementedHere,
    XAmzContentSHA256Mismatch,
)
from rs3gw.gateway import digests
from rs3gw.operations.body import Body, Whole
from rs3gw.operations.shapes import ALGORITHMS, NO_CHECKSUMS, Checksums

md5 = partial(hashlib.md5, usedforsecurity=False)
sha1 = partial(hashlib.sha1, usedforsecurity=False)

NAMES = [name.lower() for name in ALGORITHMS]
CRCS = [name for name in NAMES if name.startswith("crc")]
DATA = b"The quick brown fox jumps over the lazy dog"

# The check value of each CRC: that of the nine digits, from the catalogue of parametrised CRC algorithms.
CHECK = {"crc32": 0xCBF43926, "crc32c": 0xE3069283, "crc64nvme": 0xAE8B14860A799888}


def encoded(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def checksum(name: str, data: bytes) -> str:
    tally = digests.Tally([name])
    tally.update(data)
    return tally.checksums[name]


@pytest.mark.parametrize("name", CRCS)
def test_a_crc_is_the_one_that_the_catalogue_means(name):
    assert encoded(CHECK[name].to_bytes(8 if name == "crc64nvme" else 4, "big")) == checksum(name, b"123456789")


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_a_tally_does_not_care_how_the_bytes_were_cut(pieces):
    whole = b"".join(pieces)
    tally = digests.Tally(NAMES, sha256=True)
    for piece in pieces:
        tally.update(piece)

    assert md5(whole).hexdigest() == tally.etag
    assert hashlib.sha256(whole).hexdigest() == tally.sha256
    assert encoded(zlib.crc32(whole).to_bytes(4, "big")) == tally.checksums["crc32"]
    assert encoded(sha1(whole).digest()) == tally.checksums["sha1"]


@pytest.mark.parametrize("name", CRCS)
@given(pieces=st.lists(st.binary(max_size=200), min_size=1, max_size=6))
def test_the_crc_of_a_whole_follows_from_those_of_its_parts(name, pieces):
    found = digests.combine(name, [(checksum(name, piece), len(piece)) for piece in pieces])

    assert checksum(name, b"".join(pieces)) == found


@pytest.mark.parametrize("name", NAMES)
def test_a_composite_checksum_is_that_of_the_parts_checksums_and_their_number(name):
    parts = [checksum(name, b"one"), checksum(name, b"two")]

    expected = checksum(name, b"".join(map(base64.b64decode, parts)))
    assert f"{expected}-2" == digests.composite(name, parts)


def test_the_etag_of_parts_is_that_of_their_etags():
    etags = [md5(data).hexdigest() for data in (b"one", b"two")]

    expected = md5(b"".join(map(bytes.fromhex, etags))).hexdigest()
    assert f"{expected}-2" == digests.etag_of_parts(etags)


def received(body: Body = Whole(DATA), **said):  # noqa: B008
    """Verify claims against DATA; the checksums that would be stored."""
    given = {"content_md5": None, "checksums": NO_CHECKSUMS, "asked": None, **said}
    claims = digests.claims(body=body, **given)
    tally = claims.tally()
    tally.update(DATA)
    claims.verify(tally, body.trailers)
    return tally.checksums


def test_where_nothing_is_claimed_a_crc64nvme_is_computed():
    assert received().keys() == {"crc64nvme"}


@pytest.mark.parametrize("name", NAMES)
def test_a_checksum_that_is_right_is_kept_and_one_that_is_wrong_refused(name):
    right, wrong = checksum(name, DATA), checksum(name, b"other")

    assert {name: right} == received(checksums=Checksums(**{name: right}))
    with pytest.raises(BadDigest, match=name.upper()):
        received(checksums=Checksums(**{name: wrong}))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("broken", ["", "AAAA AAAA", "====", "AA==", "ä"])
def test_a_checksum_that_is_none_is_refused_before_the_body(name, broken):
    with pytest.raises(InvalidRequest, match=f"Value for x-amz-checksum-{name} header is invalid"):
        received(checksums=Checksums(**{name: broken}))


def test_two_checksums_are_one_too_many():
    both = Checksums(crc32=checksum("crc32", DATA), sha1=checksum("sha1", DATA))

    with pytest.raises(InvalidRequest, match="Expecting a single x-amz-checksum- header"):
        received(checksums=both)


def test_a_content_md5_is_verified():
    received(content_md5=encoded(md5(DATA).digest()))

    with pytest.raises(BadDigest):
        received(content_md5=encoded(md5(b"other").digest()))
    for broken in ("", "not base64", encoded(b"short")):
        with pytest.raises(InvalidDigest):
            received(content_md5=broken)


def test_the_body_is_the_one_that_was_signed():
    received(Whole(DATA, sha256=hashlib.sha256(DATA).hexdigest()))

    with pytest.raises(XAmzContentSHA256Mismatch):
        received(Whole(DATA, sha256=hashlib.sha256(b"other").hexdigest()))


class Trailed(Whole):
    """A body with what came after it."""

    def __init__(self, promised: tuple[str, ...], trailers: dict[str, str]) -> None:
        super().__init__(DATA)
        self.promised, self._trailers = promised, trailers

    @property
    def trailers(self):
        return self._trailers


@pytest.mark.parametrize("name", NAMES)
def test_a_checksum_may_come_after_the_bytes(name):
    header = f"x-amz-checksum-{name}"

    assert received(Trailed((header,), {header: checksum(name, DATA)})).keys() == {name}
    with pytest.raises(BadDigest):
        received(Trailed((header,), {header: checksum(name, b"other")}))
    with pytest.raises(MalformedTrailerError):
        received(Trailed((header,), {}))
    with pytest.raises(InvalidRequest, match="trailing header is invalid"):
        received(Trailed((header,), {header: "AA=="}))


def test_a_trailer_that_nobody_would_verify_is_refused():
    with pytest.raises(InvalidRequest):
        received(Trailed(("x-amz-meta-later",), {}))
    with pytest.raises(NotImplementedHere):
        received(Trailed(("x-amz-checksum-sha512",), {}))


def test_a_checksum_comes_before_or_after_and_not_both():
    header = "x-amz-checksum-crc32"

    with pytest.raises(InvalidRequest, match="Expecting a single"):
        received(
            Trailed((header,), {header: checksum("crc32", DATA)}), checksums=Checksums(crc32=checksum("crc32", DATA))
        )


def test_an_algorithm_is_named_with_its_checksum():
    with pytest.raises(InvalidRequest, match="no corresponding"):
        received(asked="CRC32")
    with pytest.raises(InvalidRequest, match="x-amz-sdk-checksum-algorithm"):
        received(asked="CRC32", checksums=Checksums(sha1=checksum("sha1", DATA)))


def test_a_document_is_verified_like_any_body():
    digests.verify_document(DATA, content_md5=encoded(md5(DATA).digest()))
    digests.verify_document(DATA, checksums=Checksums(sha256=checksum("sha256", DATA)))

    with pytest.raises(BadDigest):
        digests.verify_document(DATA, checksums=Checksums(sha256=checksum("sha256", b"other")))
    with pytest.raises(XAmzContentSHA256Mismatch):
        digests.verify_document(DATA, sha256="0" * 64)
