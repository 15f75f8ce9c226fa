"""Steps live in conformance/steps/, named for S3's nouns."""

from conformance.steps import *  # noqa: F403
