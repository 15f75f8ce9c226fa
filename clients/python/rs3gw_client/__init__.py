"""
A client of rs3gw over gRPC: ``Client`` for threads, ``AsyncClient`` for a loop, and the errors that they raise.
"""

from __future__ import annotations

from rs3gw_auth import Bearer, SigV4

from rs3gw_client import errors
from rs3gw_client.channel import TLS
from rs3gw_client.client import AsyncClient, AsyncDownload, Client, Download
from rs3gw_client.core import Ways
from rs3gw_client.errors import Error, S3Error
from rs3gw_client.objects import Bucket, Entry, Failure, ObjectInfo, Part, Prefix, Stored
from rs3gw_client.retry import Retry

__all__ = [
    "TLS",
    "AsyncClient",
    "AsyncDownload",
    "Bearer",
    "Bucket",
    "Client",
    "Download",
    "Entry",
    "Error",
    "Failure",
    "ObjectInfo",
    "Part",
    "Prefix",
    "Retry",
    "S3Error",
    "SigV4",
    "Stored",
    "Ways",
    "errors",
]
