"""
What is stored under ``archive/`` stays: nobody deletes it, whatever a policy says.
"""

from __future__ import annotations

from rs3gw.auth.credentials import Identity
from rs3gw.auth.evidence import Evidence


class WriteOnce:
    """Denies deletes under a prefix, in every bucket."""

    def judge(self, identity: Identity, action: str, resource: str, evidence: Evidence) -> bool | None:
        _, _, key = resource.rpartition(":::")[2].partition("/")
        return False if action == "s3:DeleteObject" and key.startswith("archive/") else None
