"""
The unmodified SDK that most people use, with its default settings: the checksums it adds, the retries it makes.

It shows less than the REST driver does (an SDK hides what it can) and asks for more: whatever boto3 sends by default
must work.  Only its retries are off, because a refusal is what a scenario waits for.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import unquote

import boto3
import botocore
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from conformance import codes
from conformance.drivers import Answer, Body, Broken, Link, Measure, Refusal, Sink, Status, Unsupported, model
from conformance.drivers.bodies import Content, Pattern
from conformance.drivers.rest import Rest
from conformance.drivers.rest import make as make_rest
from conformance.targets import Keys, Off, Place, keys_of

LACKS = {"bearer", "cancellation", "control-characters", "unknown-requests", "wire"}
"""What an SDK does not let its user do."""
WEEK_SECONDS = 604_800


@dataclass(slots=True)
class Boto3:
    """The driver ``boto3``."""

    place: Place
    client: Any
    rest: Rest
    identity: str = "owner"
    clients: dict[str, Any] = field(default_factory=dict)
    """One a person: making a client costs more than most scenarios."""
    name: str = field(default="boto3", init=False)
    protocol: str = field(default="rest", init=False)

    def as_(self, identity: str, *, bearer: bool = False) -> Boto3:
        if bearer:
            raise Unsupported("boto3 shows no bearer tokens")
        try:
            keys = keys_of(self.place, identity)
        except LookupError:
            raise Unsupported(f"the target knows no {identity}") from None
        if identity not in self.clients:
            self.clients[identity] = _client(self.place, keys)
        return Boto3(self.place, self.clients[identity], self.rest, identity, self.clients)

    def supports(self, capability: str) -> bool:
        return capability not in LACKS and self.rest.supports(capability)

    def expected_status(self, code: str, operation: str) -> Status:
        return codes.expected_status(self.protocol, code)

    def perform(self, operation: str, *, sink: Sink | None = None, **fields: Any) -> Answer:
        body = fields.pop("body", None)
        if "copy_source" in fields:
            # boto3 encodes a source by itself; here it comes as it stands on the wire.
            path, suffix, version = fields["copy_source"].partition("?versionId=")
            fields["copy_source"] = unquote(path) + suffix + version
        parameters = model.to_members(model.operation(operation).input_shape, fields)
        if body is not None:
            parameters["Body"] = _readable(body)
        try:
            method = getattr(self.client, botocore.xform_name(operation))
            parsed = method(**parameters)
        except ParamValidationError as fault:
            raise Unsupported(f"boto3 does not send this: {fault}") from fault
        except ClientError as fault:
            return _refused(operation, fault.response)
        except BotoCoreError as fault:
            raise Broken(f"{operation}: {fault}") from fault
        measure = Measure()
        kept: list[bytes] = []
        if operation == "GetObject":
            for chunk in parsed.pop("Body").iter_chunks(1024 * 1024):
                measure.take(chunk)
                (sink or kept.append)(chunk)
        said = parsed["ResponseMetadata"]
        if "encoding_type" not in fields:
            parsed.pop("EncodingType", None)  # boto3 asks for it and undoes it by itself
        if "Expires" in parsed:
            parsed["Expires"] = parsed.pop("ExpiresString", parsed["Expires"])
        return Answer(
            operation=operation,
            fields=model.with_lists(operation, model.to_fields(parsed)),
            body=b"".join(kept),
            measure=measure,
            request_id=said.get("RequestId", ""),
            seen={"status": said["HTTPStatusCode"], "headers": said["HTTPHeaders"]},
        )

    def cancel_upload(self, operation: str = "PutObject", *, after_bytes: int, **fields: Any) -> None:
        raise Unsupported("boto3 does not break an upload off")

    def presign(self, operation: str, *, lifetime_seconds: int, at: datetime | None = None, **fields: Any) -> Link:
        if at is not None:
            raise Unsupported("boto3 signs as of now")
        if lifetime_seconds > WEEK_SECONDS:
            raise Unsupported("boto3 signs links by Signature Version 2, to which S3 sets no longest lifetime")
        parameters = model.to_members(model.operation(operation).input_shape, fields)
        try:
            url = self.client.generate_presigned_url(
                botocore.xform_name(operation), Params=parameters, ExpiresIn=lifetime_seconds
            )
        except (BotoCoreError, ValueError) as fault:
            raise Unsupported(f"boto3 does not sign this: {fault}") from fault
        return Link(operation=operation, method=model.operation(operation).http["method"], url=url)

    def follow(self, link: Link, *, body: Body = b"", headers: Mapping[str, str] | None = None) -> Answer:
        return self.rest.follow(link, body=body, headers=headers)

    def close(self) -> None:
        for client in (self.client, *self.clients.values()):
            client.close()
        self.rest.close()


def _readable(body: Content | bytes | Iterable[bytes]) -> Any:
    if isinstance(body, Pattern):
        return io.BytesIO(body.read())
    return body if isinstance(body, bytes) else b"".join(body)


def _refused(operation: str, response: Mapping[str, Any]) -> Answer:
    said, error = response["ResponseMetadata"], dict(response.get("Error", {}))
    code = error.pop("Code", "")
    refusal = Refusal(
        # boto3 makes a code of the status where the answer had none.
        code=None if code.isdecimal() or not code else code,
        message=error.pop("Message", ""),
        status=said["HTTPStatusCode"],
        fields={name: str(value) for name, value in error.items()},
    )
    return Answer(
        operation=operation,
        refusal=refusal,
        request_id=said.get("RequestId", ""),
        seen={"status": said["HTTPStatusCode"], "headers": said.get("HTTPHeaders", {})},
    )


def _client(place: Place, keys: Keys | None) -> Any:
    settings: dict[str, Any] = {"retries": {"total_max_attempts": 1}}
    if keys is None:
        settings["signature_version"] = botocore.UNSIGNED
    return boto3.session.Session().client(
        "s3",
        endpoint_url=place.url,
        region_name=place.region,
        verify=str(place.authority) if place.authority else None,
        aws_access_key_id=keys.access_key if keys else None,
        aws_secret_access_key=keys.secret_key if keys else None,
        config=Config(**settings),
    )


def make(place: Place) -> Boto3:
    """The owner's driver onto a place.  Raises Off."""
    if not place.has_socket:
        raise Off("an unmodified SDK needs a socket")
    return Boto3(place, _client(place, place.identities["owner"]), make_rest(place))
