"""
One bucket, asked over either protocol in the same words, by clients that hide nothing.

A call is answered, refused with S3's code, or left without an answer, and nothing is ever asked twice: what a retry
would paper over is what proofs are about.  A client belongs to one thread and keeps one connection.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

import grpc
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from defusedxml.ElementTree import fromstring
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from loadtests import stubs
from proof.gateway import Gateway

ANSWER_SECONDS = 30.0
"""After which a call counts as unanswered."""

CHUNK_BYTES = 100 * 1024
"""Of a message of gRPC: a large body is several."""

s3_pb2 = stubs.s3_pb2  # generated, and found where the stubs put it

_CODE = re.compile(rb"<Code>(\w+)</Code>")
_DETAILS = "grpc-status-details-bin"


class Refused(Exception):
    """The gateway said no; ``code`` is S3's."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Unanswered(Exception):
    """It was asked and never answered: it may have been carried out, and may still be."""


class Unasked(Exception):
    """Nobody listened, so that nothing can have been carried out."""


@dataclass(frozen=True, slots=True)
class Seen:
    """An object as a read shows it; ``body`` is None after HEAD."""

    etag: str
    writer: str
    body: bytes | None


class Client(Protocol):
    """
    What both protocols can say of one bucket.  Everything raises Refused, Unanswered and Unasked.

    ETags are without quotes; ``writer`` is kept as user metadata.
    """

    protocol: str

    def create_bucket(self) -> None: ...

    def tag_bucket(self, writer: str) -> None: ...

    def untag_bucket(self) -> None: ...

    def tagged_by(self) -> str:
        """The writer of the bucket's tags."""
        ...

    def put(
        self, key: str, body: bytes, writer: str, *, if_match: str | None = None, if_none_match: str | None = None
    ) -> str: ...

    def get(self, key: str) -> Seen: ...

    def head(self, key: str) -> Seen: ...

    def delete(self, key: str, *, if_match: str | None = None) -> None: ...

    def delete_many(self, keys: Sequence[str]) -> None: ...

    def list(self, prefix: str) -> Mapping[str, str]:
        """The ETags of one page, by key."""
        ...

    def copy(self, source: str, key: str, writer: str, *, source_if_match: str) -> str: ...

    def create_upload(self, key: str, writer: str) -> str: ...

    def upload_part(self, key: str, upload_id: str, number: int, body: bytes) -> str: ...

    def complete(self, key: str, upload_id: str, parts: Sequence[str], *, if_none_match: str | None = None) -> str: ...

    def abort(self, key: str, upload_id: str) -> None: ...

    def list_uploads(self) -> Mapping[str, str]:
        """The keys of one page, by upload."""
        ...

    def list_parts(self, key: str, upload_id: str) -> Mapping[int, str]:
        """The ETags of one page, by number."""
        ...

    def reconnect(self) -> None:
        """Ask the next on a new connection, which may be another process's."""
        ...


