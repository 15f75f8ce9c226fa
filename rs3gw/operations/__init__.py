"""
What exists: every operation of rs3gw, declared once.

Importing this package declares them all; ``OPERATIONS`` holds them by name.  It knows no protocol's code, no
engine and no behaviour: only names, places on the wire, types and checks.
"""

from rs3gw.operations import bucket, multipart, object
from rs3gw.operations.declare import OPERATIONS, Columns, Field, Location, Message, Operation, of

__all__ = ["OPERATIONS", "Columns", "Field", "Location", "Message", "Operation", "bucket", "multipart", "object", "of"]
