"""
Kubernetes' own description of its objects, as the JSON schemas that kubeconform reads.

The description is the OpenAPI document in the module k8s.io/kubernetes.  Every kind becomes one file that needs no
other, strict: a field that Kubernetes does not know, which its API server would drop without a word, is an error.

    python tests/deploy/schemas.py v1.34.1 DIRECTORY
"""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

Schema = dict[str, Any]

MODULE = "k8s.io/kubernetes"
PREFIX = "#/definitions/"
LOCATION = "{{ .ResourceKind }}{{ .KindSuffix }}.json"
"""How kubeconform finds a kind's file in the directory."""
ALIKE = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"type": ["integer", "string"]},
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"type": ["number", "string"]},
}
"""What the document calls a string, and every API server takes as a number too."""


def described(version: str) -> Mapping[str, Schema]:
    """The definitions of one release of Kubernetes, by name; the module is downloaded where it is not here yet."""
    told = subprocess.run(
        ["go", "mod", "download", "-json", f"{MODULE}@{version}"], check=True, capture_output=True, text=True
    )
    with zipfile.ZipFile(json.loads(told.stdout)["Zip"]) as module:
        document = module.read(f"{MODULE}@{version}/api/openapi-spec/swagger.json")
    definitions: Mapping[str, Schema] = json.loads(document)["definitions"]
    return definitions


def strict(schema: Schema) -> Schema:
    """The same with no property allowed but those that it names, at every depth."""
    tightened = {
        name: strict(value) if isinstance(value, dict) else value
        for name, value in schema.items()
        if name != "x-kubernetes-group-version-kind"
    }
    if isinstance(schema.get("properties"), dict) and schema.get("type", "object") == "object":
        tightened.setdefault("additionalProperties", False)
    return tightened


def referred(schema: object) -> Iterator[str]:
    """The names of the definitions that a schema refers to itself."""
    if isinstance(schema, dict):
        for name, value in schema.items():
            if name == "$ref" and isinstance(value, str):
                yield value.removeprefix(PREFIX)
            else:
                yield from referred(value)
    elif isinstance(schema, list):
        for each in schema:
            yield from referred(each)


def standalone(name: str, definitions: Mapping[str, Schema]) -> Schema:
    """The schema of one definition with all that it needs."""
    needed = [name]
    for each in needed:
        needed += set(referred(definitions[each])) - set(needed)
    return {"$ref": PREFIX + name, "definitions": {each: strict(ALIKE.get(each, definitions[each])) for each in needed}}


def write(version: str, directory: Path) -> None:
    """Write a file for each kind of the release into the directory."""
    definitions = described(version)
    directory.mkdir(parents=True, exist_ok=True)
    for name, definition in definitions.items():
        for kind in definition.get("x-kubernetes-group-version-kind", []):
            if "properties" not in definition:
                continue
            parts = (kind["kind"].lower(), kind["group"].partition(".")[0], kind["version"])
            (directory / f"{'-'.join(filter(None, parts))}.json").write_text(json.dumps(standalone(name, definitions)))


if __name__ == "__main__":
    write(sys.argv[1], Path(sys.argv[2]))
