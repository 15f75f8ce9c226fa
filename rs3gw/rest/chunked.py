"""
aws-chunked: a body framed in chunks, each perhaps signed, with a trailer perhaps after the last.

    size;chunk-signature=…\\r\\n  bytes \\r\\n  …  0;chunk-signature=…\\r\\n  [name:value\\r\\n …  ] \\r\\n

The Decoder is sans-I/O: bytes in, pieces of the content out, in whatever cuts they arrive.  A chunk's signature can
be judged only at its end, so pieces are handed on before; the body does not end before the last signature was right,
and nothing of it is visible before it ended.

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html and …/sigv4-streaming-trailers.html
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from enum import Enum, auto

from rs3gw.auth.sigv4 import ChunkSigner
from rs3gw.errors import IncompleteBody, InvalidChunkSizeError, MalformedTrailerError, SignatureDoesNotMatch
from rs3gw.operations.body import Body, Buffer

MAX_CHUNK_HEADER_BYTES = 256
"""The line before a chunk: a size in hex and a signature of 64 digits take 90."""
MAX_CHUNK_BYTES = 5 * 1024**3
"""A chunk may be as large as the largest body: it is never held."""
MAX_TRAILER_BYTES = 8 * 1024
MIN_CHUNK_BYTES = 8 * 1024
"""S3 wants every chunk to be at least this large, signed or not, the last excepted."""

_SIGNATURE = b"chunk-signature="
_SIZE = re.compile(rb"[0-9A-Fa-f]{1,16}\Z")


class _At(Enum):
    SIZE = auto()
    DATA = auto()
    END_OF_DATA = auto()
    TRAILER = auto()
    DONE = auto()


class Decoder:
    """The framing of one body, taken off as it comes."""

    def __init__(self, *, signer: ChunkSigner | None, expects_trailer: bool) -> None:
        self._signer = signer
        self._expects_trailer = expects_trailer
        self._at = _At.SIZE
        self._line = bytearray()
        self._left = 0
        self._number = 0
        self._small: int | None = None
        self._signature = ""
        self._hash = hashlib.sha256()
        self._trailer_bytes = 0
        self._signed_trailer = bytearray()
        self._trailer_signature: str | None = None
        self.trailers: dict[str, str] = {}
        self.decoded_bytes = 0

    @property
    def is_done(self) -> bool:
        """Whether the last byte of the framing has come, and every signature was right."""
        return self._at is _At.DONE

    def feed(self, data: bytes) -> Iterator[memoryview]:
        """
        The pieces of content in the next bytes, as views of them.

        Raises IncompleteBody for broken framing, SignatureDoesNotMatch, InvalidChunkSizeError,
        MalformedTrailerError.
        """
        view, at = memoryview(data), 0
        while at < len(view):
            if self._at is _At.DATA:
                piece = view[at : at + self._left]
                at += len(piece)
                self._left -= len(piece)
                self.decoded_bytes += len(piece)
                if self._signer is not None:
                    self._hash.update(piece)
                if not self._left:
                    self._at = _At.END_OF_DATA
                yield piece
            elif self._at is _At.DONE:
                self._line += view[at : at + MAX_CHUNK_HEADER_BYTES]
                # A trailer's lines end with LF and its end with two blank lines in what minio-go sends.
                if self._line != b"\r\n"[: len(self._line)]:
                    raise IncompleteBody(message="Bytes follow the end of the aws-chunked body.")
                return
            else:
                end = data.find(b"\n", at)
                stop = len(data) if end < 0 else end + 1
                self._line += view[at:stop]
                at = stop
                limit = MAX_TRAILER_BYTES if self._at is _At.TRAILER else MAX_CHUNK_HEADER_BYTES
                if len(self._line) > limit:
                    raise IncompleteBody(message=f"A line of the aws-chunked framing is longer than {limit} bytes.")
                if end >= 0:
                    line = bytes(self._line)
                    self._line.clear()
                    self._take_line(line)

    def _take_line(self, line: bytes) -> None:
        if not line.endswith(b"\r\n"):
            # Some clients end the lines of a trailer with a lone line feed; chunks never end so.
            if self._at is not _At.TRAILER:
                raise IncompleteBody(message="A line of the aws-chunked framing does not end with CR LF.")
            line = line[:-1]
        else:
            line = line[:-2]
        if self._at is _At.SIZE:
            self._begin_chunk(line)
        elif self._at is _At.END_OF_DATA:
            if line:
                raise IncompleteBody(message="A chunk is not followed by CR LF where its size says that it ends.")
            self._end_chunk()
            self._at = _At.SIZE
        else:
            self._take_trailer(line)

    def _begin_chunk(self, line: bytes) -> None:
        spelled, semicolon, extension = line.partition(b";")
        size = int(spelled, 16) if _SIZE.match(spelled) else -1
        if not 0 <= size <= MAX_CHUNK_BYTES:
            raise IncompleteBody(message="The size of a chunk cannot be read.")
        if self._signer is not None:
            if not extension.startswith(_SIGNATURE):
                raise IncompleteBody(message="A chunk has no chunk-signature.")
            self._signature = extension.removeprefix(_SIGNATURE).decode("latin-1")
        elif semicolon and extension and not extension.startswith(_SIGNATURE):
            raise IncompleteBody(message="A chunk has an extension that is not known.")
        self._number += 1
        if size and self._small is not None:
            raise InvalidChunkSizeError(chunk=self._number, bad_chunk_size=self._small)
        if size < MIN_CHUNK_BYTES:
            self._small = size
        self._left = size
        self._hash = hashlib.sha256()
        if size:
            self._at = _At.DATA
            return
        self._end_chunk()
        self._at = _At.TRAILER

    def _end_chunk(self) -> None:
        if self._signer is not None:
            expected = self._signer.chunk(self._hash.hexdigest())
            if not self._signer.agree(expected, self._signature):
                raise SignatureDoesNotMatch()

    def _take_trailer(self, line: bytes) -> None:
        if not line:
            self._end_trailer()
            return
        self._trailer_bytes += len(line)
        name, colon, value = line.partition(b":")
        if not colon or not self._expects_trailer or self._trailer_bytes > MAX_TRAILER_BYTES:
            raise MalformedTrailerError()
        spelled, text = name.decode("latin-1").strip().lower(), value.decode("latin-1").strip()
        if spelled == "x-amz-trailer-signature":
            self._trailer_signature = text
            return
        if spelled in self.trailers:
            raise MalformedTrailerError()
        self.trailers[spelled] = text
        self._signed_trailer += f"{spelled}:{text}\n".encode("latin-1")

    def _end_trailer(self) -> None:
        if self._signer is not None and self._expects_trailer:
            if self._trailer_signature is None:
                # The blank line after the trailing headers stands before their signature in what some SDKs send.
                if self.trailers and not self._saw_blank:
                    self._saw_blank = True
                    return
                raise MalformedTrailerError()
            expected = self._signer.trailer(hashlib.sha256(self._signed_trailer).hexdigest())
            if not self._signer.agree(expected, self._trailer_signature):
                raise SignatureDoesNotMatch()
        self._at = _At.DONE

    _saw_blank = False

    def finish(self) -> None:
        """Say that no more bytes come.  Raises IncompleteBody where they should, MalformedTrailerError."""
        if self._at is _At.TRAILER:
            # A client may end its body with the last trailer's line, or with the last chunk's.
            if self._line:
                line = bytes(self._line)
                self._line.clear()
                self._take_trailer(line.removesuffix(b"\r"))
            if self._at is _At.TRAILER:
                self._end_trailer()
        if self._at is not _At.DONE:
            raise IncompleteBody(message="The aws-chunked body ends before its last chunk.")


class ChunkedBody(Body):
    """A body whose framing is taken off while it passes."""

    def __init__(
        self, inner: Body, *, size: int, signer: ChunkSigner | None, promised: tuple[str, ...], expects_trailer: bool
    ) -> None:
        self._inner = inner
        self._decoder = Decoder(signer=signer, expects_trailer=expects_trailer)
        self.size = size
        self.promised = promised

    @property
    def trailers(self) -> Mapping[str, str]:
        return self._decoder.trailers

    async def __aiter__(self) -> AsyncIterator[Buffer]:
        decoder, size = self._decoder, self.size or 0
        async for data in self._inner:
            for piece in decoder.feed(bytes(data) if not isinstance(data, bytes) else data):
                if decoder.decoded_bytes > size:
                    raise self._incomplete()
                yield piece
        decoder.finish()
        if decoder.decoded_bytes != size:
            raise self._incomplete()
        if not decoder.trailers.keys() <= set(self.promised):
            # Nobody looks at what was not announced: a digest there would be believed verified.
            raise MalformedTrailerError()

    def _incomplete(self) -> IncompleteBody:
        return IncompleteBody(
            message="The chunks do not hold the number of bytes that x-amz-decoded-content-length says.",
            number_bytes_expected=self.size,
            number_bytes_provided=self._decoder.decoded_bytes,
        )

    async def aclose(self) -> None:
        await self._inner.aclose()
