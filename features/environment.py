"""Hooks live in conformance/behave.py; the features only say what a client may rely on."""

from conformance.behave import *  # noqa: F403
