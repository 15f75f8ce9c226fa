"""Generated from proto/ by scripts/proto; never edited.  Only rpc/ imports it."""
