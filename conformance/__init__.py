"""
The conformance suite: every promise of features/, put to every target over every protocol.

A *driver* speaks a protocol, a *target* is something to speak to, a *cell* is one of each.  The suite knows S3 and
nothing of rs3gw: only ``targets/inprocess.py`` imports it, and everything else can be pointed at anybody's server.
"""
