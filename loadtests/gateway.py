"""
A gateway of its own for a measurement: a fresh process on free loopback ports over a temporary root.

The process is measured from outside (its peak memory, its CPU seconds), so that what measures costs it nothing.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ACCESS_KEY, SECRET_KEY, REGION = "benchmarkbenchmark", "benchmark-secret-benchmark", "us-east-1"
START_SECONDS = 20.0
STOP_SECONDS = 30.0


def free_port() -> int:
    """A loopback port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A gateway that answers."""

    pid: int
    rest_port: int
    grpc_port: int
    ready_seconds: float
    """From the start of the process to the first answered request."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.rest_port}"

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.grpc_port}"

    def peak_bytes(self) -> int:
        """The most memory that its processes have held since ``forget_peak``, what they share counted in each."""
        return sum(_status_bytes(pid, "VmHWM:") for pid in family(self.pid))

    def held_bytes(self) -> int:
        """The memory that its processes hold now."""
        return sum(_status_bytes(pid, "VmRSS:") for pid in family(self.pid))

    def forget_peak(self) -> None:
        """Begin a new peak (proc(5), clear_refs)."""
        for pid in family(self.pid):
            Path(f"/proc/{pid}/clear_refs").write_text("5")

    def cpu_seconds(self) -> float:
        """User and system time of its processes so far, in ticks of 10 ms each."""
        return cpu_seconds(self.pid)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its descendants so far."""
    ticks = 0
    for each in family(pid):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """A process and all that descend from it: the workers of a supervisor."""
    parents: dict[int, int] = {}
    for each in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(each.parent.name)] = int(each.read_text().rpartition(")")[2].split()[1])
        except OSError:
            pass  # it has ended meanwhile
    found = [pid]
    for older in found:
        found += [younger for younger, parent in parents.items() if parent == older]
    return found


def _status_bytes(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name)), 0)


@contextlib.contextmanager
def announced(module: str, *arguments: str) -> Iterator[tuple[str, int]]:
    """Start a server of loadtests in a process of its own, and end it: (the line that it says first, its pid)."""
    process = subprocess.Popen([sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline(), process.pid
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def answers(port: int) -> bool:
    """Whether GET /-/ready is answered with 200."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"GET /-/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return connection.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


@contextlib.contextmanager
def running(
    root: Path, *, durability: str = "strict", grpc: bool = True, settings: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """Start a gateway over ``root``, with ``settings`` besides (RS3GW_…), and stop it in order at the end."""
    rest_port, grpc_port = free_port(), free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RS3GW_")} | {
        "RS3GW_BIND_ADDR": f"127.0.0.1:{rest_port}",
        "RS3GW_GRPC_ENABLED": str(grpc).lower(),
        "RS3GW_GRPC_PORT": str(grpc_port),
        "RS3GW_STORAGE_ROOT": str(root),
        "RS3GW_ACCESS_KEY": ACCESS_KEY,
        "RS3GW_SECRET_KEY": SECRET_KEY,
        "RS3GW_REGION": REGION,
        "RS3GW_DURABILITY": durability,
        "RS3GW_LOG_LEVEL": "warning",
        **(settings or {}),
    }
    # A start is measured with the byte code in place, as every start but the very first one is.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "rs3gw", "serve"], env=environment, stdout=subprocess.DEVNULL)
    try:
        while not answers(rest_port):
            if process.poll() is not None:
                raise RuntimeError(f"the gateway ended with {process.returncode} before it was ready")
            if time.perf_counter() - began > START_SECONDS:
                raise RuntimeError(f"the gateway was not ready within {START_SECONDS:.0f} s")
            time.sleep(0.002)
        ready = time.perf_counter() - began
        yield Running(pid=process.pid, rest_port=rest_port, grpc_port=grpc_port, ready_seconds=ready)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
