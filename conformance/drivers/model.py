"""
S3's own model, as botocore ships it, and the way between its shapes and the fields of drivers/__init__.py.

Everything that follows from the model is derived from it here, for the REST driver and the boto3 driver alike: which
members there are, which of them are checksums, which structure is a payload and therefore no level of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

import botocore.session
from botocore import xform_name
from botocore.model import OperationModel, Shape, StructureShape

CHECKSUMS = {
    "ChecksumCRC32": "crc32",
    "ChecksumCRC32C": "crc32c",
    "ChecksumCRC64NVME": "crc64nvme",
    "ChecksumSHA1": "sha1",
    "ChecksumSHA256": "sha256",
}

INLINED = {"CopyObjectResult", "CopyPartResult", "CreateBucketConfiguration", "Delete", "MultipartUpload", "Tagging"}
"""Structures that are the payload of a message and no level of their own."""

INTEGERS = {"part_number_marker", "next_part_number_marker", "part_number"}
"""What botocore reads as a number wherever it stands; another protocol may carry it as text."""

_SPELLED = {"ETag": "etag", "ACL": "acl", "ID": "id"}


@cache
def operation(name: str) -> OperationModel:
    """The model of an operation.  Raises botocore's OperationNotFoundError for one that S3 does not have."""
    return _service().operation_model(name)


@cache
def _service() -> Any:
    return botocore.session.get_session().get_service_model("s3")


@cache
def snake(member: str) -> str:
    """The field of a member: ``IfNoneMatch`` → ``if_none_match``."""
    return _SPELLED.get(member) or xform_name(member)


def check_fields(name: str, fields: Iterable[str]) -> None:
    """Raises TypeError for a field that S3 has nowhere in an operation: a step that misspells one tests nothing."""
    unknown = set(fields) - _known_fields(name)
    if unknown:
        raise TypeError(f"{name} has no {', '.join(sorted(unknown))}")


@cache
def _known_fields(name: str) -> frozenset[str]:
    known = set()
    for member, shape in operation(name).input_shape.members.items():
        if member in INLINED and shape.type_name == "structure":
            known |= {snake(inner) for inner in shape.members}
        known.add("checksums" if member in CHECKSUMS else snake(member))
    return frozenset(known)


def to_members(shape: Shape | None, fields: Mapping[str, Any]) -> dict[str, Any]:
    """
    Fields as botocore's parameters.

    Raises TypeError for a field that S3 does not have there: a step that misspells one must not test nothing.
    """
    left = {name: value for name, value in fields.items() if value is not None}
    members = dict(_gather(shape, left)) if isinstance(shape, StructureShape) else {}
    if left:
        raise TypeError(f"{shape.name if shape else 'an empty input'} has no {', '.join(sorted(left))}")
    return members


def _gather(shape: StructureShape, left: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    checksums = dict(left.pop("checksums", {}) or {}) if CHECKSUMS.keys() & shape.members.keys() else {}
    for name, member in shape.members.items():
        if name in INLINED and member.type_name == "structure":
            inside = dict(_gather(member, left))
            if inside or name in ("Delete", "MultipartUpload", "Tagging"):
                yield name, inside
        elif name in CHECKSUMS:
            if CHECKSUMS[name] in checksums:
                yield name, checksums.pop(CHECKSUMS[name])
        elif snake(name) in left:
            yield name, _value(member, left.pop(snake(name)))
    if checksums:
        raise TypeError(f"{shape.name} has no checksum {', '.join(sorted(checksums))}")


def _value(shape: Shape, value: Any) -> Any:
    if shape.type_name == "structure":
        return to_members(shape, value)
    if shape.type_name == "list":
        return [_value(shape.member, item) for item in value]
    return value


def to_fields(parsed: Mapping[str, Any]) -> dict[str, Any]:
    """What botocore parsed as fields."""
    fields: dict[str, Any] = {}
    for name, value in parsed.items():
        if name == "ResponseMetadata" or value is None:
            continue
        if name in INLINED and isinstance(value, dict):
            fields |= to_fields(value)
        elif name in CHECKSUMS:
            fields.setdefault("checksums", {})[CHECKSUMS[name]] = value
        elif name == "Checksum" and isinstance(value, dict):
            # The checksums of GetObjectAttributes are the whole of a structure.
            inside = to_fields(value)
            fields["checksum"] = inside.pop("checksums", {}) | inside
        elif name == "Metadata":
            fields["metadata"] = {key.lower(): text for key, text in value.items()}
        else:
            fields[snake(name)] = _plain(value)
    return fields


def with_lists(name: str, fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of an answer with every list that the operation has: XML and protobuf leave out what is empty."""
    shape = operation(name).output_shape
    for member, inner in (shape.members if shape else {}).items():
        if inner.type_name == "list":
            fields.setdefault(snake(member), [])
    return fields


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return to_fields(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
