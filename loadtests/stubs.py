"""
A gRPC client of a few verbs over the published stubs: what the benchmark and locust's users call.

The stubs are those of clients/python, as anybody generates them; nothing here comes from the server.
"""

from __future__ import annotations

import hashlib
import hmac
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc

sys.path.insert(0, str(Path(__file__).parents[1] / "clients" / "python"))

import s3_pb2 as s3_pb2
from s3_pb2_grpc import BucketServiceStub, MultipartServiceStub
from s3_pb2_grpc import ObjectServiceStub as ObjectServiceStub

CHUNK_BYTES = 1024**2


def bearer(access_key: str, secret_key: str) -> str:
    """The token of an access key, as docs/authentication.md derives it."""
    digest = hmac.new(secret_key.encode(), b"rs3gw bearer token v1", hashlib.sha256).hexdigest()
    return f"Bearer {access_key}.{digest}"


def put_messages(bucket: str, key: str, body: bytes) -> Iterator[Any]:
    """The messages of a PutObject of bytes that are at hand."""
    yield s3_pb2.PutObjectRequest(bucket=bucket, key=key, data=body[:CHUNK_BYTES])
    for at in range(CHUNK_BYTES, len(body), CHUNK_BYTES):
        yield s3_pb2.PutObjectRequest(data=body[at : at + CHUNK_BYTES])


class Client:
    """The verbs of a channel, with the credentials of one access key."""

    def __init__(self, channel: grpc.Channel, access_key: str, secret_key: str) -> None:
        self.buckets = BucketServiceStub(channel)
        self.objects = ObjectServiceStub(channel)
        self.uploads = MultipartServiceStub(channel)
        self.metadata = (("authorization", bearer(access_key, secret_key)),)

    def create_bucket(self, bucket: str) -> None:
        self.buckets.CreateBucket(s3_pb2.CreateBucketRequest(bucket=bucket), metadata=self.metadata)

    def put(self, bucket: str, key: str, body: bytes) -> Any:
        """Store bytes that are at hand."""
        return self.objects.PutObject(put_messages(bucket, key, body), metadata=self.metadata)

    def put_stream(self, bucket: str, key: str, size: int, *, chunk_bytes: int) -> Any:
        """Store so many zero bytes, made while they are sent."""
        chunk = bytes(chunk_bytes)

        def messages() -> Iterator[Any]:
            yield s3_pb2.PutObjectRequest(bucket=bucket, key=key)
            for left in range(size, 0, -chunk_bytes):
                yield s3_pb2.PutObjectRequest(data=chunk if left >= chunk_bytes else chunk[:left])

        return self.objects.PutObject(messages(), metadata=self.metadata)

    def chunks(self, bucket: str, key: str) -> Iterator[bytes]:
        """The bytes of an object as they come."""
        asked = s3_pb2.GetObjectRequest(bucket=bucket, key=key)
        for message in self.objects.GetObject(asked, metadata=self.metadata):
            yield message.data

    def get(self, bucket: str, key: str) -> bytes:
        return b"".join(self.chunks(bucket, key))

    def get_size(self, bucket: str, key: str) -> int:
        """Read an object to its end and say how long it was."""
        return sum(len(chunk) for chunk in self.chunks(bucket, key))

    def get_range(self, bucket: str, key: str, first: int, last: int) -> int:
        """Read these bytes, both ends included, and say how many came."""
        asked = s3_pb2.GetObjectRequest(bucket=bucket, key=key, range=f"bytes={first}-{last}")
        return sum(len(message.data) for message in self.objects.GetObject(asked, metadata=self.metadata))

    def head(self, bucket: str, key: str) -> Any:
        return self.objects.HeadObject(s3_pb2.HeadObjectRequest(bucket=bucket, key=key), metadata=self.metadata)

    def delete(self, bucket: str, key: str) -> Any:
        return self.objects.DeleteObject(s3_pb2.DeleteObjectRequest(bucket=bucket, key=key), metadata=self.metadata)

    def list(self, bucket: str, prefix: str) -> Any:
        asked = s3_pb2.ListObjectsRequest(bucket=bucket, prefix=prefix, max_keys=1000)
        return self.objects.ListObjects(asked, metadata=self.metadata)

    def multipart(self, bucket: str, key: str, part: bytes, count: int) -> Any:
        """Upload one part so many times, four at a time, and complete."""
        begun = self.uploads.CreateMultipartUpload(
            s3_pb2.CreateMultipartUploadRequest(bucket=bucket, key=key), metadata=self.metadata
        )

        def upload(number: int) -> Any:
            def messages() -> Iterator[Any]:
                address = {"bucket": bucket, "key": key, "upload_id": begun.upload_id, "part_number": number}
                yield s3_pb2.UploadPartRequest(**address, data=part[:CHUNK_BYTES])
                for at in range(CHUNK_BYTES, len(part), CHUNK_BYTES):
                    yield s3_pb2.UploadPartRequest(data=part[at : at + CHUNK_BYTES])

            answer = self.uploads.UploadPart(messages(), metadata=self.metadata)
            return s3_pb2.CompletedPart(part_number=number, etag=answer.etag)

        with ThreadPoolExecutor(4) as pool:
            parts = list(pool.map(upload, range(1, count + 1)))
        return self.uploads.CompleteMultipartUpload(
            s3_pb2.CompleteMultipartUploadRequest(bucket=bucket, key=key, upload_id=begun.upload_id, parts=parts),
            metadata=self.metadata,
        )
