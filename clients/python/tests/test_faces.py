"""
What the two faces of the client have in common: all of their words.
"""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from rs3gw_client import AsyncClient, AsyncDownload, Client, Download, errors

from .conftest import BUCKET


def words(face: type[Any]) -> dict[str, list[tuple[str, Any, Any]]]:
    """The public methods of a class, with their parameters: names, kinds and what they are by themselves."""
    return {
        name: [(each.name, each.kind, each.default) for each in inspect.signature(method).parameters.values()]
        for name, method in inspect.getmembers(face, callable)
        if not name.startswith("_")
    }


@pytest.mark.parametrize(("threads", "loop"), [(Client, AsyncClient), (Download, AsyncDownload)])
def test_every_word_is_there_for_threads_and_for_a_loop(threads: type[Any], loop: type[Any]) -> None:
    assert words(threads)
    assert words(threads) == words(loop)


@pytest.mark.parametrize("face", [Client, AsyncClient, Download, AsyncDownload])
def test_every_word_says_what_it_does(face: type[Any]) -> None:
    silent = [name for name in words(face) if not (getattr(face, name).__doc__ or "").strip()]

    assert silent == []


def test_a_completion_insists_as_a_write_does(client: Client) -> None:
    def complete(key: str, **insisting: str) -> str:
        upload_id = client.create_upload(BUCKET, key)
        part = client.upload_part(BUCKET, key, upload_id, 1, b"part")
        try:
            return client.complete_upload(BUCKET, key, upload_id, [part], **insisting)
        except errors.PreconditionFailed:
            client.abort_upload(BUCKET, key, upload_id)
            raise

    first = complete("insisted", if_none_match="*")
    complete("insisted", if_match=first)

    with pytest.raises(errors.PreconditionFailed):
        complete("insisted", if_none_match="*")
    with pytest.raises(errors.PreconditionFailed):
        complete("insisted", if_match='"another"')
