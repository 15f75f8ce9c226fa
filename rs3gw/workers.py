"""
Several processes over one root: each serves both ports, and the kernel deals connections out among them.

The supervisor claims the root, holds the ports and forks; it serves nothing itself, so that it cannot fail by what
it serves.  A worker that dies is replaced, and what it held is given up in its name.  The index has one writer at a
time, so workers multiply reading, digesting and parsing, and not commits.
"""

from __future__ import annotations

import ctypes
import dataclasses
import fcntl
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from rs3gw import server, settings
from rs3gw.auth.credentials import CredentialsError
from rs3gw.engine.ports import EngineError
from rs3gw.engine.store import Board, claim
from rs3gw.settings import Address, Settings, SettingsError
from rs3gw.telemetry import configure_logging, forget_worker, logger

RESTART_SECONDS = 1.0
"""The least between two starts at one place, so that a worker that dies again and again does not take the machine."""

_PR_SET_PDEATHSIG = 1

_METRICS = "rs3gw-metrics-"


def run(asked: Settings) -> int:
    """Serve with as many processes as the settings say, until a signal says otherwise; the exit code."""
    if asked.workers == 1:
        return server.run(asked)
    configure_logging(level=asked.log_level, form=asked.log_format)
    server.traceable(asked)
    try:
        keys = server.credentials(asked)
        claim(asked.storage_root)  # until this process and all of its children have ended
    except (CredentialsError, EngineError) as fault:
        raise SettingsError(str(fault)) from fault
    # Bound and never listened on: they keep the ports for workers that come later, and get no connection.
    ports = [server.listen(asked.bind_addr, is_shared=True)]
    if asked.grpc_enabled:
        ports.append(server.listen(asked.grpc_addr, is_shared=True, variable="RS3GW_GRPC_PORT"))
    rest_port, *rpc_port = (each.getsockname()[1] for each in ports)
    told = dataclasses.replace(
        asked,
        bind_addr=Address(asked.bind_addr.host, rest_port),
        grpc_port=rpc_port[0] if rpc_port else asked.grpc_port,
    )
    with _metrics_directory() as metrics:
        settings.share_metrics(metrics)
        return _Supervisor(told, lambda: server.banner(told, rest_port, rpc_port[0] if rpc_port else None, keys)).run()


@contextmanager
def _metrics_directory() -> Iterator[Path]:
    """
    Where the processes of this group leave their figures for each other, locked for as long as one of them lives.

    What groups have left that were killed is removed: whose lock can be taken has nobody any more.  It is locked before
    it has the name by which others look for it, and where a file system knows no locks nobody removes anything.
    """
    for left in Path(tempfile.gettempdir()).glob(f"{_METRICS}*"):
        if (lock := _locked(left)) is not None:
            shutil.rmtree(left, ignore_errors=True)
            os.close(lock)
    draft = Path(tempfile.mkdtemp(prefix=f".{_METRICS}"))
    lock = _locked(draft)
    made = draft.rename(draft.with_name(draft.name.removeprefix(".")))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _locked(directory: Path) -> int | None:
    """The descriptor of a directory that is locked; None where it is somebody's, or there is none any more."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        held = os.fstat(descriptor)
        if held.st_uid == os.geteuid() and os.path.samestat(held, os.stat(directory)):
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None


class _Supervisor:
    def __init__(self, told: Settings, banner: Callable[[], str]) -> None:
        self._told = told
        self._banner = banner
        self._board = Board(told.workers)
        self._places: dict[int, int] = {}
        self._began: dict[int, float] = {}
        self._is_stopping = False

    def run(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        reader, writer = os.pipe()
        for place in range(self._told.workers):
            self._start(place, writer)
        os.close(writer)
        said = b""
        while len(said) < self._told.workers and (more := os.read(reader, self._told.workers)):
            said += more
        os.close(reader)
        if len(said) == self._told.workers:
            click.echo(self._banner())
        return self._watch()

    def _start(self, place: int, ready: int | None) -> None:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = self._work(place, ready)
            except SettingsError as fault:
                fault.show()
            finally:
                os._exit(code)
        self._places[pid], self._began[pid] = place, time.monotonic()
        if self._is_stopping:
            os.kill(pid, signal.SIGTERM)

    def _work(self, place: int, ready: int | None) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        # Whoever holds the claim must not outlive the one who minds it.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

        def say() -> None:
            if ready is not None:
                os.write(ready, b".")
                os.close(ready)

        code = server.run(self._told, server.Share(board=self._board, place=place, ready=say))
        sys.stdout.flush()
        return code

    def _watch(self) -> int:
        """Replace whoever dies until all are told to stop; the exit code."""
        failed = 0
        while self._places:
            pid, status = os.wait()
            place = self._places.pop(pid)
            lived = time.monotonic() - self._began.pop(pid)
            # One that went by itself had its reasons, a port or a disk, and said them: another one would go too.
            was_serving = self._board.is_entered(place)
            self._board.clear(place)
            forget_worker(pid)
            code = os.waitstatus_to_exitcode(status)
            if self._is_stopping:
                failed = failed or code
            elif not was_serving:
                logger("workers").error("a worker ended by itself: all of them stop", place=place, code=code)
                failed = code or 1
                self._stop(signal.SIGTERM)
            else:
                logger("workers").error("a worker died and is replaced", place=place, code=code)
                time.sleep(max(0.0, RESTART_SECONDS - lived))
                self._start(place, None)
        return failed

    def _stop(self, number: int, frame: object = None) -> None:
        """The first signal is passed on; a second one kills."""
        how = signal.SIGKILL if self._is_stopping else signal.SIGTERM
        self._is_stopping = True
        for pid in list(self._places):
            os.kill(pid, how)


__all__ = ["run"]
