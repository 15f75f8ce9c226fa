"""
Real proxies, as deploy/ configures them, between clients and two gateways.

The files are taken as they stand, but for addresses and paths.  Two gateways over two directories are two stores: the
second one here is a copy that was made before it was started, and is asked for nothing but reads.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import grpc
import pytest
import trustme
from botocore.config import Config

from conformance import plan
from conformance.drivers import Driver
from conformance.targets import Keys, Place
from loadtests.gateway import family, free_port
from proof.gateway import Gateway

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "clients" / "python"))

from rs3gw_auth import Bearer, intercepted  # noqa: E402 - the path comes first
from s3_pb2 import GetObjectRequest, HeadObjectRequest, PutObjectRequest  # noqa: E402
from s3_pb2_grpc import ObjectServiceStub  # noqa: E402

STREAM_BYTES = int(os.environ.get("RS3GW_DEPLOY_BYTES", 64 * 1024**2))
CHUNK = bytes(range(256)) * 4096
MEMORY_BYTES = 24 * 1024**2
"""How much more a proxy may hold while a stream goes through it, however long the stream is."""
BUCKET, KEY = "through", "a folder//grün & größer+1"
ORIGIN = "https://page.example"
"""Whose pages may ask, as envoy.yaml has it."""
LAME_DUCK_SECONDS = 5.0
"""As deploy/kubernetes has it: longer than it takes Envoy to ask (every 2 s) and to give up waiting (2 s)."""
START_SECONDS, CALL_SECONDS = 15.0, 600.0
SOON_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """A proxy that listens with TLS on both ports, before ``store`` and ``copy``."""

    name: str
    pid: int
    rest_port: int
    grpc_port: int
    authority: Path
    store: Gateway
    copy: Gateway

    @property
    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.authority)

    def channel(self) -> grpc.Channel:
        trusted = grpc.ssl_channel_credentials(self.authority.read_bytes())
        target = f"localhost:{self.grpc_port}"
        options = [("grpc.enable_http_proxy", 0), ("grpc.enable_retries", 0)]
        return intercepted(
            grpc.secure_channel(target, trusted, options), Bearer(self.store.access_key, self.store.secret_key)
        )

    def s3(self, **options: Any) -> Any:
        """An unmodified SDK; without retries of its own unless ``options`` say so."""
        return boto3.client(
            "s3",
            endpoint_url=f"https://localhost:{self.rest_port}",
            aws_access_key_id=self.store.access_key,
            aws_secret_access_key=self.store.secret_key,
            region_name=self.store.region,
            verify=str(self.authority),
            config=Config(retries={"max_attempts": 1, "mode": "standard"}, proxies={}, **options),
        )

    def connection(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection("localhost", self.rest_port, context=self.context, timeout=CALL_SECONDS)

    def presigned(self, method: str, key: str) -> str:
        """A path that may be asked for by a client that signs nothing."""
        url = self.s3(signature_version="s3v4").generate_presigned_url(method, Params={"Bucket": BUCKET, "Key": key})
        parts = urlsplit(url)
        return f"{parts.path}?{parts.query}"

    def browser(self, name: str, port: int) -> Driver:
        """What asks for the rpcs as a page does: ``connect`` or ``grpcweb`` of the conformance suite."""
        keys = Keys(self.store.access_key, self.store.secret_key)
        place = Place(
            url=f"https://localhost:{port}",
            grpc=f"localhost:{self.grpc_port}",
            identities={"owner": keys},
            region=self.store.region,
            authority=self.authority,
        )
        return plan.make_driver(name, place)

    def held_bytes(self) -> int:
        return sum(resident(pid) for pid in family(self.pid))


def resident(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^VmRSS:\s+(\d+)", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


@dataclass(slots=True)
class Watch:
    """The most that a proxy has held, looked at twenty times a second."""

    proxy: Proxy
    most: int = 0
    _ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self._ended.wait(0.05):
            self.most = max(self.most, self.proxy.held_bytes())

    def end(self) -> None:
        self._ended.set()


@contextmanager
def judged(proxy: Proxy, what: str, capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Fail where the proxy held the stream instead of passing it on; say how fast it went."""
    before = proxy.held_bytes()
    watch = Watch(proxy, before)
    thread = threading.Thread(target=watch.run)
    thread.start()
    began = time.monotonic()
    try:
        yield
    finally:
        seconds = time.monotonic() - began
        watch.end()
        thread.join()
    grown = watch.most - before
    with capsys.disabled():
        rate = STREAM_BYTES / seconds / 1024**2
        print(
            f"\n| {proxy.name} | {what} | {STREAM_BYTES // 1024**2} MiB | {rate:.0f} MiB/s "
            f"| {before / 1024**2:.0f} MiB | {grown / 1024**2:+.1f} MiB |"
        )
    assert grown < MEMORY_BYTES


