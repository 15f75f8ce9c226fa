"""
Where the tools are, and how much is streamed.

scripts/test-deploy puts the tools on the PATH and says so in RS3GW_DEPLOY, which is the directory of Kubernetes'
schemas.  Without it what needs them is not collected: a run of all tests has neither Go nor a proxy to ask.
"""

from __future__ import annotations

import os

collect_ignore = [] if "RS3GW_DEPLOY" in os.environ else ["test_rendered.py", "test_proxies.py"]
