"""
The fixtures as somebody uses them who installed rs3gw for their own tests, in a pytest of their own.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

import boto3
import grpc
import pytest
import s3_pb2
from botocore.exceptions import ClientError
from s3_pb2_grpc import BucketServiceStub

from rs3gw.testing import LocalGateway, gateway

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]


def test_a_test_has_an_empty_gateway_of_its_own(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("turn", range(5))
        def test_it(rs3gw, turn):
            s3 = rs3gw.boto3_client()
            assert s3.list_buckets()["Buckets"] == []
            s3.create_bucket(Bucket="mine")
            s3.put_object(Bucket="mine", Key="key", Body=b"hello")
            assert s3.get_object(Bucket="mine", Key="key")["Body"].read() == b"hello"
        """
    )
    pytester.runpytest_inprocess("-q", "-p", "no:cacheprovider").assert_outcomes(passed=5)


def test_tests_of_a_session_share_one(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        def test_first(rs3gw_session):
            rs3gw_session.boto3_client().create_bucket(Bucket="shared")

        def test_second(rs3gw_session):
            assert [b["Name"] for b in rs3gw_session.boto3_client().list_buckets()["Buckets"]] == ["shared"]
        """
    )
    pytester.runpytest_inprocess("-q").assert_outcomes(passed=2)


def test_both_protocols_show_the_same_and_programs_find_it_by_their_environment(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        import os, subprocess, sys
        sys.path.insert(0, {str(ROOT / "clients" / "python")!r})
        from s3_pb2 import ListBucketsRequest
        from s3_pb2_grpc import BucketServiceStub

        def test_it(rs3gw):
            script = "import boto3; boto3.client('s3').create_bucket(Bucket='far')"
            subprocess.run([sys.executable, "-c", script], env=os.environ | rs3gw.environment(), check=True)
            with rs3gw.grpc_channel() as channel:
                answer = BucketServiceStub(channel).ListBuckets(ListBucketsRequest(), metadata=rs3gw.metadata)
            assert [bucket.name for bucket in answer.buckets] == ["far"]
        """
    )
    pytester.runpytest_inprocess("-q").assert_outcomes(passed=1)


def test_asynchronous_tests_have_it_too(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import asyncio, pytest

        @pytest.mark.asyncio
        async def test_it(rs3gw):
            s3 = rs3gw.boto3_client()
            await asyncio.to_thread(s3.create_bucket, Bucket="mine")
            assert len((await asyncio.to_thread(s3.list_buckets))["Buckets"]) == 1
        """
    )
    pytester.runpytest_subprocess("-q").assert_outcomes(passed=1)


def test_workers_of_xdist_do_not_meet(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("turn", range(12))
        def test_it(rs3gw, rs3gw_session, turn):
            rs3gw.boto3_client().create_bucket(Bucket="mine")
            rs3gw_session.boto3_client().create_bucket(Bucket=f"mine-{turn}")
        """
    )
    pytester.runpytest_subprocess("-q", "-n", "2").assert_outcomes(passed=12)


@pytest.mark.parametrize("how", ["flag", "ini", "marker"])
def test_the_disk_is_there_for_who_asks(pytester: pytest.Pytester, how: str) -> None:
    mark = '@pytest.mark.rs3gw(storage="disk")' if how == "marker" else ""
    pytester.makepyfile(
        f"""
        import pytest

        {mark}
        def test_it(rs3gw, tmp_path_factory):
            rs3gw.boto3_client().create_bucket(Bucket="mine")
            assert list(tmp_path_factory.getbasetemp().glob("rs3gw*/root/index*"))
        """
    )
    if how == "ini":
        pytester.makeini("[pytest]\nrs3gw_storage = disk\n")
    flags = ["--rs3gw-storage=disk"] if how == "flag" else []
    pytester.runpytest_inprocess("-q", *flags).assert_outcomes(passed=1)


def test_a_storage_that_is_none_is_refused_before_any_test(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nrs3gw_storage = tape\n")
    result = pytester.runpytest_subprocess()

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*rs3gw_storage is one of memory, disk*"])


def test_a_run_that_does_not_ask_for_it_imports_nothing_of_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_it():
            assert not [name for name in sys.modules if name.startswith("rs3gw.") and name != "rs3gw.pytest_plugin"]
            assert "grpc" not in sys.modules
        """
    )
    pytester.runpytest_subprocess("-q", "-p", "no:asyncio").assert_outcomes(passed=1)


def test_grpc_is_not_imported_for_who_speaks_rest(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_it(rs3gw):
            rs3gw.boto3_client().list_buckets()
            assert "grpc" not in sys.modules
        """
    )
    pytester.runpytest_subprocess("-q").assert_outcomes(passed=1)


def test_signatures_are_checked_as_in_production() -> None:
    with gateway() as local:
        stranger = local.boto3_client(aws_secret_access_key="another-secret-of-somebody")

        with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
            stranger.list_buckets()


def test_what_is_closed_listens_no_more_and_its_neighbours_go_on() -> None:
    first, second = LocalGateway(), LocalGateway()
    with first.grpc_channel() as channel:
        BucketServiceStub(channel).ListBuckets(s3_pb2.ListBucketsRequest(), metadata=first.metadata)
        first.close()
        first.close()
        with pytest.raises(grpc.RpcError, match="UNAVAILABLE"):
            BucketServiceStub(channel).ListBuckets(s3_pb2.ListBucketsRequest(), metadata=first.metadata)
    second.boto3_client().create_bucket(Bucket="mine")
    second.close()


def test_a_root_is_kept_for_who_names_one(tmp_path: Path) -> None:
    for expected in ([], ["mine"]):
        with gateway(root=tmp_path / "root") as local:
            client: boto3.client = local.boto3_client()
            assert [bucket["Name"] for bucket in client.list_buckets()["Buckets"]] == expected
            client.create_bucket(Bucket="mine")


def test_the_example_of_the_readme_passes(pytester: pytest.Pytester) -> None:
    section = (ROOT / "README.md").read_text().partition("## In your tests")[2].partition("\n## ")[0]
    (example,) = re.findall(r"```python\n(.*?)```", section, re.S)
    pytester.makepyfile(example)

    outcomes = pytester.runpytest_inprocess("-q").parseoutcomes()
    assert outcomes.get("passed", 0) >= 1
    assert not outcomes.keys() & {"failed", "errors"}


def test_a_gateway_is_up_and_gone_in_the_time_that_a_test_has() -> None:
    """Not a benchmark: a bound that is missed only where something waits."""
    LocalGateway().close()
    began = time.perf_counter()
    for _ in range(20):
        LocalGateway().close()

    assert (time.perf_counter() - began) / 20 < 0.1
