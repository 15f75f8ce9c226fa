"""Where bytes live: buckets, objects and uploads, durable before acknowledged.  It knows no protocol and no identity."""
