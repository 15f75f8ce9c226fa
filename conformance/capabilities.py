"""
What a target or a driver may lack without being wrong: the names behind ``@needs.<capability>``.

A scenario that needs what a cell does not have is *unsupported* there: neither a pass nor a failure.  A profile turns
off what a product does not offer; a driver says what its protocol cannot ask.  Everything else is everybody's duty.
"""

from __future__ import annotations

CAPABILITIES: dict[str, str] = {
    "actual-size": "A range beyond the end is refused with the size that it went beyond.",
    "anonymous": "Requests without credentials are told apart from signed ones.",
    "authentication": "Signatures are verified, and a wrong one is refused.",
    "bearer": "An access key can be shown as a bearer token.",
    "bucket-tagging": "Buckets carry tags.",
    "cancellation": "An upload can be broken off midway.",
    "checksums": "Checksums that a client sends are verified, stored and given back.",
    "climbing-keys": "A key may begin with more dots than it has folders to leave: it is text, and no path.",
    "conditional-copies": "A copy can depend on what its source is.",
    "conditional-deletes": "A delete can insist on the ETag of what it removes.",
    "conditional-reads": "A read can depend on an ETag or a time.",
    "conditional-writes": "A write can insist on there being nothing, or on the ETag of what it replaces.",
    "control-characters": "Keys may hold control characters, and listings can carry them.",
    "copies": "Objects can be copied inside the server.",
    "encrypted-connection": "The connection to the target is encrypted.",
    "expected-owner": "A request can name the owner that it expects a bucket to have.",
    "multipart": "Objects can be uploaded in parts.",
    "multipart-checksums": "Parts and whole uploads carry checksums.",
    "object-attributes": "The attributes of an object and its parts can be asked for.",
    "object-tagging": "Objects carry tags.",
    "old-listing": "Objects can be listed in the first form of the listing.",
    "other-protocol": "The target speaks a second protocol over the same objects.",
    "ordered-buckets": "The list of buckets is in the order of their names.",
    "part-numbers": "One part of an object can be read by its number.",
    "plain-connection": "The connection to the target is not encrypted.",
    "policies": "Buckets carry policies, and they are judged.",
    "presigned": "A request can be signed ahead of its time.",
    "regions": "A bucket can be put into a region, and says which.",
    "repeated-buckets": "Making a bucket that one has is no fault, as in us-east-1; S3's other regions refuse it.",
    "repeated-completions": "An upload that was completed can be completed again, whatever its key holds since.",
    "second-identity": "There is a second access key, to which only policies give rights.",
    "single-region": "There is one region, and a bucket that is to be in another is refused.",
    "unknown-requests": "What S3 has and a plain store does not offer can be asked for, and is refused by name.",
    "uploads-keep-buckets": "A bucket with an upload under way in it is not removed.",
    "upload-listing": "Uploads that are under way can be listed.",
    "version-4-only": "Requests are signed by Signature Version 4, and Version 2 is refused.",
    "wire": "The bytes of requests can be written by hand.",
}

ENCRYPTION = {"encrypted-connection": True, "plain-connection": False}
"""The capabilities that say how a target is reached."""


def check(names: set[str], where: str) -> None:
    """Raises ValueError for a name that is not a capability: a need that is misspelt would never be met."""
    unknown = sorted(names - CAPABILITIES.keys())
    if unknown:
        raise ValueError(f"{where}: {', '.join(unknown)}: no such capability; see conformance/capabilities.py")
