"""
What a request shows of its sender: a request of HTTP as it stands on the wire.

Whatever it shows is somebody, nobody or a refusal.  It is somebody only where the signature is the one that
botocore's signer makes of what was signed; nobody only where nothing was shown.
"""

from __future__ import annotations

from rs3gw.auth.credentials import ANONYMOUS, Authority, Credential
from rs3gw.auth.evidence import Anonymous, PresignedV2, Signature
from rs3gw.rest import evidence, routing
from tests.fuzz.parts import HEADER_BYTES, StoppedClock, refusable, request_of

MOST_BYTES = HEADER_BYTES

OWNER = Credential(access_key="AKOWNER", secret_key="owner-secret", name="owner")
AUTHORITY = Authority([OWNER], region="us-east-1", clock=StoppedClock())


def target(data: bytes) -> None:
    found = request_of(data)
    if found is None:
        return
    request, _ = found
    with refusable():
        located = routing.locate(request, ("localhost",))
        shown = evidence.gather(request, request.parameters(), host_bucket=located.host_bucket)
        identity = AUTHORITY.identify(shown)
        assert identity.is_anonymous == isinstance(shown.proof, Anonymous)
        if isinstance(shown.proof, Anonymous):
            assert identity == ANONYMOUS
            assert "authorization" not in request.headers
        elif isinstance(shown.proof, Signature):
            assert shown.proof.access_key == OWNER.access_key
            assert len(shown.proof.signature) == 64
        else:
            assert isinstance(shown.proof, PresignedV2)
            assert shown.proof.access_key == OWNER.access_key
