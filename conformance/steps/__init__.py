"""
The vocabulary of the features: steps named for nouns, spoken to drivers.

``Given`` steps are the owner's and must succeed; ``When`` steps are whoever's the scenario says ("I am the stranger")
and leave their answer to the ``Then`` steps.  No step knows a protocol.
"""

from conformance.steps.access import *  # noqa: F403
from conformance.steps.answers import *  # noqa: F403
from conformance.steps.buckets import *  # noqa: F403
from conformance.steps.listings import *  # noqa: F403
from conformance.steps.multipart import *  # noqa: F403
from conformance.steps.objects import *  # noqa: F403
