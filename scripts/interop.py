#!/usr/bin/env python3
"""
The Python client for those that compare it with others: it puts, gets and lists, and says what it saw in lines of JSON.

    scripts/interop.py put BUCKET KEY FILE [NAME=VALUE …]
    scripts/interop.py get BUCKET KEY FILE
    scripts/interop.py list BUCKET PREFIX

RS3GW_TEST_GRPC is the gateway, host:port; RS3GW_TEST_ACCESS_KEY and RS3GW_TEST_SECRET_KEY are whose calls these are.
NAME=VALUE is metadata of the user's.  The commands of the other clients, named rs3gw-interop, have the same face.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "clients" / "python"))

from rs3gw_client import Bearer, Client, Entry, Ways

WAYS = Ways(part_bytes=8 * 1024**2)
USAGE = "put BUCKET KEY FILE [NAME=VALUE …] | get BUCKET KEY FILE | list BUCKET PREFIX"


def main(arguments: list[str]) -> None:
    credentials = Bearer(os.environ["RS3GW_TEST_ACCESS_KEY"], os.environ["RS3GW_TEST_SECRET_KEY"])
    with Client(os.environ["RS3GW_TEST_GRPC"], credentials=credentials, ways=WAYS, checks_health=False) as client:
        match arguments:
            case ["put", bucket, key, path, *pairs]:
                metadata = dict(pair.split("=", 1) for pair in pairs)
                say(etag=client.upload(path, bucket, key, metadata=metadata).etag)
            case ["get", bucket, key, path]:
                info = client.download(bucket, key, path)
                with open(path, "rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
                say(sha256=digest, etag=info.etag, metadata=dict(info.metadata))
            case ["list", bucket, prefix]:
                for entry in client.list(bucket, prefix):
                    if isinstance(entry, Entry):
                        say(key=entry.key, size=entry.size, etag=entry.etag)
            case _:
                sys.exit(USAGE)


def say(**line: object) -> None:
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