class Rest:
    """S3 over HTTP: botocore signs, http.client sends."""

    protocol = "REST"

    def __init__(self, gateway: Gateway, bucket: str) -> None:
        self._bucket = bucket
        self._port = gateway.rest_port
        self._signer = S3SigV4Auth(Credentials(gateway.access_key, gateway.secret_key), "s3", gateway.region)
        self._connection: http.client.HTTPConnection | None = None

    def create_bucket(self) -> None:
        self._ask("PUT", "")

    def tag_bucket(self, writer: str) -> None:
        tag = f"<Tag><Key>writer</Key><Value>{writer}</Value></Tag>"
        self._ask("PUT", "", query="tagging=", body=f"<Tagging><TagSet>{tag}</TagSet></Tagging>".encode())

    def untag_bucket(self) -> None:
        self._ask("DELETE", "", query="tagging=")

    def tagged_by(self) -> str:
        _, body = self._ask("GET", "", query="tagging=")
        return _text_in(body, "TagSet/{*}Tag/{*}Value")

    def put(
        self, key: str, body: bytes, writer: str, *, if_match: str | None = None, if_none_match: str | None = None
    ) -> str:
        headers = _given({"x-amz-meta-writer": writer, "If-Match": if_match, "If-None-Match": if_none_match})
        answer, _ = self._ask("PUT", key, body=body, headers=headers)
        return _bare(answer.headers["ETag"])

    def get(self, key: str) -> Seen:
        answer, body = self._ask("GET", key)
        return Seen(_bare(answer.headers["ETag"]), answer.headers.get("x-amz-meta-writer", ""), body)

    def head(self, key: str) -> Seen:
        answer, _ = self._ask("HEAD", key)
        return Seen(_bare(answer.headers["ETag"]), answer.headers.get("x-amz-meta-writer", ""), None)

    def delete(self, key: str, *, if_match: str | None = None) -> None:
        self._ask("DELETE", key, headers=_given({"If-Match": if_match}))

    def delete_many(self, keys: Sequence[str]) -> None:
        asked = "".join(f"<Object><Key>{key}</Key></Object>" for key in keys)
        _, body = self._ask("POST", "", query="delete=", body=f"<Delete>{asked}</Delete>".encode())
        if failed := _CODE.search(body):
            raise Refused(failed[1].decode())

    def list(self, prefix: str) -> Mapping[str, str]:
        _, body = self._ask("GET", "", query=f"list-type=2&prefix={quote(prefix, safe='')}")
        return {key: _bare(etag) for key, etag in _rows_in(body, "Contents", "Key", "ETag")}

    def copy(self, source: str, key: str, writer: str, *, source_if_match: str) -> str:
        headers = {
            "x-amz-copy-source": quote(f"/{self._bucket}/{source}"),
            "x-amz-copy-source-if-match": f'"{source_if_match}"',
            "x-amz-metadata-directive": "REPLACE",
            "x-amz-meta-writer": writer,
        }
        _, body = self._ask("PUT", key, headers=headers)
        return _etag_in(body)

    def create_upload(self, key: str, writer: str) -> str:
        _, body = self._ask("POST", key, query="uploads=", headers={"x-amz-meta-writer": writer})
        return _text_in(body, "UploadId")

    def upload_part(self, key: str, upload_id: str, number: int, body: bytes) -> str:
        answer, _ = self._ask("PUT", key, query=f"partNumber={number}&uploadId={upload_id}", body=body)
        return _bare(answer.headers["ETag"])

    def complete(self, key: str, upload_id: str, parts: Sequence[str], *, if_none_match: str | None = None) -> str:
        asked = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>" for number, etag in enumerate(parts, 1)
        )
        _, body = self._ask(
            "POST",
            key,
            query=f"uploadId={upload_id}",
            body=f"<CompleteMultipartUpload>{asked}</CompleteMultipartUpload>".encode(),
            headers=_given({"If-None-Match": if_none_match}),
        )
        return _etag_in(body)

    def abort(self, key: str, upload_id: str) -> None:
        self._ask("DELETE", key, query=f"uploadId={upload_id}")

    def list_uploads(self) -> Mapping[str, str]:
        _, body = self._ask("GET", "", query="uploads=")
        return dict(_rows_in(body, "Upload", "UploadId", "Key"))

    def list_parts(self, key: str, upload_id: str) -> Mapping[int, str]:
        _, body = self._ask("GET", key, query=f"uploadId={upload_id}")
        return {int(number): _bare(etag) for number, etag in _rows_in(body, "Part", "PartNumber", "ETag")}

    def reconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(
        self, method: str, key: str, *, query: str = "", body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[http.client.HTTPResponse, bytes]:
        target = f"/{self._bucket}" + (f"/{quote(key)}" if key else "") + (f"?{query}" if query else "")
        request = AWSRequest(method=method, url=f"http://127.0.0.1:{self._port}{target}", data=body)
        for name, value in (headers or {}).items():
            request.headers[name] = value
        request.headers["x-amz-content-sha256"] = hashlib.sha256(body).hexdigest()
        if query == "delete=":
            request.headers["Content-MD5"] = _md5_of(body)
        request.context["payload_signing_enabled"] = True
        self._signer.add_auth(request)
        connection = self._connected()
        try:
            connection.request(method, target, body=body or None, headers=dict(request.headers.items()))
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as fault:
            self.reconnect()
            raise Unanswered(f"{method} {target}: {fault!r}") from fault
        if answer.status < 300 and not content.lstrip().startswith(b"<Error"):
            return answer, content
        if found := _CODE.search(content):
            raise Refused(found[1].decode())
        raise Refused({404: "NoSuchKey", 412: "PreconditionFailed"}.get(answer.status, str(answer.status)))

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is None:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=ANSWER_SECONDS)
            try:
                connection.connect()
            except OSError as fault:
                raise Unasked from fault
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connection = connection
        return self._connection


