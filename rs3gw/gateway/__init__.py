"""
What operations mean, on both protocols alike.

``Gateway.perform`` is the whole way of a call; everything that holds for every operation happens there, in this
order, and nowhere else.  A transport brings the evidence and a reader of the request, and takes the answer away.
"""

from rs3gw.gateway import bucket, multipart, object
from rs3gw.gateway.call import HANDLERS, Call, Gateway, Observation, Observe, handles

__all__ = ["HANDLERS", "Call", "Gateway", "Observation", "Observe", "bucket", "handles", "multipart", "object"]
