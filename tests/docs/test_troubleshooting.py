"""
Every error that docs/troubleshooting.md explains is made here, by the client that prints it.

A heading is found by its text; ``…`` in it stands for anything.  What no test makes has no place on the page.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
import grpc
import httpx
import pytest
import trustme
from botocore.config import Config

from loadtests.stubs import Client, bearer, s3_pb2
from proof.gateway import Gateway

PAGE = Path(__file__).parents[2] / "docs" / "troubleshooting.md"
HEADINGS = re.findall(r"^### `(.+)`$", PAGE.read_text(), re.M)
BUCKET = "bucket"
NOBODY = "127.0.0.1:1"
"""Where nobody listens: the port is reserved."""
SECONDS = 20.0

Reproduction = Callable[["Place"], str]
REPRODUCTIONS: dict[str, Reproduction] = {}


def says(heading: str) -> Callable[[Reproduction], Reproduction]:
    """The function makes the error of a heading, and returns all that the client says of it."""

    def register(reproduce: Reproduction) -> Reproduction:
        REPRODUCTIONS[heading] = reproduce
        return reproduce

    return register


class Place:
    """Gateways as somebody has them who runs into trouble, each started when it is asked for."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.directory, self._stack = directory, stack
        self.authority = trustme.CA()
        self.authority_file = directory / "authority.pem"
        self.authority.cert_pem.write_to_path(self.authority_file)

    def start(self, name: str, **settings: str) -> Gateway:
        given = {f"RS3GW_{setting.upper()}": value for setting, value in settings.items()}
        return self._stack.enter_context(Gateway(self.directory / name, settings=given))

    def certified(self, name: str, host: str, **settings: str) -> Gateway:
        """With TLS on gRPC, and a certificate for this host."""
        issued = self.authority.issue_cert(host)
        chain, key = self.directory / f"{name}.pem", self.directory / f"{name}.key"
        issued.cert_chain_pems[0].write_to_path(chain)
        issued.private_key_pem.write_to_path(key)
        return self.start(name, grpc_tls_cert=str(chain), grpc_tls_key=str(key), **settings)

    @cached_property
    def plain(self) -> Gateway:
        gateway = self.start("plain")
        s3(gateway).create_bucket(Bucket=BUCKET)
        return gateway

    @cached_property
    def tls(self) -> Gateway:
        return self.certified("tls", "127.0.0.1")

    @property
    def trusted(self) -> grpc.ChannelCredentials:
        return grpc.ssl_channel_credentials(self.authority.cert_pem.bytes())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with ExitStack() as stack:
        yield Place(tmp_path_factory.mktemp("trouble"), stack)


def s3(
    gateway: Gateway, url: str = "", *, secret_key: str = "", access_key: str = "", region: str = "us-east-1"
) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=url or gateway.url,
        aws_access_key_id=access_key or gateway.access_key,
        aws_secret_access_key=secret_key or gateway.secret_key,
        region_name=region,
        config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, signature_version="s3v4"),
    )


def dial(
    gateway: Gateway, target: str = "", credentials: grpc.ChannelCredentials | None = None, **options: Any
) -> Client:
    target, chosen = target or gateway.target, [(f"grpc.{name}", value) for name, value in options.items()]
    channel = (
        grpc.insecure_channel(target, chosen)
        if credentials is None
        else grpc.secure_channel(target, credentials, chosen)
    )
    return Client(channel, gateway.access_key, gateway.secret_key)


def refused(act: Callable[[], object]) -> str:
    """What somebody reads whose script ends with this."""
    with pytest.raises(Exception) as caught:  # noqa: PT011  # a client's own, whichever it is
        act()
    return f"{type(caught.value).__name__}: {caught.value}"


def started(**settings: str) -> str:
    """What ``rs3gw serve`` prints that does not start."""
    ended = run("-m", "rs3gw", "serve", **{f"RS3GW_{name.upper()}": value for name, value in settings.items()})
    assert ended.returncode == 2
    return ended.stderr


