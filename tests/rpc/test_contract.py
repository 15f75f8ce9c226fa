"""
The protos are the declarations, said again for protoc: every field of one is a field of the other.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor

from rs3gw.operations import OPERATIONS, Message
from rs3gw.operations.body import Body
from rs3gw.rpc.codec import STREAM_FIELDS
from rs3gw.rpc.servicers import RPCS, Rpc

ROOT = Path(__file__).parents[2]

PUBLISHED = {
    "BucketService": """ListBuckets CreateBucket DeleteBucket HeadBucket GetBucketLocation GetBucketTagging
        PutBucketTagging GetBucketPolicy PutBucketPolicy""",
    "ObjectService": """ListObjects HeadObject GetObject PutObject DeleteObject CopyObject GetObjectAttributes
        GetObjectTagging PutObjectTagging""",
    "MultipartService": """CreateMultipartUpload UploadPart CompleteMultipartUpload AbortMultipartUpload ListParts
        ListMultipartUploads""",
}

TYPES = {
    str: {FieldDescriptor.TYPE_STRING},
    int: {FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_INT64},
    bool: {FieldDescriptor.TYPE_BOOL},
}

SIZES = {"size", "content_length", "object_size", "mpu_object_size"}


def pairs(kind: Any, descriptor: Any) -> Iterator[tuple[Any, Any]]:
    """Every kind of Message that an operation speaks of, with the message of protobuf that stands for it."""
    yield kind, descriptor
    for field in kind.spelled():
        if isinstance(field.type, type) and issubclass(field.type, Message):
            yield from pairs(field.type, descriptor.fields_by_name[field.name].message_type)


EVERY = [
    pytest.param(kind, descriptor, id=descriptor.name)
    for rpc in RPCS.values()
    for kind, descriptor in (
        *pairs(rpc.operation.input, rpc.request.DESCRIPTOR),
        *pairs(rpc.operation.output, rpc.response.DESCRIPTOR),
    )
]


@pytest.mark.parametrize(("kind", "descriptor"), EVERY)
def test_a_message_has_the_fields_that_are_declared_and_no_others(kind, descriptor):
    declared = {"data" if field.type is Body else field.name for field in kind.spelled() if not field.spec.rest_only}
    if any(field.type is Body for field in kind.spelled()) and descriptor.name.endswith("Request"):
        declared |= STREAM_FIELDS

    assert {field.name for field in descriptor.fields} == declared


@pytest.mark.parametrize(("kind", "descriptor"), EVERY)
def test_a_field_has_the_type_that_is_declared(kind, descriptor):
    for field in kind.spelled():
        wire = descriptor.fields_by_name.get(field.name)
        if wire is None:
            continue
        is_map = wire.message_type is not None and wire.message_type.GetOptions().map_entry
        assert (wire.is_repeated, is_map) == (field.many or field.mapping, field.mapping), field.name
        if field.type in TYPES and not field.mapping:
            assert wire.type in TYPES[field.type], field.name
        if field.type is datetime:
            assert wire.message_type.full_name == "google.protobuf.Timestamp"
        if field.name in SIZES:
            assert wire.type == FieldDescriptor.TYPE_INT64, f"{field.name} outgrows 2 GiB"


@pytest.mark.parametrize(("kind", "descriptor"), EVERY)
def test_absence_differs_from_zero_wherever_it_is_declared_to(kind, descriptor):
    for field in kind.spelled():
        wire = descriptor.fields_by_name.get(field.name)
        if wire is not None and field.default is None and not field.required and field.name != "copy_source":
            assert wire.has_presence, field.name


@pytest.mark.parametrize(("service", "names"), PUBLISHED.items())
def test_the_published_methods_are_there_under_their_names(service, names):
    for name in names.split():
        assert RPCS[name].path == f"/s3.{service}/{name}"


def test_what_streams_is_a_stream():
    for rpc in RPCS.values():
        shape = (rpc.descriptor.client_streaming, rpc.descriptor.server_streaming)
        assert shape == (rpc.operation.streams_in, rpc.operation.streams_out), rpc.path


def test_every_rpc_means_the_operation_that_says_so():
    rpc: Rpc = RPCS["ListObjects"]

    assert rpc.operation is OPERATIONS["ListObjectsV2"]


CLIENT = """
import rs3gw.pb.s3_pb2
import s3_pb2
from s3_pb2 import GetObjectRequest, ListBucketsRequest
from s3_pb2_grpc import BucketServiceStub, MultipartServiceStub, ObjectServiceStub

assert rs3gw.pb.s3_pb2.ListBucketsRequest is ListBucketsRequest
"""


def test_the_documented_line_gives_what_the_documented_client_imports(tmp_path):
    """A user generates the stubs anew, in place; the server's own copy may be in the same process."""
    shutil.copytree(ROOT / "proto", tmp_path / "proto")
    shutil.copytree(ROOT / "clients" / "python", tmp_path / "clients" / "python")
    where = tmp_path / "clients" / "python"
    line = "-m grpc_tools.protoc -I../../proto --python_out=. --grpc_python_out=."
    protos = [f"../../proto/{path.name}" for path in sorted((tmp_path / "proto").glob("*.proto"))]

    subprocess.run([sys.executable, *line.split(), *protos], cwd=where, check=True)
    environment = {"PYTHONPATH": f"{where}:{ROOT}"}
    ran = subprocess.run([sys.executable, "-c", CLIENT], env=environment, capture_output=True, text=True)

    assert not ran.returncode, ran.stderr