def configured(name: str, text: str, changes: dict[str, str]) -> str:
    """The file with other addresses and paths; each of them has to be in it."""
    for old, new in changes.items():
        assert old in text, f"{name} has no {old}"
        text = text.replace(old, new)
    return text


def nginx(directory: Path, changes: dict[str, str]) -> list[str]:
    temporary = "".join(
        f"    {kind}_temp_path {directory}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    text = configured(
        "nginx.conf",
        (ROOT / "deploy/nginx/nginx.conf").read_text(),
        {
            **changes,
            "/etc/nginx/tls": str(directory),
            "/run/nginx.pid": f"{directory}/pid",
            "/var/log/nginx": str(directory),
            "http {\n": "http {\n" + temporary,
            "worker_processes auto": "worker_processes 2",
        },
    )
    (directory / "nginx.conf").write_text(text)
    os.chmod(directory, 0o755)
    return ["nginx", "-c", str(directory / "nginx.conf"), "-e", str(directory / "error.log"), "-g", "daemon off;"]


def envoy(directory: Path, changes: dict[str, str]) -> list[str]:
    plain = {old.removeprefix("listen "): new.removeprefix("listen ") for old, new in changes.items()}
    renamed = {}
    for old, new in plain.items():
        host, colon, port = old.partition(":")
        if colon:
            to_host, _, to_port = new.partition(":")
            old, new = f"{host}, port_value: {port}}}", f"{to_host}, port_value: {to_port}}}"
        else:
            old, new = f"0.0.0.0, port_value: {old.split()[0]}}}", f"127.0.0.1, port_value: {new.split()[0]}}}"
        renamed[old] = new
    renamed |= {"/etc/envoy/tls": str(directory), "port_value: 9901": f"port_value: {free_port()}"}
    (directory / "envoy.yaml").write_text(
        configured("envoy.yaml", (ROOT / "deploy/envoy/envoy.yaml").read_text(), renamed)
    )
    return ["envoy", "-c", str(directory / "envoy.yaml"), "-l", "warning", "--concurrency", "2", "--base-id", "0",
            "--use-dynamic-base-id"]  # fmt: skip


PROXIES: dict[str, Callable[[Path, dict[str, str]], list[str]]] = {"nginx": nginx, "envoy": envoy}


@contextmanager
def filled(directory: Path) -> Iterator[tuple[Gateway, Gateway]]:
    """A gateway that has one object, and another over a copy of what the first one had stored."""
    settings = {"RS3GW_CORS_ORIGINS": ORIGIN}
    store = Gateway(directory / "store", settings=settings)
    copy = Gateway(directory / "copy", settings={**settings, "RS3GW_LAME_DUCK_SECONDS": str(LAME_DUCK_SECONDS)})
    with store, closing(_direct(store)) as s3:
        s3.create_bucket(Bucket=BUCKET)
        s3.put_object(Bucket=BUCKET, Key=KEY, Body=CHUNK, Metadata={"under_score": "kept"})
    shutil.copytree(store.root, copy.root, symlinks=True)
    with store, copy:
        yield store, copy
        copy.kill()  # it has nothing to lose, and to say that it leaves would take its time


