"""
HTTP/2 on a socket, as a server of gRPC needs it: connections, streams and windows (RFC 9113).

A connection carries streams, and a Stream is one request and its answer; what their bytes mean is told in ``calls``.
What a client has sent and nobody has taken is never more than the windows that it was given, and a window opens only by
what was taken.  What we send fits in the windows that the client gave, or waits for it, and the client is late if it
lets us wait for long.  Whatever a client may send for nothing (pings, settings, streams that it gives up at once) is
counted, and too much of it ends the connection: ENHANCE_YOUR_CALM.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Final, Protocol

import hpack

from rs3gw.rpc.frames import (
    ACK,
    CANCEL,
    COMPRESSION_ERROR,
    CONTINUATION,
    DATA,
    DEFAULT_WINDOW,
    ENABLE_PUSH,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    FRAME_BYTES,
    FRAME_SIZE_ERROR,
    GOAWAY,
    HAS_PRIORITY,
    HEAD_BYTES,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    LARGEST_STREAM,
    LARGEST_WINDOW,
    MAX_CONCURRENT_STREAMS,
    MAX_FRAME_SIZE,
    MAX_HEADER_LIST_SIZE,
    NO_ERROR,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    REFUSED_STREAM,
    RST_STREAM,
    SETTINGS,
    STREAM_CLOSED,
    WINDOW_UPDATE,
    ConnectionFault,
    Request,
    StreamFault,
    frame,
    frame_head,
    read_request,
)

log = logging.getLogger("rs3gw.rpc")

# What we let a client do -------------------------------------------------------------------------------------

MAX_STREAMS: Final = 1024
UNUSED_SECONDS, PING_SECONDS, ANSWER_SECONDS, LEAST_PING_SECONDS = 300.0, 60.0, 20.0, 10.0
"""What Bounds has unless it is told otherwise."""
CONNECTION_WINDOW_BYTES: Final = 16 * 1024**2
"""How much a client may send ahead on all streams of a connection together."""
STREAM_WINDOW_BYTES: Final = 1024**2
"""How much it may send ahead on a stream that somebody reads; on any other, DEFAULT_WINDOW."""
BLOCK_BYTES: Final = 32 * 1024
"""The largest header block, as it is sent, and the most that its fields come to."""
BLOCK_FRAMES: Final = 16
"""How many frames it may be cut into."""
KNOWN_BLOCKS, KNOWN_BLOCK_BYTES, KNOWN_REQUEST_BYTES = 64, 1024, 4096
"""How many header blocks of a connection are remembered, and how large each may be, and what it says: a client says
the same again, and a block of a few bytes may say very much."""
NUISANCES: Final = 2 * MAX_STREAMS
"""How many frames that ask for nothing are taken before a client has to calm down; half are forgotten each second.
Who gives up all that it has under way, at once, and again what it asked for meanwhile, need not."""
IDLE_PINGS: Final = 2
"""How many pings may come, sooner than the bounds have it, while nothing is sent to the client."""

# How we send -------------------------------------------------------------------------------------------------

JOINED_BYTES: Final = 128 * 1024
"""Frames up to this size together go out in one piece: copying them is cheaper than to hand over each."""
GATHERED_PIECES: Final = 100
"""How many pieces of small answers are put together before they are sent."""
BUFFERED_BYTES: Final = 256 * 1024
"""How much may wait in the transport before whoever sends waits too."""
PRESENCE_PING, LAST_PING = b"present?", b"leaving!"
LINGER_SECONDS: Final = 1.0
"""How long a client that is told to leave has to answer the ping behind it, so that nothing of its own crosses that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a connection may take, and how long."""

    connections: int = 4096
    streams: int = MAX_STREAMS
    """At once, on one connection."""
    header_seconds: float = 20.0
    """How long a new connection has to say that it speaks HTTP/2, and a header block to arrive whole."""
    idle_seconds: float = 60.0
    """How long a client may send nothing of what is waited for, or take too little of what it is sent."""
    idle_bytes: int = 64 * 1024
    """How much it has to take in that time of what waits for it."""
    unused_seconds: float = UNUSED_SECONDS
    """How long a connection is kept without a stream."""
    ping_seconds: float = PING_SECONDS
    """After this long without a word from a client it is asked whether it is there."""
    answer_seconds: float = ANSWER_SECONDS
    """How long it has to say so."""
    least_ping_seconds: float = LEAST_PING_SECONDS
    """A client may ask us this often; more often is a flood."""


class Host(Protocol):
    """Who has the connections: rpc/server.Server."""

    bounds: Bounds
    connections: set[Connection]
    is_stopping: bool

    def stream(self, connection: Connection, number: int, request: Request) -> Stream:
        """A stream that has just been opened."""


class Stream:
    """
    One request and its answer.

    A subclass says what becomes of them: it is made when the head has come, and told of the content by ``received``,
    of its end by ``ended``, by ``started`` once all that came in one piece with the head has been told, and by ``lost``
    when the client gives up or is gone.
    """

    __slots__ = (
        "_arrived", "_due", "_is_wide", "_room", "_taken", "_waited", "_waits_since", "connection", "has_ended",
        "is_lost", "is_over", "number", "receivable", "request", "sendable", "unsent",
    )  # fmt: skip

    def __init__(self, connection: Connection, number: int, request: Request) -> None:
        self.connection, self.number, self.request = connection, number, request
        self.receivable = DEFAULT_WINDOW
        """How much more the client may send."""
        self.sendable = connection.initial_window
        """How much more it takes; below zero where it has changed its mind."""
        self.has_ended = False
        """Whether it has sent all of its request."""
        self.is_over = False
        """Whether it has been sent all of its answer."""
        self.is_lost = False
        self._arrived = 0
        self._due = 0
        self._is_wide = False
        self.unsent = 0
        """How much waits to be sent."""
        self._room: asyncio.Future[None] | None = None
        """Done when there may be room to send."""
        self._waits_since = 0.0
        self._waited, self._taken = 0.0, 0
        """How long its client has been waited for, and what it took meanwhile, since it was last judged by that."""

    # What comes

    def started(self) -> None:
        """All that came in one piece with the request has been told."""
        raise NotImplementedError

    def received(self, data: memoryview) -> None:
        """More of the content; its bytes stay what they are."""
        raise NotImplementedError

    def ended(self) -> None:
        """The content is whole."""
        raise NotImplementedError

    def lost(self) -> None:
        """Nobody is there any more."""
        raise NotImplementedError

    def released(self) -> None:
        """It is over, one way or the other."""
        raise NotImplementedError

    def take(self, size: int) -> None:
        """So many bytes of what came are out of the way: the client may send as many more."""
        self.connection.take(size)
        if self.has_ended or self.is_over:
            return
        self._due += size
        if self._due * 4 >= (STREAM_WINDOW_BYTES if self._is_wide else DEFAULT_WINDOW):
            self._open()

    def widen(self) -> None:
        """Let the client send further ahead: somebody reads."""
        if not (self._is_wide or self.has_ended or self.is_over):
            self._is_wide = True
            self._due += STREAM_WINDOW_BYTES - DEFAULT_WINDOW
            self._open()

    def _open(self) -> None:
        self.receivable += self._due
        self.connection.write(frame(WINDOW_UPDATE, 0, self.number, self._due.to_bytes(4, "big")))
        self._due = 0

    def arrived(self, data: memoryview) -> None:
        """Content came, and its head said that it would."""
        self._arrived += len(data)
        self.received(data)

    def finish(self) -> None:
        """The request is whole.  Raises StreamFault where it is not as long as it said."""
        self.has_ended = True
        if self.request.content_length not in (None, self._arrived):
            raise StreamFault(PROTOCOL_ERROR)
        self.ended()

    # What goes

    def send_head(self, block: bytes) -> None:
        """The head of the answer."""
        if self.is_over:
            return
        self.connection.write(frame(HEADERS, END_HEADERS, self.number, block))

    async def send(self, head: bytes, data: memoryview) -> None:
        """
        Send content, as the client takes it: ``head``, which is short, and then ``data``.

        Raises CancelledError where the client is gone, or takes too little for too long.
        """
        connection = self.connection
        while True:
            if self.is_lost:
                raise asyncio.CancelledError
            left = len(head) + len(data)
            take = 0 if connection.is_paused else min(left, self.sendable, connection.sendable)
            if take > 0:
                connection.write_content(self.number, head, data, take)
                self.sendable -= take
                connection.sendable -= take
                self._taken += take
                if take == left:
                    return
                head, data = head[take:], data[max(0, take - len(head)) :]
            self.unsent = left - max(0, take)
            await self._wait()

    async def _wait(self) -> None:
        connection = self.connection
        self._waits_since = connection.loop.time()
        self._room = connection.loop.create_future()
        connection.waiting[self] = None
        try:
            await self._room
        except asyncio.CancelledError:
            del connection.waiting[self]
            connection.wake()  # there may have been room for it, which is now for another
            raise
        finally:
            self._room = None
            connection.waiting.pop(self, None)
        self._waited += connection.loop.time() - self._waits_since
        if self._waited >= connection.host.bounds.idle_seconds:
            if self._taken < connection.host.bounds.idle_bytes:
                self._let_go()
                # That has cancelled this task: it is to hear of it once, and not again from what it cleans up with.
                await asyncio.sleep(0)
            self._waited, self._taken = 0.0, 0

    def there_is_room(self) -> None:
        """The client takes more, or there is nobody to take it: see which."""
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def look(self, now: float) -> None:
        """See whether the client is late."""
        if self._room is None or self.connection.is_paused:
            return  # while the transport is full, its connection is judged
        if now - self._waits_since >= self.connection.host.bounds.idle_seconds:
            self._let_go()

    def wait_anew(self, now: float) -> None:
        """The socket was waited for until now, and its client could not be heard: windows are waited for from here."""
        self._waits_since = now

    def _let_go(self) -> None:
        log.info("a client took %d bytes of its answer in %g s", self._taken, self.connection.host.bounds.idle_seconds)
        self.reset(CANCEL)

    def send_end(self, block: bytes) -> None:
        """The end of the answer: its trailers, if it has any, or all of it."""
        if self.is_over:
            return
        if block:
            ending = frame(HEADERS, END_HEADERS | END_STREAM, self.number, block)
        else:
            ending = frame(DATA, END_STREAM, self.number)
        if not self.has_ended:
            # The answer does not need what the client still sends (RFC 9113, section 8.1).
            ending += frame(RST_STREAM, 0, self.number, NO_ERROR.to_bytes(4, "big"))
        self.connection.write(ending)
        self.is_over = True
        self.connection.closed(self)

    def reset(self, code: int) -> None:
        """Give the stream up, and say so."""
        if self.is_over:
            return
        self.connection.write(frame(RST_STREAM, 0, self.number, code.to_bytes(4, "big")))
        self.give_up()

    def give_up(self) -> None:
        """There is nobody to answer."""
        if self.is_over:
            return
        self.is_over = self.is_lost = True
        self.connection.closed(self)
        self.there_is_room()
        self.lost()


class Connection(asyncio.Protocol):
    """One client's connection, from its first byte to its last."""

    __slots__ = (
        "_asked_at", "_block", "_block_ends", "_block_frames", "_block_of", "_cut", "_data_ends", "_data_left",
        "_data_of", "_deadline", "_decoder", "_depends_on_itself", "_due", "_fresh", "_gathered", "_has_room",
        "_has_settings", "_heard", "_holds", "_idle_pings", "_is_left", "_is_prefaced", "_known", "_last", "_left_at",
        "_nuisances", "_padding_left", "_pinged_at", "_receivable", "_rest", "_stalled_at", "_transport", "_unsent",
        "_unused_since", "host", "initial_window", "is_closing", "is_paused", "loop", "peer", "sendable", "streams",
        "waiting",
    )  # fmt: skip

    _transport: asyncio.Transport

    def __init__(self, host: Host) -> None:
        self.host = host
        self.loop = asyncio.get_running_loop()
        self.peer = "unknown"
        self.streams: dict[int, Stream] = {}
        self.waiting: dict[Stream, None] = {}
        """Those that would send, the longest waiting first."""
        self.initial_window = DEFAULT_WINDOW
        self.sendable = DEFAULT_WINDOW
        self.is_paused = False
        """Whether the transport has enough to send."""
        self.is_closing = False
        self._receivable = DEFAULT_WINDOW
        self._due = CONNECTION_WINDOW_BYTES - DEFAULT_WINDOW
        self._decoder = hpack.Decoder(max_header_list_size=BLOCK_BYTES)
        self._known: dict[bytes, Request] = {}
        self._rest = b""
        """The beginning of what has not come whole: of the preface, a frame's head, a frame that is not DATA."""
        self._data_of: Stream | None = None
        self._data_left, self._padding_left, self._data_ends = 0, 0, False
        """Of the DATA that is arriving: whose it is, if anybody's, how much is missing, and whether the stream ends."""
        self._block = b""
        self._block_of = self._block_frames = 0
        self._block_ends = self._depends_on_itself = False
        """Of the header block that is arriving: its stream, and whether the stream ends with it."""
        self._fresh: list[Stream] = []
        """Those that were opened by what is being read."""
        self._holds = 0
        """How many there are who will say when what they write is to be sent."""
        self._gathered: list[bytes | memoryview] = []
        """What was written while somebody held it back."""
        self._cut: dict[int, None] = {}
        """Streams whose answer ended before their request: what still comes of them is passed over."""
        self._last = 0
        """The last stream that the client opened."""
        self._is_prefaced = self._has_settings = False
        self._has_room = False
        """Whether what has just come opened a window of more than one stream."""
        self._nuisances = self._idle_pings = 0
        self._pinged_at = 0.0
        """When the client last pinged."""
        self._heard = self.loop.time()
        self._deadline: float | None = self._heard + host.bounds.header_seconds
        """When the client will be late with what it has to send."""
        self._left_at: float | None = None
        """When the last word is said to a client that was told to leave, and it was told."""
        self._is_left = False
        """Whether it was said."""
        self._asked_at: float | None = None
        """When it was asked whether it is there."""
        self._unused_since = self._heard
        self._stalled_at: float | None = None
        """When it will be late with taking anything at all, of which it has left ``_unsent`` bytes."""
        self._unsent = 0

    # What the transport says

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self.peer = _peer(transport.get_extra_info("peername"))
        encrypted = transport.get_extra_info("ssl_object")
        self.host.connections.add(self)
        if (
            self.host.is_stopping
            or len(self.host.connections) > self.host.bounds.connections
            or (encrypted is not None and encrypted.selected_alpn_protocol() != "h2")
        ):
            self._close()
            return
        self._transport.set_write_buffer_limits(high=BUFFERED_BYTES)
        settings = {MAX_CONCURRENT_STREAMS: self.host.bounds.streams, MAX_HEADER_LIST_SIZE: BLOCK_BYTES}
        said = b"".join(name.to_bytes(2, "big") + value.to_bytes(4, "big") for name, value in settings.items())
        self.write(frame(SETTINGS, 0, 0, said))
        self._open()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_closing = True
        self.host.connections.discard(self)
        for stream in list(self.streams.values()):
            stream.give_up()

    def eof_received(self) -> bool:
        """Who sends no more has nobody to answer to: HTTP/2 has no half of a connection."""
        return False

    def pause_writing(self) -> None:
        self.is_paused = True
        self._watch_stall()
        # What we would answer to what is sent now has to wait as well, and must not be waited for in memory.
        if not self.is_closing:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self.is_paused = False
        # Who takes what it is sent is there, though we have not listened.
        self._heard = self.loop.time()
        if self.is_closing:
            self._watch_stall()  # what is left has to go out as well, and nothing else would end the connection
        else:
            self._stalled_at = None
            self._transport.resume_reading()
        for stream in self.waiting:
            stream.wait_anew(self._heard)
        self.wake()

    def _watch_stall(self) -> None:
        self._unsent = self._transport.get_write_buffer_size()
        self._stalled_at = self.loop.time() + self.host.bounds.idle_seconds

    def wake(self) -> None:
        """
        Let those send that there is room for, the longest waiting first.

        A client that lets many wait and takes a byte at a time would have all of them look for it, at each.
        """
        room = 0 if self.is_paused else self.sendable
        for stream in self.waiting:
            if room <= 0:
                return
            if stream.sendable > 0:
                room -= min(stream.sendable, stream.unsent)
                stream.there_is_room()

    def data_received(self, data: bytes) -> None:
        if self.is_closing:
            return
        self._heard = self.loop.time()
        self.hold()
        try:
            self._read(self._rest + data if self._rest else data)
        except ConnectionFault as fault:
            log.info("a connection ends: %s", fault)
            self._end(fault.code, str(fault))
        if self._has_room:
            self._has_room = False
            self.wake()
        fresh, self._fresh = self._fresh, []
        for stream in fresh:
            if not stream.is_over:
                stream.started()
        self.release()

    def _read(self, data: bytes) -> None:
        """Take frames from the beginning of what came, and keep what is not whole."""
        self._rest = b""
        at, end = 0, len(data)
        if not self._is_prefaced:
            if not (data.startswith(PREFACE) or PREFACE.startswith(data)):
                raise ConnectionFault(PROTOCOL_ERROR, "This is not HTTP/2.")
            if end < len(PREFACE):
                self._rest = data
                return
            self._is_prefaced, at = True, len(PREFACE)
        view = memoryview(data)
        while at < end:
            if self._data_left or self._padding_left:
                at += self._read_content(view[at:])
                continue
            if end - at < HEAD_BYTES:
                break
            size = data[at] << 16 | data[at + 1] << 8 | data[at + 2]
            kind, flags = data[at + 3], data[at + 4]
            number = int.from_bytes(data[at + 5 : at + 9], "big") & LARGEST_STREAM
            if size > FRAME_BYTES:
                raise ConnectionFault(FRAME_SIZE_ERROR, f"A frame has at most {FRAME_BYTES} bytes.")
            if not self._has_settings and kind != SETTINGS:
                raise ConnectionFault(PROTOCOL_ERROR, "The first frame is SETTINGS.")
            if self._block_of and (kind != CONTINUATION or number != self._block_of):
                raise ConnectionFault(PROTOCOL_ERROR, "A header block is followed by its end.")
            if kind == DATA:
                head = HEAD_BYTES + (flags & PADDED > 0)
                if end - at < head:
                    break
                self._begin_content(number, size, flags, data[at + HEAD_BYTES] if flags & PADDED else None)
                at += head
                self._read_content(view[at:at])  # it may be empty
            elif end - at < HEAD_BYTES + size:
                break
            else:
                at += HEAD_BYTES
                self._take(kind, flags, number, data[at : at + size])
                at += size
        if at < end:
            self._rest = data[at:]  # of a frame at a time, and none is large

    # Content

    def _begin_content(self, number: int, size: int, flags: int, padding: int | None) -> None:
        if number == 0 or number > self._last:
            raise ConnectionFault(PROTOCOL_ERROR, "DATA of a stream that was not opened.")
        if size > self._receivable:
            raise ConnectionFault(FLOW_CONTROL_ERROR, "More was sent than the window of the connection has.")
        self._receivable -= size
        stream, ends = self.streams.get(number), bool(flags & END_STREAM)
        if stream is not None and stream.has_ended:
            self._fault(number, STREAM_CLOSED)
            stream = None
        elif stream is not None and size > stream.receivable:
            self._fault(number, FLOW_CONTROL_ERROR)
            stream = None
        elif stream is None and number not in self._cut:
            self._fault(number, STREAM_CLOSED)
        if stream is not None:
            stream.receivable -= size
        self._padding_left = padding or 0
        around = 0 if padding is None else padding + 1
        if around > size:
            raise ConnectionFault(PROTOCOL_ERROR, "There is more padding than there is of the frame.")
        if around:
            # Padding is out of the way as soon as it is there.
            if around == size:
                self._calm()
            if stream is None:
                self.take(around)
            else:
                stream.take(around)
        elif not size and not ends:
            self._calm()
        self._data_of, self._data_left, self._data_ends = stream, size - around, ends

    def _read_content(self, view: memoryview) -> int:
        """Give on what is there of the frame that is arriving, and say how much that was."""
        size = min(self._data_left, len(view))
        stream = self._data_of
        if size:
            self._data_left -= size
            if stream is None or stream.is_over:
                self.take(size)
            else:
                stream.arrived(view[:size])
        passed = min(self._padding_left, len(view) - size) if not self._data_left else 0
        self._padding_left -= passed
        if not (self._data_left or self._padding_left):
            self._data_of = None
            if self._data_ends and stream is not None and not stream.is_over:
                self._finish(stream)
        return size + passed

    def _finish(self, stream: Stream) -> None:
        try:
            stream.finish()
        except StreamFault as fault:
            self._fault(stream.number, fault.code)

    def take(self, size: int) -> None:
        """So many bytes that came are out of the way."""
        self._due += size
        if self._due * 4 >= CONNECTION_WINDOW_BYTES:
            self._open()

    def _open(self) -> None:
        self._receivable += self._due
        self.write(frame(WINDOW_UPDATE, 0, 0, self._due.to_bytes(4, "big")))
        self._due = 0

    # Frames

    def _take(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if kind == HEADERS:
            self._take_headers(flags, number, payload)
        elif kind == CONTINUATION:
            self._take_continuation(flags, payload)
        elif kind == WINDOW_UPDATE:
            self._take_window(number, payload)
        elif kind == RST_STREAM:
            self._take_reset(number, payload)
        elif kind == SETTINGS:
            self._take_settings(flags, number, payload)
        elif kind == PING:
            self._take_ping(flags, number, payload)
        elif kind == PRIORITY:
            self._take_priority(number, payload)
        elif kind == GOAWAY:
            if number:
                raise ConnectionFault(PROTOCOL_ERROR, "GOAWAY is of the connection.")
            self._calm()
        elif kind == PUSH_PROMISE:
            raise ConnectionFault(PROTOCOL_ERROR, "A client makes no promises.")
        else:
            self._calm()  # what we do not know means nothing (section 4.1)

    def _take_headers(self, flags: int, number: int, payload: bytes) -> None:
        at, end = 0, len(payload)
        if flags & PADDED:
            at, end = 1, end - (payload[0] if payload else 0)
        self._depends_on_itself = False
        if flags & HAS_PRIORITY:
            self._depends_on_itself = int.from_bytes(payload[at : at + 4], "big") & LARGEST_STREAM == number
            at += 5
        if at > end:
            raise ConnectionFault(PROTOCOL_ERROR, "There is more padding than there is of the frame.")
        if not number % 2:
            raise ConnectionFault(PROTOCOL_ERROR, "The streams of a client have odd numbers.")
        self._block_of, self._block_frames, self._block_ends = number, 1, bool(flags & END_STREAM)
        self._block = payload[at:end]
        if flags & END_HEADERS:
            self._end_block()
        else:
            self._deadline = self._heard + self.host.bounds.header_seconds

    def _take_continuation(self, flags: int, payload: bytes) -> None:
        if not self._block_of:
            raise ConnectionFault(PROTOCOL_ERROR, "Nothing is continued.")
        self._block += payload
        self._block_frames += 1
        if self._block_frames > BLOCK_FRAMES or len(self._block) > BLOCK_BYTES:
            raise ConnectionFault(ENHANCE_YOUR_CALM, f"A header block has at most {BLOCK_BYTES} bytes.")
        if flags & END_HEADERS:
            self._deadline = None
            self._end_block()

    def _end_block(self) -> None:
        number, block, ends = self._block_of, self._block, self._block_ends
        self._block_of, self._block = 0, b""
        if number > self._last:
            self._last = number
            try:
                request = self._known.get(block) or self._request(block)
                if self._depends_on_itself:
                    raise StreamFault(PROTOCOL_ERROR)
            except StreamFault as fault:
                self._fault(number, fault.code)
            else:
                self._begin(number, request, ends)
            return
        # Trailers, of which none means anything here; but what they say of the decoder's table counts.
        fields, _ = self._fields(block)
        stream = self.streams.get(number)
        if stream is not None:
            if stream.has_ended:
                self._fault(number, STREAM_CLOSED)
            elif ends and not any(name.startswith(b":") for name, _ in fields):
                self._finish(stream)
            else:
                self._fault(number, PROTOCOL_ERROR)
        elif number not in self._cut:
            raise ConnectionFault(STREAM_CLOSED, "A stream is opened once.")

    def _request(self, block: bytes) -> Request:
        """The request of a header block, remembered where the same bytes will mean the same.  Raises StreamFault."""
        fields, is_same = self._fields(block)
        request = read_request(fields)
        if is_same and len(block) <= KNOWN_BLOCK_BYTES and request.size <= KNOWN_REQUEST_BYTES:
            if len(self._known) >= KNOWN_BLOCKS:
                self._known.clear()
            self._known[block] = request
        return request

    def _fields(self, block: bytes) -> tuple[list[tuple[bytes, bytes]], bool]:
        """
        What a header block says, and whether the decoder's table is after it what it was before.

        Where it is not, the same bytes may mean something else from now on, and what was remembered is forgotten.
        """
        table = self._decoder.header_table
        entries = table.dynamic_entries
        size, newest, most = len(entries), entries[0] if entries else None, table.maxsize
        try:
            fields = [(bytes(name), bytes(value)) for name, value in self._decoder.decode(block, raw=True)]
        except hpack.OversizedHeaderListError as fault:
            raise ConnectionFault(ENHANCE_YOUR_CALM, f"Headers come to at most {BLOCK_BYTES} bytes.") from fault
        except hpack.HPACKError as fault:
            raise ConnectionFault(COMPRESSION_ERROR, f"A header block cannot be read: {fault}.") from fault
        is_same = (size, most) == (len(entries), table.maxsize) and (not size or newest is entries[0])
        if not is_same:
            self._known.clear()
        return fields, is_same

    def _begin(self, number: int, request: Request, ends: bool) -> None:
        if self._is_left or len(self.streams) >= self.host.bounds.streams:
            # Nobody has looked at it: the client may send it again, here or elsewhere (section 8.7).
            self._reset(number, REFUSED_STREAM)
            return
        stream = self.streams[number] = self.host.stream(self, number, request)
        self._fresh.append(stream)
        if ends:
            self._finish(stream)

    def _take_window(self, number: int, payload: bytes) -> None:
        self._sized(payload, 4)
        more = int.from_bytes(payload, "big") & LARGEST_WINDOW
        if number == 0:
            if not more:
                raise ConnectionFault(PROTOCOL_ERROR, "A window opens by something.")
            self.sendable += more
            if self.sendable > LARGEST_WINDOW:
                raise ConnectionFault(FLOW_CONTROL_ERROR, "A window is too large.")
            self._has_room = True
            return
        self._opened(number)
        if not more:
            self._fault(number, PROTOCOL_ERROR)  # of a stream that has ended, too: nobody has to send that
            return
        stream = self.streams.get(number)
        if stream is None:
            return
        stream.sendable += more
        if stream.sendable > LARGEST_WINDOW:
            self._fault(number, FLOW_CONTROL_ERROR)
        elif stream.sendable > 0 and self.sendable > 0 and not self.is_paused:
            stream.there_is_room()

    def _take_reset(self, number: int, payload: bytes) -> None:
        self._sized(payload, 4)
        self._opened(number)
        self._calm()
        stream = self.streams.get(number)
        if stream is not None:
            stream.give_up()
        self._cut.pop(number, None)

    def _take_settings(self, flags: int, number: int, payload: bytes) -> None:
        if number:
            raise ConnectionFault(PROTOCOL_ERROR, "Settings are of the connection.")
        if len(payload) % 6 or (flags & ACK and payload):
            raise ConnectionFault(FRAME_SIZE_ERROR, "A setting has six bytes.")
        if flags & ACK:
            self._calm()
            return
        if self._has_settings:
            self._calm()
        else:
            self._has_settings, self._deadline = True, None
        window = None
        for at in range(0, len(payload), 6):
            name, value = int.from_bytes(payload[at : at + 2], "big"), int.from_bytes(payload[at + 2 : at + 6], "big")
            if name == INITIAL_WINDOW_SIZE:
                if value > LARGEST_WINDOW:
                    raise ConnectionFault(FLOW_CONTROL_ERROR, "A window is too large.")
                window = value
            elif name == ENABLE_PUSH and value > 1:
                raise ConnectionFault(PROTOCOL_ERROR, "ENABLE_PUSH is 0 or 1.")
            elif name == MAX_FRAME_SIZE and not FRAME_BYTES <= value < 2**24:
                raise ConnectionFault(PROTOCOL_ERROR, "MAX_FRAME_SIZE is out of its range.")
        if window is not None:
            # The last word on it, for a frame has room for thousands.
            self._change_windows(window)
        self.write(frame(SETTINGS, ACK, 0))

    def _change_windows(self, size: int) -> None:
        more, self.initial_window = size - self.initial_window, size
        for stream in self.streams.values():
            stream.sendable += more
            if stream.sendable > LARGEST_WINDOW:
                raise ConnectionFault(FLOW_CONTROL_ERROR, "A window is too large.")
        self._has_room = True

    def _take_ping(self, flags: int, number: int, payload: bytes) -> None:
        self._sized(payload, 8)
        if number:
            raise ConnectionFault(PROTOCOL_ERROR, "PING is of the connection.")
        if flags & ACK:
            self._calm()
            if payload == LAST_PING and self._left_at is not None:
                self._leave_now()
            return
        if self._pinged_at:
            # Nothing was sent to it since the last one.  After content each may be one: clients measure by them how
            # much is on its way, some thousand times a second.
            self._calm()
        if self._heard - self._pinged_at < self.host.bounds.least_ping_seconds:
            self._idle_pings += 1
            if self._idle_pings > IDLE_PINGS:
                raise ConnectionFault(ENHANCE_YOUR_CALM, "too_many_pings")  # the words that clients of gRPC know
        self._pinged_at = self._heard
        self.write(frame(PING, ACK, 0, payload))

    def _take_priority(self, number: int, payload: bytes) -> None:
        # Nothing is made of it (section 5.3.2).
        if not number:
            raise ConnectionFault(PROTOCOL_ERROR, "PRIORITY is of a stream.")
        if len(payload) != 5:
            self._fault(number, FRAME_SIZE_ERROR)
        elif int.from_bytes(payload[:4], "big") & LARGEST_STREAM == number:
            self._fault(number, PROTOCOL_ERROR)
        else:
            self._calm()

    def _sized(self, payload: bytes, size: int) -> None:
        if len(payload) != size:
            raise ConnectionFault(FRAME_SIZE_ERROR, f"A frame of its kind has {size} bytes.")

    def _opened(self, number: int) -> None:
        if number == 0 or number > self._last:
            raise ConnectionFault(PROTOCOL_ERROR, "A frame of a stream that was not opened.")

    def _calm(self) -> None:
        """Count a frame that asks for nothing."""
        self._nuisances += 1
        if self._nuisances > NUISANCES:
            raise ConnectionFault(ENHANCE_YOUR_CALM, "Too many frames ask for nothing.")

    # What a stream needs

    def write(self, wire: bytes) -> None:
        """Send frames; the transport keeps what does not go at once."""
        if self._holds:
            self._gathered.append(wire)
        elif not self._transport.is_closing():
            self._transport.write(wire)

    def hold(self) -> None:
        """
        Gather what is written until ``release``.

        A call of the transport for each frame is a tenth of a small read.
        """
        self._holds += 1

    def release(self) -> None:
        """Send what was gathered, in one piece, unless somebody else still holds it."""
        self._holds -= 1
        if not self._holds:
            self._flush()

    def _flush(self) -> None:
        gathered, self._gathered = self._gathered, []
        if gathered and not self._transport.is_closing():
            self._transport.write(gathered[0] if len(gathered) == 1 else b"".join(gathered))

    def write_content(self, number: int, head: bytes, data: memoryview, size: int) -> None:
        """Send the first bytes of ``head`` and ``data``, so many of them, in frames."""
        # Pings are answered for whoever is sent something.
        self._idle_pings, self._pinged_at = 0, 0.0
        pieces: list[bytes | memoryview] = []
        at = 0
        for start in range(0, size, FRAME_BYTES):
            length = min(FRAME_BYTES, size - start)
            pieces.append(frame_head(length << 8 | DATA, 0, number))
            if head:
                said, head = head[:length], head[length:]
                pieces.append(said)
                length -= len(said)
            pieces.append(data[at : at + length])
            at += length
        if self._holds:
            if size <= FRAME_BYTES and len(self._gathered) < GATHERED_PIECES:
                self._gathered += pieces
                return
            self._flush()  # the transport has to say when it has enough
        if self._transport.is_closing():
            return
        if size <= JOINED_BYTES:
            self._transport.write(b"".join(pieces))
        else:
            self._transport.writelines(pieces)

    def closed(self, stream: Stream) -> None:
        """A stream has come to its end."""
        self.streams.pop(stream.number, None)
        stream.released()
        if not stream.has_ended:
            self._pass_over(stream.number)
        if not self.streams:
            self._unused_since = self._heard
            if self._is_left:
                self._close()

    def _reset(self, number: int, code: int) -> None:
        """Refuse a stream that nobody has begun."""
        self._pass_over(number)
        self.write(frame(RST_STREAM, 0, number, code.to_bytes(4, "big")))

    def _pass_over(self, number: int) -> None:
        """Take what still comes of a stream for nothing; of the last of them, not of all that there ever were."""
        self._cut[number] = None
        if len(self._cut) > self.host.bounds.streams:
            del self._cut[next(iter(self._cut))]

    def _fault(self, number: int, code: int) -> None:
        """Reset a stream for what its client did; who makes us do it might as well do it himself, and is counted so."""
        stream = self.streams.get(number)
        if stream is None:
            self._reset(number, code)
        else:
            stream.reset(code)
        self._calm()

    # Ends

    def look(self, now: float) -> None:
        """End what is late; called about once a second."""
        bounds = self.host.bounds
        self._nuisances //= 2
        if self._stalled_at is not None and now >= self._stalled_at:
            taken = self._unsent - self._transport.get_write_buffer_size()
            if taken < max(1, min(bounds.idle_bytes, self._unsent)):
                log.info("a client took %d bytes of what it was sent in %g s", taken, bounds.idle_seconds)
                self._transport.abort()
                return
            self._watch_stall()
        if self.is_closing:
            return
        if self._deadline is not None and now >= self._deadline:
            self._end(PROTOCOL_ERROR, "The client is late.")
            return
        if self._left_at is not None and now >= self._left_at:
            self._leave_now()
        if self._asked_at is not None and (self.is_paused or self._heard >= self._asked_at):
            self._asked_at = None  # while we do not listen, it is judged by what it takes
        if self._asked_at is not None and now - self._asked_at >= bounds.answer_seconds:
            log.info("a client is not there any more")
            self._transport.abort()
        elif self._asked_at is None and not self.is_paused and now - self._heard >= bounds.ping_seconds:
            self._asked_at = now
            self.write(frame(PING, 0, 0, PRESENCE_PING))
        if not self.streams and self._left_at is None and now - self._unused_since >= bounds.unused_seconds:
            self.leave()
        for stream in list(self.streams.values()):
            stream.look(now)

    def leave(self) -> None:
        """
        Tell the client to come back by another connection, and end this one after its last stream.

        In two steps, so that a stream that it opens before it has heard of it is served (section 6.8).
        """
        if self.is_closing or self._left_at is not None:
            return
        self._left_at = self.loop.time() + LINGER_SECONDS
        self._send_goaway(LARGEST_STREAM, NO_ERROR, "")
        self.write(frame(PING, 0, 0, LAST_PING))

    def _leave_now(self) -> None:
        if not self._is_left:
            self._is_left = True
            self._send_goaway(self._last, NO_ERROR, "")
            if not self.streams:
                self._close()

    def _send_goaway(self, last: int, code: int, why: str) -> None:
        self.write(frame(GOAWAY, 0, 0, last.to_bytes(4, "big") + code.to_bytes(4, "big") + why.encode()))

    def _end(self, code: int, why: str) -> None:
        """Say what is wrong, and close."""
        self._send_goaway(self._last, code, why)
        self._close()
        for stream in list(self.streams.values()):
            stream.give_up()

    def _close(self) -> None:
        """End the connection once what was written has gone out."""
        if not self.is_closing:
            self.is_closing = True
            self._flush()
            if self._transport.get_write_buffer_size() and self._stalled_at is None:
                self._watch_stall()
            self._transport.close()

    def end(self) -> None:
        """End the connection, whatever it has under way."""
        self._leave_now()
        for stream in list(self.streams.values()):
            stream.reset(CANCEL)
        self._close()

    def abort(self) -> None:
        """End the connection now."""
        self.is_closing = True
        self._transport.abort()


def _peer(name: object) -> str:
    """An address as gRPC spells it: ipv4:127.0.0.1:5000, ipv6:%5B::1%5D:5000."""
    if not isinstance(name, tuple):
        return "unknown"
    host, port = name[:2]
    return f"ipv6:%5B{host}%5D:{port}" if ":" in host else f"ipv4:{host}:{port}"
