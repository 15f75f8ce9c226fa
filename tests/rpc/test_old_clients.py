"""
A client that was generated long ago talks to this server as it always did.

``contracts/`` has the contract as it was, as protoc describes it; nothing of it is ever changed, and a release whose
contract grew adds its own.  The clients here are made of nothing else: what has come since is unknown to them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from .conftest import BEARER, Asking, etag

CONTRACTS = sorted(Path(__file__).with_name("contracts").glob("*.binpb"))
MIB = 1024**2


class OldClient:
    """Every method of a contract, and its messages, on a channel."""

    def __init__(self, contract: bytes, ask: Asking) -> None:
        pool = descriptor_pool.DescriptorPool()
        files = descriptor_pb2.FileDescriptorSet.FromString(contract)
        for file in files.file:
            pool.Add(file)  # type: ignore[no-untyped-call]
        self.files = [pool.FindFileByName(file.name) for file in files.file]
        self._channel = ask.channel
        self._methods = {
            method.name: method
            for file in self.files
            for service in file.services_by_name.values()
            for method in service.methods
        }
        self._class: Callable[[Any], Any] = message_factory.GetMessageClass

    def message(self, method: str, **fields: Any) -> Any:
        """What it sends."""
        return self._class(self._methods[method].input_type)(**fields)

    async def call(self, method: str, *sent: Any, **fields: Any) -> Any:
        """The answer of a method; a list of them where it streams."""
        described = self._methods[method]
        path = f"/{described.containing_service.full_name}/{method}"
        messages = sent or (self.message(method, **fields),)
        read = self._class(described.output_type).FromString
        if described.client_streaming:
            stub = self._channel.stream_unary(path, lambda each: each.SerializeToString(), read)
            return await stub(iter(messages), metadata=BEARER)
        if described.server_streaming:
            stub = self._channel.unary_stream(path, lambda each: each.SerializeToString(), read)
            return [each async for each in stub(messages[0], metadata=BEARER)]
        stub = self._channel.unary_unary(path, lambda each: each.SerializeToString(), read)
        return await stub(messages[0], metadata=BEARER)


@pytest.fixture(params=CONTRACTS, ids=lambda path: path.stem)
def old(request: pytest.FixtureRequest, ask: Asking) -> OldClient:
    return OldClient(request.param.read_bytes(), ask)


async def test_an_old_client_stores_lists_and_reads(old: OldClient) -> None:
    await old.call("CreateBucket", bucket="old")
    first = old.message("PutObject", bucket="old", key="a/b", content_type="text/plain", metadata={"colour": "blue"})
    put = await old.call(
        "PutObject", first, old.message("PutObject", data=b"hello, "), old.message("PutObject", data=b"you")
    )
    (got, *_) = chunks = await old.call("GetObject", bucket="old", key="a/b")
    page = await old.call("ListObjects", bucket="old", prefix="a/")
    head = await old.call("HeadObject", bucket="old", key="a/b")
    await old.call("PutObjectTagging", bucket="old", key="a/b", tag_set=[{"key": "k", "value": "v"}])
    tags = await old.call("GetObjectTagging", bucket="old", key="a/b")
    buckets = await old.call("ListBuckets")

    assert b"".join(chunk.data for chunk in chunks) == b"hello, you"
    assert (got.content_type, dict(got.metadata)) == ("text/plain", {"colour": "blue"})
    assert put.etag == got.etag == head.etag == etag(b"hello, you")
    assert [(entry.key, entry.size) for entry in page.contents] == [("a/b", 10)]
    assert [(tag.key, tag.value) for tag in tags.tag_set] == [("k", "v")]
    assert "old" in [bucket.name for bucket in buckets.buckets]


async def test_an_old_client_uploads_in_parts_copies_and_removes(old: OldClient) -> None:
    await old.call("CreateBucket", bucket="old")
    place = {"bucket": "old", "key": "large"}
    upload = {**place, "upload_id": (await old.call("CreateMultipartUpload", **place)).upload_id}
    parts = []
    for number, size in ((1, 5 * MIB), (2, 3)):
        pieces = [b"a" * min(MIB // 8, size - at) for at in range(0, size, MIB // 8)]
        opening = old.message("UploadPart", **upload, part_number=number)
        answer = await old.call("UploadPart", opening, *(old.message("UploadPart", data=piece) for piece in pieces))
        parts.append({"part_number": number, "etag": answer.etag})
    await old.call("CompleteMultipartUpload", **upload, parts=parts)
    await old.call("CopyObject", bucket="old", key="copy", copy_source="old/large")
    known = await old.call("GetObjectAttributes", bucket="old", key="copy", object_attributes=["ObjectSize"])
    for key in ("large", "copy"):
        await old.call("DeleteObject", bucket="old", key=key)
    await old.call("DeleteBucket", bucket="old")

    assert known.object_size == 5 * MIB + 3


async def test_every_field_and_method_that_was_is_what_it_was(old: OldClient) -> None:
    """Numbers, types and labels: what buf says of main, said of what was handed out."""
    now = descriptor_pool.Default()  # type: ignore[no-untyped-call]

    for file in old.files:
        if file.package != "s3":
            continue
        for was in every_message(file.message_types_by_name.values()):
            fields = now.FindMessageTypeByName(was.full_name).fields_by_number
            assert [shape(field) for field in was.fields] == [shape(fields[field.number]) for field in was.fields]
        for service in file.services_by_name.values():
            methods = now.FindServiceByName(service.full_name).methods_by_name
            assert [form(method) for method in service.methods] == [form(methods[m.name]) for m in service.methods]


def every_message(messages: Iterable[Any]) -> Iterator[Any]:
    for message in messages:
        yield message
        yield from every_message(message.nested_types)


def shape(field: Any) -> tuple[Any, ...]:
    kind = field.message_type.full_name if field.message_type is not None else None
    return field.name, field.number, field.type, field.is_repeated, kind


def form(method: Any) -> tuple[Any, ...]:
    streams = method.client_streaming, method.server_streaming
    return method.name, *streams, method.input_type.full_name, method.output_type.full_name
