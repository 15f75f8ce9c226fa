"""
botocore's model of S3 as the witness of every place that the declarations name.

The declarations are ours and are read alone at run time; what they say of S3's wire is held here against what the
clients of the world were generated from.  Where the two differ on purpose, the reason stands beside the name.
"""

from __future__ import annotations

import re
from datetime import datetime

import botocore.session
import pytest

from rs3gw.errors import S3Error
from rs3gw.operations import OPERATIONS, Location, Message
from rs3gw.operations.body import Body
from rs3gw.rest import messages, routing

MODEL = botocore.session.get_session().get_service_model("s3")

PLACES = {
    Location.LABEL: "uri",
    Location.HEADER: "header",
    Location.QUERY: "querystring",
    Location.METADATA: "headers",
    Location.ELEMENT: None,
}
TYPES = {str: {"string"}, int: {"integer", "long"}, bool: {"boolean"}, datetime: {"timestamp"}}

# S3 gives these back as they were sent, whether they are dates and numbers or not.
TEXTS = {"expires", "response_expires", "part_number_marker", "next_part_number_marker"}
# Told from ListBuckets by nothing but the endpoint that it is sent to.
TWINS = {"ListDirectoryBuckets"}
# The model leaves the status open; the examples of the reference show this one.
NO_CONTENT = {"PutBucketTagging", "PutBucketPolicy"}


def members(shape):
    """What stands where: (location, name) → shape; those of a structure that is the payload beside the others."""
    found = {}
    for name, member in shape.members.items():
        location = member.serialization.get("location")
        wire = member.serialization.get("name", name)
        found[location, wire.lower() if location == "header" else wire] = member
        if name == shape.serialization.get("payload") and member.type_name == "structure":
            found |= members(member)
    return found


def places(kind):
    """Every declared place of a message: (field, location, name on the wire)."""
    for field in kind.spelled():
        spec = field.spec
        if spec.location is Location.GROUP:
            for member in field.type.spelled():
                wire = member.spec.wire if spec.stands is Location.HEADER else member.spec.element
                yield member, spec.stands, wire
        elif spec.location is Location.EITHER:
            yield field, Location.ELEMENT, spec.element
        elif spec.location in PLACES:
            yield field, spec.location, spec.within or spec.wire


def differences(kind, shape, where):
    """Where a message is not what the model says."""
    known = members(shape)
    for field, location, wire in places(kind):
        name = f"{where}.{field.name}"
        found = known.get((PLACES[location], wire.lower() if location is Location.HEADER else wire))
        if found is None:
            yield f"{name}: no {location.name} {wire}"
            continue
        if field.many and location is Location.ELEMENT:
            if found.type_name != "list":
                yield f"{name}: {found.type_name}, not a list"
                continue
            flattened = bool(found.serialization.get("flattened"))
            if flattened is (field.spec.within is not None):
                yield f"{name}: flattened is {flattened}"
            found = found.member
            if field.spec.within and found.serialization.get("name") != field.spec.wire:
                yield f"{name}: items are {found.serialization.get('name')}"
        if isinstance(field.type, type) and issubclass(field.type, Message):
            yield from differences(field.type, found, name)
        elif field.many or field.mapping or field.type is Body or field.name in TEXTS:
            continue
        elif found.type_name not in TYPES[field.type]:
            yield f"{name}: {found.type_name}"


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=lambda operation: operation.name)
def test_every_declared_place_is_where_the_model_has_it(operation):
    model = MODEL.operation_model(operation.name)
    found = list(differences(operation.input, model.input_shape, "in")) if model.input_shape else []
    if model.output_shape is not None:
        found += differences(operation.output, model.output_shape, "out")

    assert found == []


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=lambda operation: operation.name)
def test_every_route_and_status_is_the_model_s(operation):
    http = MODEL.operation_model(operation.name).http

    assert http["method"] == operation.method
    assert operation.status == (204 if operation.name in NO_CONTENT else http.get("responseCode") or 200)


def documents():
    """The operations whose request is an XML document, with the name of its root."""
    for operation in OPERATIONS.values():
        shape = MODEL.operation_model(operation.name).input_shape
        payload = shape.serialization.get("payload") if shape is not None else None
        if payload and shape.members[payload].type_name == "structure":
            yield operation.name, shape.members[payload].serialization.get("name", payload)


@pytest.mark.parametrize(("name", "root"), list(documents()))
def test_the_root_of_a_document_is_the_model_s(name, root):
    assert OPERATIONS[name].input.root == root


def request_of(name):
    """The least that a client sends for an operation of the model."""
    model = MODEL.operation_model(name)
    path, _, query = model.http["requestUri"].partition("?")
    path = re.sub(r"\{Key\+?\}", "key", path).replace("{Bucket}", "bucket")
    headers = [(b"host", b"127.0.0.1:9000")]
    shape = model.input_shape
    for required in shape.required_members if shape else ():
        serialization = shape.members[required].serialization
        if serialization.get("location") == "querystring":
            query += f"&{serialization['name']}=1"
        elif serialization.get("location") == "header":
            headers.append((serialization["name"].lower().encode(), b"value"))
    return messages.read(
        {
            "method": model.http["method"],
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": headers,
            "scheme": "http",
            "client": None,
        }
    )


@pytest.mark.parametrize("name", sorted(set(MODEL.operation_names) - TWINS))
def test_an_operation_of_s3_is_itself_or_refused_and_never_another(name):
    """A client that asks to encrypt a bucket must not make one."""
    request = request_of(name)
    if name in OPERATIONS:
        assert route(request) == name
        return

    with pytest.raises(S3Error) as refusal:
        route(request)
    # The one that is asked of another host answers to a path that is no more than a key here.
    assert refusal.value.code == ("MethodNotAllowed" if name == "WriteGetObjectResponse" else "NotImplemented")


def route(request):
    return routing.route(request, routing.locate(request, ()), request.parameters()).name
