"""
A gateway to be treated badly: started over a root, killed without warning, started over the same root again.

What it is asked with are clients of the tests' own, so that a fault of the server cannot hide in a client's retries.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from loadtests.gateway import ACCESS_KEY, REGION, SECRET_KEY, START_SECONDS, STOP_SECONDS, answers, free_port


class Gateway:
    """
    A gateway process over ``root``, with ``settings`` (RS3GW_…) besides; ports stay the same over restarts.

    ``prefix`` is a command that runs it (a wrapper that limits it, say).
    """

    def __init__(
        self,
        root: Path,
        *,
        settings: Mapping[str, str] | None = None,
        log: Path | None = None,
        prefix: Sequence[str] = (),
    ) -> None:
        self.root = root
        self.rest_port, self.grpc_port = free_port(), free_port()
        self.access_key, self.secret_key, self.region = ACCESS_KEY, SECRET_KEY, REGION
        self._log = log
        self._prefix = list(prefix)
        self._settings = dict(settings or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.rest_port}"

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.grpc_port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> float:
        """Start it and return the seconds until it answered.  Raises RuntimeError where it does not."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RS3GW_")} | {
            "RS3GW_BIND_ADDR": f"127.0.0.1:{self.rest_port}",
            "RS3GW_GRPC_ENABLED": "true",
            "RS3GW_GRPC_PORT": str(self.grpc_port),
            "RS3GW_STORAGE_ROOT": str(self.root),
            "RS3GW_ACCESS_KEY": self.access_key,
            "RS3GW_SECRET_KEY": self.secret_key,
            "RS3GW_REGION": self.region,
            "RS3GW_LOG_LEVEL": "warning",
            **self._settings,
        }
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        began = time.perf_counter()
        if self._log is None:
            output = subprocess.DEVNULL
        else:
            output = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._process = subprocess.Popen(
            [*self._prefix, sys.executable, "-m", "rs3gw", "serve"],
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,  # a kill reaches every process of the group
        )
        if output >= 0:
            os.close(output)
        while not answers(self.rest_port):
            if self._process.poll() is not None:
                raise RuntimeError(f"the gateway ended with {self._process.returncode} before it was ready")
            if time.perf_counter() - began > START_SECONDS:
                self.kill()
                raise RuntimeError(f"the gateway was not ready within {START_SECONDS:.0f} s")
            time.sleep(0.005)
        return time.perf_counter() - began

    def kill(self) -> None:
        """SIGKILL, to all of its processes."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM, and the time that an orderly stop takes."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        try:
            os.killpg(self._process.pid, how)
        except ProcessLookupError:
            pass
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def __enter__(self) -> Gateway:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill() if kind else self.stop()
