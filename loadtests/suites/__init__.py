"""The suites of ``python -m loadtests.bench``: each is a module whose ``measure`` gives a page."""