class Grpc:
    """The published stubs, without the retries of grpcio."""

    protocol = "gRPC"

    def __init__(self, gateway: Gateway, bucket: str) -> None:
        self._bucket = bucket
        self._gateway = gateway
        self._channel: grpc.Channel | None = None
        self.reconnect()

    def create_bucket(self) -> None:
        self._ask(self._stubs.buckets.CreateBucket, s3_pb2.CreateBucketRequest(bucket=self._bucket))

    def tag_bucket(self, writer: str) -> None:
        tag = s3_pb2.Tag(key="writer", value=writer)
        asked = s3_pb2.PutBucketTaggingRequest(bucket=self._bucket, tag_set=[tag])
        self._ask(self._stubs.buckets.PutBucketTagging, asked)

    def untag_bucket(self) -> None:
        self._ask(self._stubs.buckets.DeleteBucketTagging, s3_pb2.DeleteBucketTaggingRequest(bucket=self._bucket))

    def tagged_by(self) -> str:
        asked = s3_pb2.GetBucketTaggingRequest(bucket=self._bucket)
        return str(self._ask(self._stubs.buckets.GetBucketTagging, asked).tag_set[0].value)

    def put(
        self, key: str, body: bytes, writer: str, *, if_match: str | None = None, if_none_match: str | None = None
    ) -> str:
        first = s3_pb2.PutObjectRequest(
            bucket=self._bucket,
            key=key,
            metadata={"writer": writer},
            if_match=if_match,
            if_none_match=if_none_match,
            data=body[:CHUNK_BYTES],
        )
        rest = (s3_pb2.PutObjectRequest(data=chunk) for chunk in _chunks(body[CHUNK_BYTES:]))
        return _bare(self._ask(self._stubs.objects.PutObject, iter([first, *rest])).etag)

    def get(self, key: str) -> Seen:
        asked = s3_pb2.GetObjectRequest(bucket=self._bucket, key=key)
        first, *rest = self._ask(lambda *sent, **how: list(self._stubs.objects.GetObject(*sent, **how)), asked)
        return Seen(_bare(first.etag), first.metadata["writer"], b"".join(each.data for each in [first, *rest]))

    def head(self, key: str) -> Seen:
        answer = self._ask(self._stubs.objects.HeadObject, s3_pb2.HeadObjectRequest(bucket=self._bucket, key=key))
        return Seen(_bare(answer.etag), answer.metadata["writer"], None)

    def delete(self, key: str, *, if_match: str | None = None) -> None:
        asked = s3_pb2.DeleteObjectRequest(bucket=self._bucket, key=key, if_match=if_match)
        self._ask(self._stubs.objects.DeleteObject, asked)

    def delete_many(self, keys: Sequence[str]) -> None:
        named = [s3_pb2.ObjectIdentifier(key=key) for key in keys]
        asked = s3_pb2.DeleteObjectsRequest(bucket=self._bucket, objects=named)
        if failed := self._ask(self._stubs.objects.DeleteObjects, asked).errors:
            raise Refused(failed[0].code)

    def list(self, prefix: str) -> Mapping[str, str]:
        asked = s3_pb2.ListObjectsRequest(bucket=self._bucket, prefix=prefix)
        return {each.key: _bare(each.etag) for each in self._ask(self._stubs.objects.ListObjects, asked).contents}

    def copy(self, source: str, key: str, writer: str, *, source_if_match: str) -> str:
        asked = s3_pb2.CopyObjectRequest(
            bucket=self._bucket,
            key=key,
            copy_source=quote(f"/{self._bucket}/{source}"),
            copy_source_if_match=source_if_match,
            metadata_directive="REPLACE",
            metadata={"writer": writer},
        )
        return _bare(self._ask(self._stubs.objects.CopyObject, asked).etag)

    def create_upload(self, key: str, writer: str) -> str:
        asked = s3_pb2.CreateMultipartUploadRequest(bucket=self._bucket, key=key, metadata={"writer": writer})
        upload_id: str = self._ask(self._stubs.uploads.CreateMultipartUpload, asked).upload_id
        return upload_id

    def upload_part(self, key: str, upload_id: str, number: int, body: bytes) -> str:
        address = s3_pb2.UploadPartRequest(bucket=self._bucket, key=key, upload_id=upload_id, part_number=number)
        rest = (s3_pb2.UploadPartRequest(data=chunk) for chunk in _chunks(body))
        return _bare(self._ask(self._stubs.uploads.UploadPart, iter([address, *rest])).etag)

    def complete(self, key: str, upload_id: str, parts: Sequence[str], *, if_none_match: str | None = None) -> str:
        asked = s3_pb2.CompleteMultipartUploadRequest(
            bucket=self._bucket,
            key=key,
            upload_id=upload_id,
            parts=[s3_pb2.CompletedPart(part_number=number, etag=etag) for number, etag in enumerate(parts, 1)],
            if_none_match=if_none_match,
        )
        return _bare(self._ask(self._stubs.uploads.CompleteMultipartUpload, asked).etag)

    def abort(self, key: str, upload_id: str) -> None:
        asked = s3_pb2.AbortMultipartUploadRequest(bucket=self._bucket, key=key, upload_id=upload_id)
        self._ask(self._stubs.uploads.AbortMultipartUpload, asked)

    def list_uploads(self) -> Mapping[str, str]:
        asked = s3_pb2.ListMultipartUploadsRequest(bucket=self._bucket)
        return {each.upload_id: each.key for each in self._ask(self._stubs.uploads.ListMultipartUploads, asked).uploads}

    def list_parts(self, key: str, upload_id: str) -> Mapping[int, str]:
        asked = s3_pb2.ListPartsRequest(bucket=self._bucket, key=key, upload_id=upload_id)
        return {each.part_number: _bare(each.etag) for each in self._ask(self._stubs.uploads.ListParts, asked).parts}

    def reconnect(self) -> None:
        if self._channel is not None:
            self._channel.close()
        options = [("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1)]
        self._channel = grpc.insecure_channel(self._gateway.target, options=options)
        self._stubs = stubs.Client(self._channel, self._gateway.access_key, self._gateway.secret_key)

    def _ask(self, method: Any, asked: Any) -> Any:
        try:
            return method(asked, metadata=self._stubs.metadata, timeout=ANSWER_SECONDS)
        except grpc.RpcError as fault:
            code = _reason(fault)
            if code is not None:
                raise Refused(code) from fault
            self.reconnect()
            raise Unanswered(f"{fault.code()}: {fault.details()}") from fault


def _reason(fault: Any) -> str | None:
    """S3's code, where it was the gateway that refused."""
    for name, value in fault.trailing_metadata() or ():
        if name == _DETAILS:
            reason = ErrorInfo()
            Status.FromString(value).details[0].Unpack(reason)
            return str(reason.reason)
    return None


def _chunks(body: bytes) -> Iterator[bytes]:
    return (body[at : at + CHUNK_BYTES] for at in range(0, len(body), CHUNK_BYTES))


def _bare(etag: str) -> str:
    return etag.strip('"')


def _given(headers: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if value is not None}


def _md5_of(body: bytes) -> str:
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()


def _text_in(body: bytes, name: str) -> str:
    found = fromstring(body).findtext(f"{{*}}{name}")
    if found is None:
        raise ValueError(f"an answer without {name}: {body!r}")
    return found


def _rows_in(body: bytes, row: str, left: str, right: str) -> Iterator[tuple[str, str]]:
    """Two fields of every row of a page."""
    page = fromstring(body)
    space = page.tag.rpartition("}")[0] + "}"
    return ((each.findtext(space + left, ""), each.findtext(space + right, "")) for each in page.iter(space + row))


def _etag_in(body: bytes) -> str:
    return _bare(_text_in(body, "ETag"))
