"""Load, measured: the benchmark of what rs3gw has to reach, and locust's users."""
