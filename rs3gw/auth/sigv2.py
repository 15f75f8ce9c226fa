"""
Signature Version 2 of a presigned URL, and of nothing else.

boto3 signs URLs this way unless it is told otherwise, so a link made with its default settings is such a link.  It
is taken for that, under the same limit of seven days; a request whose header is signed this way is refused.
https://docs.aws.amazon.com/AmazonS3/latest/API/RESTAuthentication.html (query string authentication)
"""

from __future__ import annotations

import base64
import hmac

from rs3gw.auth.evidence import PresignedV2
from rs3gw.auth.sigv4 import decoded, folded

# The parameters that the canonical resource has; whatever else a query says is not signed.
SUBRESOURCES = frozenset(
    (
        "acl", "cors", "delete", "lifecycle", "location", "logging", "notification", "partNumber", "policy",
        "requestPayment", "response-cache-control", "response-content-disposition", "response-content-encoding",
        "response-content-language", "response-content-type", "response-expires", "tagging", "torrent", "uploadId",
        "uploads", "versionId", "versioning", "versions", "website", "restore",
    )
)  # fmt: skip


def string_to_sign(shown: PresignedV2) -> str:
    """What the client signed; SDKs sign the address of a bucket alone with a slash at its end, however they send it."""
    headers = shown.headers
    amz = sorted((name, value) for name, value in headers.items() if name.startswith("x-amz-"))
    amz += sorted((name, decoded(value)) for name, value in shown.query if name.startswith("x-amz-"))
    lines = [shown.method, headers.get("content-md5", ""), headers.get("content-type", ""), shown.expires]
    lines += [f"{name}:{folded(value)}" for name, value in sorted(amz)]
    return "\n".join([*lines, _resource(shown)])


def _resource(shown: PresignedV2) -> str:
    path = shown.path if shown.host_bucket is None else f"/{shown.host_bucket}{shown.path}"
    path += "/" if path.count("/") == 1 and len(path) > 1 else ""
    named = sorted((name, decoded(value)) for name, value in shown.query if name in SUBRESOURCES)
    pieces = [name if not value else f"{name}={value}" for name, value in named]
    return path + (f"?{'&'.join(pieces)}" if pieces else "")


def verify(shown: PresignedV2, secret_key: str) -> bool:
    """Whether the signature is right; compared in constant time."""
    text = string_to_sign(shown).encode("utf-8", "surrogateescape")
    expected = base64.b64encode(hmac.digest(secret_key.encode(), text, "sha1"))
    return hmac.compare_digest(expected, shown.signature.encode("utf-8", "surrogateescape"))
