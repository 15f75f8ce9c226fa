"""
What becomes of traces, and of a gateway, with collectors that are well, gone, stuck, or of gRPC; and with none.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
from concurrent import futures

import grpc
import httpx
import pytest

from loadtests.gateway import ACCESS_KEY, SECRET_KEY, free_port, running
from rs3gw import __version__
from rs3gw.settings import SettingsError, otlp_protocol
from rs3gw.tracing import FLUSH_SECONDS

from .conftest import SAMPLED, TRACE, Collector, client, exporting, spans_of, traced

CALLS = 200
SLOW_SECONDS = 2.0
"""What no call of these may take: a collector is waited for 10 seconds."""
STOP_SECONDS = FLUSH_SECONDS + 4.0


def started(root, url, **more):
    """A gateway as an operator starts it, whose end and whose log are looked at."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RS3GW_", "OTEL_"))}
    environment |= {
        "RS3GW_BIND_ADDR": "127.0.0.1:0",
        "RS3GW_STORAGE_ROOT": str(root),
        "RS3GW_ACCESS_KEY": ACCESS_KEY,
        "RS3GW_SECRET_KEY": SECRET_KEY,
        **exporting(url),
        **more,
    }
    return subprocess.Popen(
        [sys.executable, "-m", "rs3gw", "serve"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def url_of(process):
    """Where it listens, which it says once it does."""
    said = ""
    while "Ctrl-C" not in said:
        line = process.stdout.readline()
        assert line, process.stderr.read()
        said += line
    return re.search(r"http://\S+", said).group()


@pytest.fixture
def stuck():
    """A collector that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize("kind", ["refused", "stuck"])
def test_a_collector_that_is_dead_neither_slows_nor_keeps_the_gateway(tmp_path, stuck, kind, protocol):
    url = stuck if kind == "stuck" else f"http://127.0.0.1:{free_port()}"
    # A queue that is soon full, so that what cannot go is dropped under the calls.
    more = {
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_BSP_MAX_QUEUE_SIZE": "64",
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "32",
    }
    process = started(tmp_path / "root", url, **more)
    try:
        with httpx.Client(base_url=url_of(process), trust_env=False) as connection:
            longest = 0.0
            for _ in range(CALLS):
                began = time.monotonic()
                assert 404 == connection.get("/bucket").status_code
                longest = max(longest, time.monotonic() - began)
        began = time.monotonic()
        process.terminate()
        code = process.wait(30)
        stopping = time.monotonic() - began
    finally:
        process.kill()
        process.communicate()

    assert longest < SLOW_SECONDS
    assert 0 == code
    assert stopping < STOP_SECONDS


def test_what_was_done_before_the_end_is_exported_at_the_end(tmp_path):
    collector = Collector()
    # Nothing would be exported within an hour.
    process = started(tmp_path / "root", collector.url, OTEL_BSP_SCHEDULE_DELAY="3600000")
    try:
        url = url_of(process)
        for _ in range(3):
            httpx.get(f"{url}/bucket", trust_env=False)
        before = len(collector.spans())
        process.terminate()
        assert 0 == process.wait(30)
    finally:
        process.kill()
        process.communicate()
        collector.close()

    assert 0 == before
    assert 3 == len([span for span in collector.spans() if span.kind == 2])


def test_a_collector_is_spoken_to_by_grpc_where_the_variable_says_so(tmp_path):
    wires = []
    export = grpc.unary_unary_rpc_method_handler(lambda wire, context: wires.append(wire) or b"")
    service = grpc.method_handlers_generic_handler(
        "opentelemetry.proto.collector.trace.v1.TraceService", {"Export": export}
    )
    server = grpc.server(futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with traced(tmp_path / "root", f"http://127.0.0.1:{port}", OTEL_EXPORTER_OTLP_PROTOCOL="grpc") as gateway:
        client(gateway).list_buckets()
    server.stop(0)

    assert ["S3.ListBuckets"] == [span.name for wire in wires for span in spans_of(wire) if span.kind == 2]


def test_every_worker_exports_by_itself(tmp_path):
    collector = Collector()
    with traced(tmp_path / "root", collector.url, RS3GW_WORKERS="2") as gateway:
        until, pids = time.monotonic() + 20, set()
        while len(pids) < 2 and time.monotonic() < until:
            # A connection of its own each time, which the kernel gives to either.
            httpx.get(f"{gateway.url}/bucket", trust_env=False)
            pids = {span.resource["process.pid"] for span in collector.spans()}
    collector.close()

    assert 2 == len(pids)
    assert gateway.pid not in pids


def test_the_sampler_is_the_one_that_the_variables_name(tmp_path):
    collector = Collector()
    with traced(tmp_path / "root", collector.url, OTEL_TRACES_SAMPLER="parentbased_always_off") as gateway:
        client(gateway).list_buckets()
        client(gateway, headers=[("traceparent", SAMPLED)]).list_buckets()
    collector.close()

    calls = [span for span in collector.spans() if span.kind == 2]

    assert [TRACE] == [span.trace_id for span in calls]
    assert ("rs3gw", __version__) == (calls[0].resource["service.name"], calls[0].resource["service.version"])


@pytest.mark.parametrize("variables", [{"OTEL_SDK_DISABLED": "true"}, {"RS3GW_TRACING": "none"}])
def test_nothing_is_exported_where_tracing_is_off(tmp_path, variables):
    collector = Collector()
    with traced(tmp_path / "root", collector.url, **variables) as gateway:
        client(gateway, headers=[("traceparent", SAMPLED)]).list_buckets()
    collector.close()

    assert [] == collector.wires


def test_a_gateway_that_does_not_trace_does_not_load_opentelemetry(tmp_path):
    with running(tmp_path / "root") as gateway:
        client(gateway).list_buckets()
        with open(f"/proc/{gateway.pid}/maps") as maps:
            mapped = maps.read()
    code = (
        "import rs3gw.cli, rs3gw.server, rs3gw.rpc.server, sys; print([m for m in sys.modules if 'opentelemetry' in m])"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert "opentelemetry" not in mapped
    assert "[]" == loaded.strip()


def test_the_log_line_of_a_call_has_the_id_of_its_trace(tmp_path):
    collector = Collector()
    process = started(tmp_path / "root", collector.url, RS3GW_LOG_FORMAT="json", RS3GW_LOG_REQUESTS="all")
    try:
        httpx.get(f"{url_of(process)}/bucket", headers={"traceparent": SAMPLED}, trust_env=False)
        process.terminate()
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
        collector.close()
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]

    assert [TRACE] == [line["trace_id"] for line in lines if line["event"] == "call"]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_start_is_refused_where_the_library_is_not_there(tmp_path, workers):
    # An environment in which it cannot be found, as it is without the extra.
    blind = tmp_path / "blind"
    blind.mkdir()
    (blind / "sitecustomize.py").write_text(
        "import importlib.abc, sys\n"
        "class Blind(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'opentelemetry':\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Blind())\n"
    )
    process = started(tmp_path / "root", "http://127.0.0.1:1", PYTHONPATH=str(blind), RS3GW_WORKERS=workers)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(30)
    process.kill()
    _, said = process.communicate()

    assert 2 == process.returncode
    assert (
        "Error: RS3GW_TRACING=otlp needs OpenTelemetry, which is not installed here: pip install 'rs3gw[tracing]'.\n"
        == said
    )


@pytest.mark.parametrize(
    "variables",
    [
        {"OTEL_EXPORTER_OTLP_TIMEOUT": "soon", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
        {"OTEL_BSP_MAX_QUEUE_SIZE": "10", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "20"},
        {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"},
    ],
    ids=lambda variables: next(iter(variables)),
)
def test_a_variable_that_cannot_be_used_stops_the_start_with_one_line(tmp_path, variables):
    process = started(tmp_path / "root", "http://127.0.0.1:1", **variables)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(30)
    process.kill()
    _, said = process.communicate()

    assert 2 == process.returncode
    assert said.startswith("Error: ")
    assert 1 == said.count("\n")
    assert not (tmp_path / "root").exists()


def test_a_protocol_that_nobody_speaks_here_is_refused_by_name():
    with pytest.raises(SettingsError) as refused:
        otlp_protocol({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"})

    assert "OTEL_EXPORTER_OTLP_PROTOCOL=http/json: it is one of http/protobuf, grpc." == refused.value.message
    assert "http/protobuf" == otlp_protocol({})
    assert "grpc" == otlp_protocol(
        {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"}
    )