def _direct(gateway: Gateway) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=gateway.url,
        aws_access_key_id=gateway.access_key,
        aws_secret_access_key=gateway.secret_key,
        region_name=gateway.region,
        config=Config(proxies={}),
    )


@pytest.fixture(params=PROXIES)
def proxy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    directory = tmp_path_factory.mktemp(request.param)
    made = trustme.CA()
    server = made.issue_cert("localhost")
    made.cert_pem.write_to_path(directory / "authority.pem")
    server.private_key_pem.write_to_path(directory / "tls.key")
    for blob in server.cert_chain_pems:
        blob.write_to_path(directory / "tls.crt", append=True)
    with filled(directory) as (store, copy):
        running, process = begun(request.param, directory, store, copy)
        try:
            wait(running, process, directory / "log")
            yield running
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(START_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def begun(name: str, directory: Path, store: Gateway, copy: Gateway) -> tuple[Proxy, subprocess.Popen[bytes]]:
    """A proxy that listens; with other ports where somebody took those that were free."""
    for _ in range(3):
        rest_port, grpc_port = free_port(), free_port()
        changes = {
            "gateway-a:9000": f"127.0.0.1:{store.rest_port}",
            "gateway-b:9000": f"127.0.0.1:{copy.rest_port}",
            "gateway-a:50051": f"127.0.0.1:{store.grpc_port}",
            "gateway-b:50051": f"127.0.0.1:{copy.grpc_port}",
            "listen 9000 ssl": f"listen {rest_port} ssl",
            "listen 50051 ssl": f"listen {grpc_port} ssl",
        }
        command = PROXIES[name](directory, changes)
        with (directory / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        running = Proxy(
            name=name,
            pid=process.pid,
            rest_port=rest_port,
            grpc_port=grpc_port,
            authority=directory / "authority.pem",
            store=store,
            copy=copy,
        )
        while process.poll() is None:
            if listens(running):
                return running, process
            time.sleep(0.02)
    return running, process


def listens(proxy: Proxy) -> bool:
    for port in (proxy.rest_port, proxy.grpc_port):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=SOON_SECONDS).close()
        except OSError:
            return False
    return True


def wait(proxy: Proxy, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until both ports lead to a gateway."""
    until = time.monotonic() + START_SECONDS
    with closing(proxy.channel()) as channel:
        while not (answers(proxy) and heads(channel)):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.05)


def answers(proxy: Proxy) -> bool:
    try:
        with closing(proxy.connection()) as connection:
            connection.request("GET", "/-/ready")
            return connection.getresponse().status == 200
    except OSError:
        return False


def heads(channel: grpc.Channel) -> bool:
    try:
        ObjectServiceStub(channel).HeadObject(HeadObjectRequest(bucket=BUCKET, key=KEY), timeout=SOON_SECONDS)
    except grpc.RpcError:
        return False
    return True


def in_flight(gateway: Gateway) -> float:
    return metric(gateway, "rs3gw_requests_in_flight")


def metric(gateway: Gateway, name: str) -> float:
    """The sum of a metric over all of its labels."""
    with closing(http.client.HTTPConnection("127.0.0.1", gateway.rest_port, timeout=SOON_SECONDS)) as connection:
        connection.request("GET", "/-/metrics")
        page = connection.getresponse().read().decode()
    return sum(float(value) for value in re.findall(rf"^{name}\{{[^}}]*\}} (\S+)$", page, re.MULTILINE))


def comes_true(claim: Callable[[], bool], seconds: float = SOON_SECONDS) -> bool:
    until = time.monotonic() + seconds
    while not claim():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def messages(key: str, count: int) -> Iterator[PutObjectRequest]:
    for index in range(count):
        yield PutObjectRequest(bucket=BUCKET, key=key, data=CHUNK) if index == 0 else PutObjectRequest(data=CHUNK)


def test_what_a_signature_covers_arrives_as_it_was_sent(proxy):
    """Keys with doubled slashes, spaces, + and umlauts, and metadata with underscores, in headers and in URLs."""
    s3 = proxy.s3()

    s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"replaced", Metadata={"under_score": "changed"})
    found = _direct(proxy.store).get_object(Bucket=BUCKET, Key=KEY)
    with closing(proxy.connection()) as connection:
        connection.request("GET", proxy.presigned("get_object", KEY))
        status = connection.getresponse().status

    assert found["Body"].read() == b"replaced"
    assert found["Metadata"] == {"under_score": "changed"}
    assert status == 200


def test_a_stream_over_rest_is_passed_on_and_not_kept(proxy, capsys):
    count = STREAM_BYTES // len(CHUNK)
    upload, download = proxy.presigned("put_object", "rest"), proxy.presigned("get_object", "rest")

    with judged(proxy, "REST, up", capsys), closing(proxy.connection()) as connection:
        body = (CHUNK for _ in range(count))
        connection.request("PUT", upload, body=body, headers={"Content-Length": str(STREAM_BYTES)})
        assert connection.getresponse().status == 200
    # The copy has no such object: it is a store of its own.
    proxy.copy.kill()
    with judged(proxy, "REST, down", capsys), closing(proxy.connection()) as connection:
        connection.request("GET", download)
        received = drained(connection.getresponse())

    assert received == STREAM_BYTES


def drained(response: http.client.HTTPResponse) -> int:
    """Read it to its end, and say how long it was; every chunk has to be the one that was sent."""
    received = 0
    while chunk := response.read(len(CHUNK)):
        assert chunk == CHUNK[: len(chunk)]
        received += len(chunk)
    return received


def test_a_stream_over_grpc_is_passed_on_and_not_kept(proxy, capsys):
    count = STREAM_BYTES // len(CHUNK)
    with closing(proxy.channel()) as channel:
        stub = ObjectServiceStub(channel)

        with judged(proxy, "gRPC, up", capsys):
            stub.PutObject(messages("grpc", count), timeout=CALL_SECONDS)
        proxy.copy.kill()
        with judged(proxy, "gRPC, down", capsys):
            answers = stub.GetObject(GetObjectRequest(bucket=BUCKET, key="grpc"), timeout=CALL_SECONDS)
            received = sum(len(answer.data) for answer in answers)

    assert received == STREAM_BYTES


def test_the_gateway_hears_of_an_upload_over_grpc_that_is_cancelled(proxy):
    told = threading.Event()

    def without_end() -> Iterator[PutObjectRequest]:
        yield from messages("cancelled", 4)
        told.wait(CALL_SECONDS)

    with closing(proxy.channel()) as channel:
        call = ObjectServiceStub(channel).PutObject.future(without_end())
        begun = comes_true(lambda: in_flight(proxy.store) == 1)
        call.cancel()
        ended = comes_true(lambda: in_flight(proxy.store) == 0)
        told.set()

    assert (begun, ended) == (True, True)
    with pytest.raises(_direct(proxy.store).exceptions.ClientError, match="404"):
        _direct(proxy.store).head_object(Bucket=BUCKET, Key="cancelled")


def test_the_gateway_hears_of_an_upload_over_rest_that_is_broken_off(proxy):
    connection = proxy.connection()
    connection.putrequest("PUT", proxy.presigned("put_object", "broken"))
    connection.putheader("Content-Length", str(8 * len(CHUNK)))
    connection.endheaders(CHUNK)

    begun = comes_true(lambda: in_flight(proxy.store) == 1)
    connection.close()
    ended = comes_true(lambda: in_flight(proxy.store) == 0)

    assert (begun, ended) == (True, True)
    with pytest.raises(_direct(proxy.store).exceptions.ClientError, match="404"):
        _direct(proxy.store).head_object(Bucket=BUCKET, Key="broken")


def read(stub: Any) -> None:
    """One download."""
    asked = GetObjectRequest(bucket=BUCKET, key=KEY)
    received = sum(len(answer.data) for answer in stub.GetObject(asked, timeout=CALL_SECONDS))
    assert received == len(CHUNK)


@dataclass(slots=True)
class Readers:
    """Threads that read without a pause until they are told to stop, and how often each way went well or did not."""

    ways: dict[str, Callable[[], None]]
    counts: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    _stopping: threading.Event = field(default_factory=threading.Event)

    def run(self, name: str) -> None:
        while not self._stopping.is_set():
            try:
                self.ways[name]()
                self.counts[name] = self.counts.get(name, 0) + 1
            except Exception as fault:  # every failure counts, whatever its class
                self.failures.append(f"{name}: {fault!r}")

    @contextmanager
    def reading(self) -> Iterator[None]:
        threads = [threading.Thread(target=self.run, args=(name,)) for name in self.ways for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            for thread in threads:
                thread.join()


def stopped_under(readers: Readers, gateway: Gateway) -> tuple[dict[str, int], dict[str, int]]:
    """How often each way had read when the gateway was told to stop, and when it was gone."""
    with readers.reading():
        time.sleep(1.0)
        before = dict(readers.counts)
        gateway.stop()
        gone = dict(readers.counts)
        time.sleep(1.0)
    return before, gone


def test_a_gateway_that_is_stopped_costs_no_read(proxy):
    """No client has to repeat anything, not even behind nginx, which asks nobody whether he is well."""
    s3 = proxy.s3(max_pool_connections=4)
    with closing(proxy.channel()) as channel:
        stub = ObjectServiceStub(channel)

        def over_rest() -> None:
            assert s3.get_object(Bucket=BUCKET, Key=KEY)["Body"].read() == CHUNK

        readers = Readers({"REST": over_rest, "gRPC": lambda: read(stub)})
        before, gone = stopped_under(readers, proxy.copy)

    assert readers.failures == []
    assert before.keys() == readers.ways.keys()
    for name in readers.ways:
        assert before[name] < gone[name] < readers.counts[name]


def test_a_gateway_that_is_stopped_costs_no_read_of_a_client_that_balances_and_watches_health(tmp_path):
    """Both are watched; the one that leaves gets no new call, and finishes those that it has."""
    with filled(tmp_path) as (store, copy):
        service = {"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": ""}}
        options = [
            ("grpc.service_config", json.dumps(service)),
            ("grpc.enable_http_proxy", 0),
            ("grpc.enable_retries", 0),
        ]
        plain = grpc.insecure_channel(f"ipv4:{store.target},{copy.target}", options)
        with closing(intercepted(plain, Bearer(store.access_key, store.secret_key))) as channel:
            stub = ObjectServiceStub(channel)
            readers = Readers({"gRPC": lambda: read(stub)})
            shared = comes_true(lambda: heads(channel) and metric(copy, "rs3gw_requests_total") > 0)
            before, gone = stopped_under(readers, copy)

    assert shared
    assert readers.failures == []
    assert before["gRPC"] < gone["gRPC"] < readers.counts["gRPC"]


# As browsers ask -----------------------------------------------------------------------------------------------


def doors(proxy: Proxy) -> list[tuple[str, int]]:
    """Where a page can come in: the port of REST, and Envoy's port of gRPC, which translates gRPC-Web."""
    through = [("connect", proxy.rest_port), ("grpcweb", proxy.rest_port)]
    return [*through, ("grpcweb", proxy.grpc_port)] if proxy.name == "envoy" else through


def test_what_a_browser_asks_for_is_answered_as_without_a_proxy(proxy):
    for name, port in doors(proxy):
        with closing(proxy.browser(name, port)) as browser:
            found = browser.perform("HeadObject", bucket=BUCKET, key=KEY)
            read = browser.perform("GetObject", bucket=BUCKET, key=KEY)
            listed = browser.perform("ListObjectsV2", bucket=BUCKET)
            by_token = browser.as_("owner", bearer=True).perform("HeadBucket", bucket=BUCKET)

        assert (found["content_length"], found["metadata"]) == (len(CHUNK), {"under_score": "kept"})
        assert read.body == CHUNK
        assert [entry["key"] for entry in listed["contents"]] == [KEY]
        assert by_token.refusal is None


def test_a_browser_hears_why_it_is_refused(proxy):
    """Code, status and details arrive through what only passes on and through what translates."""
    for name, port in doors(proxy):
        with closing(proxy.browser(name, port)) as browser:
            for operation in ("HeadObject", "GetObject"):
                refusal = browser.perform(operation, bucket=BUCKET, key="none").refusal

                assert (refusal.code, refusal.fields) == ("NoSuchKey", {"Key": "none"})
                assert refusal.status == browser.expected_status("NoSuchKey", operation)
            stranger = browser.as_("impostor").perform("HeadBucket", bucket=BUCKET).refusal

            assert (stranger.code, stranger.status) == (
                "SignatureDoesNotMatch",
                browser.expected_status("SignatureDoesNotMatch", "HeadBucket"),
            )


def test_a_page_is_told_whether_it_may_ask(proxy):
    """On the port of REST by the gateway, whose setting it is; on Envoy's port of gRPC by Envoy."""
    for _, port in doors(proxy):
        with closing(http.client.HTTPSConnection("localhost", port, context=proxy.context, timeout=60)) as connection:
            allowed, headers = preflight(connection, ORIGIN)
            _, others = preflight(connection, "https://other.example")

        assert allowed in (200, 204)
        assert headers["access-control-allow-origin"] == ORIGIN
        assert "POST" in headers["access-control-allow-methods"]
        assert {"authorization", "content-type", "x-grpc-web"} <= set(
            headers["access-control-allow-headers"].replace(" ", "").split(",")
        )
        assert "access-control-allow-origin" not in others


def preflight(connection: http.client.HTTPConnection, origin: str) -> tuple[int, http.client.HTTPMessage]:
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-grpc-web",
    }
    connection.request("OPTIONS", "/s3.ObjectService/GetObject", headers=asked)
    answer = connection.getresponse()
    answer.read()
    return answer.status, answer.headers


def test_an_answer_that_a_page_may_see_says_so(proxy):
    body = b"\0\0\0\0\0"
    for _, port in doors(proxy):
        with closing(http.client.HTTPSConnection("localhost", port, context=proxy.context, timeout=60)) as connection:
            headers = {"Origin": ORIGIN, "Content-Type": "application/grpc-web+proto"}
            connection.request("POST", "/s3.BucketService/ListBuckets", body=body, headers=headers)
            answer = connection.getresponse()
            answer.read()

        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert "grpc-status" in answer.headers["access-control-expose-headers"]


def test_a_download_by_a_browser_is_passed_on_and_not_kept(proxy, capsys):
    with closing(proxy.channel()) as channel:
        ObjectServiceStub(channel).PutObject(messages("browser", STREAM_BYTES // len(CHUNK)), timeout=CALL_SECONDS)
    proxy.copy.stop()

    for name, port in doors(proxy):
        said = f"{name}, down" if port == proxy.rest_port else f"{name} translated, down"
        with closing(proxy.browser(name, port)) as browser, judged(proxy, said, capsys):
            answer = browser.perform("GetObject", bucket=BUCKET, key="browser", sink=lambda chunk: None)

        assert answer.measure.size == STREAM_BYTES


def test_the_gateway_hears_of_a_browser_that_leaves(proxy):
    """A page that is closed in the middle of a download keeps nothing busy behind the proxy."""
    with closing(proxy.channel()) as channel:
        ObjectServiceStub(channel).PutObject(messages("left", 64), timeout=CALL_SECONDS)
    proxy.copy.stop()

    for name, port in doors(proxy):
        seen = []

        def leave(chunk: bytes, seen: list[bool] = seen) -> None:
            seen.append(comes_true(lambda: in_flight(proxy.store) == 1))
            raise Left

        with closing(proxy.browser(name, port)) as browser, pytest.raises(Left):
            browser.perform("GetObject", bucket=BUCKET, key="left", sink=leave)

        assert seen == [True]
        assert comes_true(lambda: in_flight(proxy.store) == 0)


class Left(Exception):
    """A page is closed."""
