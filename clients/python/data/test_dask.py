"""dask's tables, in parts that are written and read side by side."""

from __future__ import annotations

import dask.dataframe
import fsspec
import pandas
import pytest
from pandas.testing import assert_frame_equal

ROWS = 20_000
FRAME = pandas.DataFrame(
    {
        "number": range(ROWS),
        "half": [row / 2 for row in range(ROWS)],
        "name": [f"row {row % 97}" for row in range(ROWS)],
    }
)


def test_a_table_in_parts_comes_back(bucket, options):
    dask.dataframe.from_pandas(FRAME, npartitions=5).to_parquet(f"{bucket}/table", storage_options=options)
    parts = fsspec.filesystem("rs3gw", **options).glob(f"{bucket}/table/*.parquet")
    found = dask.dataframe.read_parquet(f"{bucket}/table", storage_options=options).compute()

    assert len(parts) == 5
    assert_frame_equal(FRAME, found, check_names=False, check_dtype=False)


def test_columns_and_rows_are_chosen_where_they_are_read(bucket, options):
    dask.dataframe.from_pandas(FRAME, npartitions=5).to_parquet(f"{bucket}/table", storage_options=options)
    found = dask.dataframe.read_parquet(
        f"{bucket}/table", columns=["half"], filters=[("number", ">=", 19_000)], storage_options=options
    ).compute()

    assert list(found.columns) == ["half"]
    assert sorted(found["half"]) == [row / 2 for row in range(19_000, ROWS)]


def test_lines_of_many_files_are_one_table(bucket, options):
    dask.dataframe.from_pandas(FRAME, npartitions=3).to_csv(
        f"{bucket}/lines-*.csv", index=False, storage_options=options
    )
    found = dask.dataframe.read_csv(f"{bucket}/lines-*.csv", blocksize="64KiB", storage_options=options)

    assert found.npartitions > 3
    assert found["number"].sum().compute() == FRAME["number"].sum()


@pytest.mark.parametrize("scheduler", ["synchronous", "threads", "processes"])
def test_whoever_does_the_work_reads_the_same(bucket, options, scheduler):
    """Processes are spawned, and each makes a channel of its own of what was pickled."""
    dask.dataframe.from_pandas(FRAME, npartitions=4).to_parquet(f"{bucket}/table", storage_options=options)
    table = dask.dataframe.read_parquet(f"{bucket}/table", storage_options=options)

    assert table["number"].sum().compute(scheduler=scheduler) == FRAME["number"].sum()


def test_what_was_written_is_read_as_s3(bucket, options, s3fs_options):
    dask.dataframe.from_pandas(FRAME, npartitions=2).to_parquet(f"{bucket}/table", storage_options=options)
    name = bucket.removeprefix("rs3gw://")
    found = dask.dataframe.read_parquet(f"s3://{name}/table", storage_options=s3fs_options).compute()

    assert_frame_equal(FRAME, found, check_names=False, check_dtype=False)
