"""S3 over gRPC: a translation of the declarations, with no behaviour of its own."""
