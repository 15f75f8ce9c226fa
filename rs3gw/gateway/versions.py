"""
What a version id can mean where no bucket is versioned.

Every object is version ``null``; any other id is one that the key does not have.
"""

from __future__ import annotations

import re

from rs3gw.engine.ports import NULL_VERSION
from rs3gw.errors import InvalidArgument, NoSuchVersion

# S3's version ids are opaque; those that it makes have 32 of these characters or more.
_VERSION_ID = re.compile(r"[A-Za-z0-9._+/-]{32,1024}\Z")


def judge_version(key: str, version_id: str | None) -> None:
    """Require a version that exists.  Raises NoSuchVersion, and InvalidArgument for what is no id at all."""
    if version_id is not None and not is_null(version_id):
        raise NoSuchVersion(key=key, version_id=version_id)


def is_null(version_id: str) -> bool:
    """Whether this is the one version that there is.  Raises InvalidArgument for what is no id at all."""
    if version_id == NULL_VERSION:
        return True
    if not _VERSION_ID.match(version_id):
        raise InvalidArgument(
            message="Invalid version id specified", argument_name="versionId", argument_value=version_id
        )
    return False
