"""rs3gw: an S3-compatible object gateway, REST and gRPC over one engine."""

__version__ = "0.1.0"