def run(*arguments: str, directory: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RS3GW_", "PYTHONPATH", "AWS_"))}
    return subprocess.run(
        [sys.executable, *arguments],
        env=kept | environment,
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )


# The server does not start -------------------------------------------------------------------------------------


@says("can be reached from other machines, and the credentials are the development ones")
def _(place: Place) -> str:
    return started(bind_addr="0.0.0.0:0")


@says("is in use by process …: stop it, or set RS3GW_STORAGE_ROOT to another directory.")
def _(place: Place) -> str:
    return started(bind_addr="127.0.0.1:0", storage_root=str(place.plain.root))


@says("is no storage root and is not empty")
def _(place: Place) -> str:
    return started(bind_addr="127.0.0.1:0", storage_root=str(Path(__file__).parent))


@says("no such setting.")
def _(place: Place) -> str:
    return started(storge_root="data")


@says("RS3GW_BIND_ADDR=…: Address already in use.")
def _(place: Place) -> str:
    return started(bind_addr=f"127.0.0.1:{place.plain.rest_port}", storage_root=str(place.directory / "other"))


@says("is set and … is not: TLS needs both, or neither.")
def _(place: Place) -> str:
    return started(tls_cert=str(place.authority_file))


# Connecting ----------------------------------------------------------------------------------------------------


@says("failed to connect to all addresses; last error: … Connection refused")
def _(place: Place) -> str:
    return refused(lambda: dial(place.plain, NOBODY).list(BUCKET, ""))


@says('Could not connect to the endpoint URL: "…"')
def _(place: Place) -> str:
    return refused(lambda: s3(place.plain, f"http://{NOBODY}").list_buckets())


@says("Trying to connect an http1.x server")
def _(place: Place) -> str:
    return refused(lambda: dial(place.plain, f"127.0.0.1:{place.plain.rest_port}").list(BUCKET, ""))


@says("Connection was closed before we received a valid response from endpoint URL")
def _(place: Place) -> str:
    return refused(lambda: s3(place.plain, f"http://{place.plain.target}").list_buckets())


@says("failed to connect to all addresses; last error: … Socket closed")
def _(place: Place) -> str:
    return refused(lambda: dial(place.tls).list(BUCKET, ""))


@says("WRONG_VERSION_NUMBER")
def _(place: Place) -> str:
    return refused(lambda: dial(place.plain, credentials=place.trusted).list(BUCKET, ""))


@says("CERTIFICATE_VERIFY_FAILED")
def _(place: Place) -> str:
    return refused(lambda: dial(place.tls, credentials=grpc.ssl_channel_credentials()).list(BUCKET, ""))


@says("Hostname Verification Check failed.")
def _(place: Place) -> str:
    gateway = place.certified("elsewhere", "elsewhere.example")
    remedy = {"ssl_target_name_override": "elsewhere.example"}
    dial(gateway, credentials=place.trusted, **remedy).create_bucket(BUCKET)
    return refused(lambda: dial(gateway, credentials=place.trusted).list(BUCKET, ""))


# Credentials ---------------------------------------------------------------------------------------------------


@says("Unable to locate credentials")
def _(place: Place) -> str:
    script = (
        "import boto3; boto3.client('s3', endpoint_url='http://127.0.0.1:1', region_name='us-east-1').list_buckets()"
    )
    nowhere = {"HOME": str(place.directory), "AWS_EC2_METADATA_DISABLED": "true"}
    return run("-c", script, **nowhere).stderr


@says("SignatureDoesNotMatch")
def _(place: Place) -> str:
    return refused(lambda: s3(place.plain, secret_key="another-secret-of-somebody").list_buckets())


@says("InvalidAccessKeyId")
def _(place: Place) -> str:
    return refused(lambda: s3(place.plain, access_key="somebodyelse").list_buckets())


@says('The region "…" is wrong; expecting "…".')
def _(place: Place) -> str:
    return refused(lambda: s3(place.plain, region="eu-west-1").list_buckets())


@says("RequestTimeTooSkewed")
def _(place: Place) -> str:
    with clock_off_by(timedelta(minutes=-16)):
        return refused(lambda: s3(place.plain).list_buckets())


@says("Request has expired")
def _(place: Place) -> str:
    with clock_off_by(timedelta(hours=-1)):
        link = s3(place.plain).generate_presigned_url("list_objects_v2", {"Bucket": BUCKET}, ExpiresIn=60)
    return httpx.get(link, trust_env=False).text


@says("The provided token is malformed or otherwise invalid.")
def _(place: Place) -> str:
    stranger = dial(place.plain)
    stranger.metadata = (("authorization", bearer(place.plain.access_key, "another-secret-of-somebody")),)
    return refused(lambda: stranger.list(BUCKET, ""))


@says("Access Denied")
def _(place: Place) -> str:
    anonymous = dial(place.plain)
    anonymous.metadata = ()
    return refused(lambda: anonymous.list(BUCKET, ""))


# Calls ---------------------------------------------------------------------------------------------------------


@says("A message has at most 67108864 bytes. This one has …")
def _(place: Place) -> str:
    whole = s3_pb2.PutObjectRequest(bucket=BUCKET, key="large", data=bytes(64 * 1024**2))
    client = dial(place.plain)
    client.put(BUCKET, "large", whole.data)
    return refused(lambda: client.objects.PutObject(iter([whole]), metadata=client.metadata))


@says("CLIENT: Received message larger than max (… vs. …)")
def _(place: Place) -> str:
    dial(place.plain).put(BUCKET, "chunked", bytes(200_000))
    assert len(dial(place.plain).get(BUCKET, "chunked")) == 200_000
    return refused(lambda: dial(place.plain, max_receive_message_length=32 * 1024).get(BUCKET, "chunked"))


@says("Deadline Exceeded")
def _(place: Place) -> str:
    client, late = dial(place.plain), threading.Event()

    def stalled() -> Iterator[Any]:
        yield s3_pb2.PutObjectRequest(bucket=BUCKET, key="stalled", data=b"a")
        late.wait(SECONDS)

    said = refused(lambda: client.objects.PutObject(stalled(), metadata=client.metadata, timeout=0.2))
    late.set()
    assert "NOT_FOUND" in refused(lambda: client.head(BUCKET, "stalled"))
    return said


@says("There is no … here.")
def _(place: Place) -> str:
    with grpc.insecure_channel(place.plain.target) as channel:
        return refused(lambda: channel.unary_unary("/s3.ObjectService/PutObjectRetention")(b""))


@says("implies functionality that is not implemented.")
def _(place: Place) -> str:
    encrypted = {"Bucket": BUCKET, "Key": "key", "Body": b"", "ServerSideEncryption": "AES256"}
    return refused(lambda: s3(place.plain).put_object(**encrypted))


@says("Please reduce your request rate.")
def _(place: Place) -> str:
    gateway = place.start("busy", max_requests="1")
    client, done = dial(gateway), threading.Event()
    client.create_bucket(BUCKET)

    def slow() -> Iterator[Any]:
        yield s3_pb2.PutObjectRequest(bucket=BUCKET, key="slow", data=b"a")
        done.wait(SECONDS)

    under_way = client.objects.PutObject.future(slow(), metadata=client.metadata)
    while not (said := attempt(lambda: client.list(BUCKET, ""))):
        pass  # the upload has not arrived yet
    done.set()
    assert under_way.result().etag
    assert client.list(BUCKET, "").contents
    return said


@says("The bucket you tried to delete is not empty")
def _(place: Place) -> str:
    client = s3(place.plain)
    client.create_bucket(Bucket="full")
    upload = client.create_multipart_upload(Bucket="full", Key="begun")["UploadId"]
    said = refused(lambda: client.delete_bucket(Bucket="full"))
    client.abort_multipart_upload(Bucket="full", Key="begun", UploadId=upload)
    client.delete_bucket(Bucket="full")
    return said


@says("Your proposed upload is smaller than the minimum allowed size")
def _(place: Place) -> str:
    client, where = s3(place.plain), {"Bucket": BUCKET, "Key": "parts"}
    upload = client.create_multipart_upload(**where)["UploadId"]
    parts = [
        {
            "PartNumber": number,
            "ETag": client.upload_part(**where, UploadId=upload, PartNumber=number, Body=b"a")["ETag"],
        }
        for number in (1, 2)
    ]
    return refused(lambda: client.complete_multipart_upload(**where, UploadId=upload, MultipartUpload={"Parts": parts}))


@says("The stored object is damaged and cannot be returned whole.")
def _(place: Place) -> str:
    client = s3(place.plain)
    before = set(place.plain.root.glob("blobs/*/*"))
    client.put_object(Bucket=BUCKET, Key="kept", Body=bytes(100_000))
    (blob,) = set(place.plain.root.glob("blobs/*/*")) - before
    with blob.open("r+b") as file:
        file.seek(50_000)
        file.write(b"\1")
    return refused(lambda: client.get_object(Bucket=BUCKET, Key="kept")["Body"].read())


# In Python -----------------------------------------------------------------------------------------------------


@says("No module named 's3_pb2'")
def _(place: Place) -> str:
    script, stubs = "import s3_pb2; from s3_pb2_grpc import ObjectServiceStub", PAGE.parents[1] / "clients" / "python"
    assert run("-c", script, directory=place.directory, PYTHONPATH=str(stubs)).returncode == 0
    return run("-S", "-c", script, directory=place.directory).stderr


# ---------------------------------------------------------------------------------------------------------------


def attempt(act: Callable[[], object]) -> str:
    """What is said where it is refused, and nothing where it is not."""
    try:
        act()
    except grpc.RpcError as fault:
        return str(fault)
    return ""


@contextmanager
def clock_off_by(difference: timedelta) -> Iterator[None]:
    """The clock that botocore signs by is wrong, in Python's signers and in awscrt's."""

    def wrong(remove_tzinfo: bool = True) -> datetime:
        moment = datetime.now(UTC) + difference
        return moment.replace(tzinfo=None) if remove_tzinfo else moment

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("botocore.auth.get_current_datetime", wrong)
        patch.setattr("botocore.crt.auth.get_current_datetime", wrong)
        yield


@pytest.mark.parametrize("heading", HEADINGS)
def test_the_error_is_said_as_the_page_says_it(heading: str, place: Place) -> None:
    said = REPRODUCTIONS[heading](place)

    assert re.search(".*".join(re.escape(piece) for piece in heading.split("…")), said), said


def test_nothing_is_made_here_that_the_page_does_not_explain() -> None:
    assert set(REPRODUCTIONS) == set(HEADINGS)
