"""
Which operation a request is: the table that the declarations make, read by method, resource and query.

A path names the service, a bucket or an object; a host may name the bucket instead.  What S3 has and rs3gw has not
is recognised and refused by name: a sub-resource that nobody declared must not fall through to the plain operation
on its resource (``PUT /bucket?cors`` would make a bucket).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache

from rs3gw.errors import AccessForbidden, MethodNotAllowed, NotImplementedHere
from rs3gw.operations import OPERATIONS, Operation
from rs3gw.rest.messages import Request, decode

# The sub-resources of S3's reference that are no operation of ours.  A parameter without a value that is neither
# here nor declared is taken for a sub-resource that is newer than this list.
ELSEWHERE = frozenset(
    (
        "accelerate", "acl", "analytics", "cors", "encryption", "intelligent-tiering", "inventory", "legal-hold",
        "lifecycle", "logging", "metadataConfiguration", "metadataTable", "metrics", "notification", "object-lock",
        "ownershipControls", "policyStatus", "publicAccessBlock", "renameObject", "replication", "requestPayment",
        "restore", "retention", "select", "session", "torrent", "versions", "website",
    )
)  # fmt: skip

# Of a sub-resource that is read here: what S3 has besides, and rs3gw has not.
UNWRITTEN = frozenset((("PUT", "versioning"),))

# Parameters that change no operation's meaning: the operation's name that some SDKs add, where it is one of ours.
HARMLESS = frozenset(("x-id",))


@dataclass(slots=True)  # not frozen: one a request
class Target:
    """What a request addresses, decoded."""

    resource: str
    labels: dict[str, str]
    host_bucket: str | None = None
    """The bucket, where it was the host that named it."""


def _table() -> Mapping[tuple[str, str], tuple[Operation, ...]]:
    found: dict[tuple[str, str], list[Operation]] = {}
    for operation in OPERATIONS.values():
        found.setdefault((operation.method, operation.resource), []).append(operation)
    # The more a route requires the earlier it is tried.
    order = lambda operation: (-len(operation.queries), operation.when is None)  # noqa: E731
    return {place: tuple(sorted(operations, key=order)) for place, operations in found.items()}


TABLE = _table()
METHODS = {
    resource: ", ".join(sorted({method for method, named in TABLE if named == resource}))
    for resource in ("service", "bucket", "object")
}
"""What goes with a resource, as the Allow header says it."""
PLAIN = {place: operations[-1] for place, operations in TABLE.items() if not operations[-1].queries}
SELECTING = frozenset(name for operation in OPERATIONS.values() for name in operation.queries)
WHENS = frozenset(operation.when for operation in OPERATIONS.values() if operation.when)


def locate(request: Request, domains: tuple[str, ...]) -> Target:
    """The bucket and key that a request addresses, by path or by host.  Raises InvalidURI."""
    path = request.path
    if not path.startswith("/"):
        # The absolute form of a request target (RFC 9112, section 3.2.2), as a proxy sends it.
        path = "/" + path.partition("://")[2].partition("/")[2]
    host_bucket = bucket = bucket_of_host(request.headers.get("host", ""), domains)
    if bucket is None:
        bucket, _, key = path[1:].partition("/")
        if not bucket and not key:
            return Target("service", {})
        bucket = decode(bucket)
    else:
        key = path[1:]
    if not key:
        return Target("bucket", {"bucket": bucket}, host_bucket)
    return Target("object", {"bucket": bucket, "key": decode(key)}, host_bucket)


@lru_cache(maxsize=4096)
def bucket_of_host(host: str, domains: tuple[str, ...]) -> str | None:
    """
    The bucket that a Host header names, None in path style.

    ``domains`` are in lower case, and a longer one stands before its own suffix.
    """
    name = host.lower() if host.startswith("[") else host.lower().partition(":")[0]
    for domain in domains:
        if name.endswith(domain) and name[-len(domain) - 1 : -len(domain)] == ".":
            return name[: -len(domain) - 1]
    return None


def route(request: Request, target: Target, parameters: Mapping[str, str]) -> Operation:
    """
    The operation that a request is.

    Raises NotImplementedHere for what S3 has and rs3gw has not, MethodNotAllowed, AccessForbidden for a preflight.
    """
    place = (request.method, target.resource)
    if not parameters and WHENS.isdisjoint(request.headers):
        plain = PLAIN.get(place)
        if plain is not None:
            return plain
    if request.method == "OPTIONS":
        raise AccessForbidden()
    for operation in TABLE.get(place, ()):
        if _is(operation, request, parameters):
            _refuse_unknown(operation, request, parameters)
            return operation
    for name in parameters:
        if name in ELSEWHERE:
            raise NotImplementedHere(query=name)
    if place == ("POST", "bucket") and request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise NotImplementedHere(message="Uploads by HTML forms are not implemented.")
    raise MethodNotAllowed(method=request.method, resource_type=target.resource.upper())


def _is(operation: Operation, request: Request, parameters: Mapping[str, str]) -> bool:
    if operation.when is not None and operation.when not in request.headers:
        return False
    for name, value in operation.queries.items():
        if name not in parameters or (value is not None and parameters[name] != value):
            return False
    return True


def _refuse_unknown(operation: Operation, request: Request, parameters: Mapping[str, str]) -> None:
    declared = _declared(operation.name)
    for name, value in parameters.items():
        if name in declared or (name in HARMLESS and value in OPERATIONS) or name.lower().startswith("x-amz-"):
            continue
        if name in SELECTING and (request.method, name) not in UNWRITTEN:
            raise MethodNotAllowed(
                message=f"{request.method} does not go with ?{name} on this resource.", method=request.method
            )
        if (
            name in ELSEWHERE
            or name in HARMLESS
            or name in SELECTING
            or (not value and (name, "") in request.pairs and name.isidentifier())
        ):
            raise NotImplementedHere(query=name)


@cache
def _declared(operation: str) -> frozenset[str]:
    """The names that an operation declares; read off when the first request asks, for a start need not wait for it."""
    found = OPERATIONS[operation]
    return frozenset((*found.queries, *(field.spec.wire for field in found.input.spelled() if field.spec.wire)))
