"""
What Prometheus is told of calls over REST, by the names that dashboards for HTTP have, and of the process and its disk.
"""

from __future__ import annotations

import contextlib
import json
import re
import time

import httpx
import pytest
from botocore.exceptions import ClientError
from prometheus_client.parser import text_string_to_metric_families

from loadtests.gateway import running

from .conftest import BEARER, client

SIZE = 200_000


def samples(gateway):
    """(name, labels) → value, as a gateway has them now."""
    text = httpx.get(f"{gateway.url}/-/metrics", trust_env=False).text
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


class Told:
    """What a gateway says, by name and some of the labels; summed where several series have them."""

    def __init__(self, gateway):
        self._samples = samples(gateway)

    def __call__(self, name, **labels):
        found = [
            value
            for (known, pairs), value in self._samples.items()
            if known == name and labels.items() <= dict(pairs).items()
        ]
        return sum(found) if found else None


@pytest.fixture(scope="module", params=["1", "2"], ids=["one process", "two workers"])
def told(request, tmp_path_factory):
    with running(tmp_path_factory.mktemp("metrics") / "root", settings={"RS3GW_WORKERS": request.param}) as gateway:
        asking = client(gateway)
        asking.create_bucket(Bucket="bucket")
        asking.put_object(Bucket="bucket", Key="key", Body=bytes(SIZE))
        for _ in range(3):
            assert SIZE == len(asking.get_object(Bucket="bucket", Key="key")["Body"].read())
        with contextlib.suppress(ClientError):
            asking.get_object(Bucket="bucket", Key="none")
        httpx.put(f"{gateway.url}/bucket?acl", trust_env=False)
        httpx.request("PROPFIND", f"{gateway.url}/bucket", trust_env=False)
        httpx.post(
            f"{gateway.url}/s3.BucketService/HeadBucket",
            content=json.dumps({"bucket": "bucket"}),
            headers=[("content-type", "application/json"), BEARER],
            trust_env=False,
        )
        time.sleep(1)  # what one worker did another one knows after a moment
        yield Told(gateway)


def test_requests_are_timed_by_method_route_status_and_operation(told):
    known = {"http_request_method": "GET", "http_route": "/{Bucket}/{Key+}", "operation": "GetObject"}
    name = "http_server_request_duration_seconds"

    assert 3 == told(f"{name}_count", http_response_status_code="200", url_scheme="http", **known)
    assert 1 == told(f"{name}_count", http_response_status_code="404", **known)
    assert 3 == told(f"{name}_bucket", http_response_status_code="200", le="+Inf", **known)
    assert 0 < told(f"{name}_sum", http_response_status_code="200", **known) < 60
    assert 1 == told(f"{name}_count", http_response_status_code="501", http_request_method="PUT", operation="")


def test_a_method_that_is_not_one_of_the_usual_ones_is_no_label(told):
    assert 1 == told("http_server_request_duration_seconds_count", http_request_method="_OTHER")
    assert told("http_server_request_duration_seconds_count", http_request_method="PROPFIND") is None


def test_bytes_are_counted_both_ways(told):
    assert SIZE == told("http_server_request_body_size_bytes_sum", operation="PutObject")
    assert 3 * SIZE == told(
        "http_server_response_body_size_bytes_sum", operation="GetObject", http_response_status_code="200"
    )
    assert 3 == told(
        "http_server_response_body_size_bytes_count", operation="GetObject", http_response_status_code="200"
    )
    # One without a body is no observation of an empty one.
    assert not told("http_server_request_body_size_bytes_count", operation="GetObject")


def test_an_rpc_of_a_browser_is_a_request_of_its_path(told):
    assert 1 == told("http_server_request_duration_seconds_count", http_route="/s3.BucketService/HeadBucket")
    assert 1 == told("rs3gw_requests_total", operation="HeadBucket", protocol="grpc", code="OK")


def test_pages_of_the_servers_own_are_not_counted(told):
    assert told("http_server_request_duration_seconds_count", http_route="/-/metrics") is None
    assert told("http_server_request_duration_seconds_count", http_route="/-/ready") is None


def test_calls_are_counted_by_s3s_code(told):
    assert 3 == told("rs3gw_requests_total", operation="GetObject", protocol="rest", code="OK")
    assert 1 == told("rs3gw_requests_total", operation="GetObject", protocol="rest", code="NoSuchKey")
    assert 4 == told("rs3gw_request_seconds_count", operation="GetObject", protocol="rest")
    assert 0 == told("rs3gw_requests_in_flight", protocol="rest")


def test_commits_are_counted(told):
    assert 2 == told("rs3gw_committed_mutations_total")
    assert 1 <= told("rs3gw_commit_seconds_count") <= 2


def test_the_process_its_disk_and_its_connections_are_seen(told):
    assert 1 == told("rs3gw_ready")
    assert told("rs3gw_storage_free_bytes") > 0
    assert told("rs3gw_connections_open", protocol="rest") >= 1
    assert told("process_resident_memory_bytes") > 10_000_000
    assert 0 < told("process_open_fds") < told("process_max_fds")
    assert told("process_cpu_seconds_total") > 0
    assert told("rs3gw_build_info") >= 1


def test_a_series_has_only_labels_that_are_few(told):
    named = {name for (_, pairs) in told._samples for name, _ in pairs}

    assert named <= {
        "code", "grpc_code", "grpc_method", "grpc_service", "grpc_type", "http_request_method",
        "http_response_status_code", "http_route", "le", "operation", "pid", "protocol", "url_scheme", "version",
    }  # fmt: skip
    assert not [pairs for _, pairs in told._samples if re.search(r"\bkey\b|'bucket'", str(pairs))]
