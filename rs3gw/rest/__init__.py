"""S3 over HTTP: a translation of the declarations, with no behaviour of its own."""
