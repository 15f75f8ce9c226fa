"""One extension of each kind, to begin with: docs/extending.md."""
