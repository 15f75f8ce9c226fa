"""Where bytes live: buckets, objects and uploads, durable before acknowledged; no protocol, no identity."""
