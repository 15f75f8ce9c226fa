"""
What is counted in plain numbers and poured is what prometheus-client would have counted itself.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.exposition import generate_latest

from rs3gw.errors import NoSuchKey
from rs3gw.operations import OPERATIONS
from rs3gw.telemetry import SECONDS, Telemetry, _Tally


def told(values, *, poured):
    """What Prometheus is told of these values, observed or poured in two portions: its lines, and their sum."""
    registry = CollectorRegistry()
    histogram = Histogram("seen", "Values.", ("which",), buckets=SECONDS, registry=registry)
    if poured:
        tally = _Tally(histogram, ("one",), SECONDS)
        for number, value in enumerate(values):
            tally.add(value)
            if number == len(values) // 2:
                tally.pour()
        tally.pour()
        tally.pour()
    else:
        for value in values:
            histogram.labels("one").observe(value)
    lines = generate_latest(registry).decode().splitlines()
    counts = [line for line in lines if line.startswith(("seen_bucket", "seen_count"))]
    return counts, registry.get_sample_value("seen_sum", {"which": "one"}) or 0


@given(st.lists(st.one_of(st.sampled_from(SECONDS), st.floats(min_value=0, max_value=1000))))
def test_a_tally_that_is_poured_is_a_histogram_that_has_observed(values):
    buckets, total = told(values, poured=True)
    expected, sum_of_all = told(values, poured=False)

    assert expected == buckets
    assert sum_of_all == pytest.approx(total)


def test_whoever_reads_the_metrics_reads_them_complete():
    telemetry = Telemetry(log_requests="none")
    with telemetry.observe("GetObject", "rest", "id"):
        during = telemetry.registry.get_sample_value("rs3gw_requests_in_flight", {"protocol": "rest"})
    with pytest.raises(NoSuchKey), telemetry.observe("GetObject", "rest", "id"):
        raise NoSuchKey(key="none")
    telemetry.answered(OPERATIONS["GetObject"], "GET", True, 200, 0.5, 0, 3)
    text = telemetry.render().decode()
    labels = (
        'http_request_method="GET",http_response_status_code="200",http_route="/{Bucket}/{Key+}",operation="GetObject"'
    )

    assert 1 == during
    assert 'rs3gw_requests_in_flight{protocol="rest"} 0.0' in text
    assert 'rs3gw_requests_total{code="OK",operation="GetObject",protocol="rest"} 1.0' in text
    assert 'rs3gw_requests_total{code="NoSuchKey",operation="GetObject",protocol="rest"} 1.0' in text
    assert 'rs3gw_request_seconds_count{operation="GetObject",protocol="rest"} 2.0' in text
    assert f'http_server_request_duration_seconds_sum{{{labels},url_scheme="https"}} 0.5' in text
    assert f'http_server_response_body_size_bytes_sum{{{labels},url_scheme="https"}} 3.0' in text
    assert "http_server_request_body_size_bytes_count" not in text
