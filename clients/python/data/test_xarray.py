"""xarray's arrays, in chunks of zarr."""

from __future__ import annotations

import fsspec
import numpy
import pandas
import pytest
import xarray


def made(days: int, begin: str = "2026-01-01") -> xarray.Dataset:
    time = pandas.date_range(begin, periods=days)
    heat = numpy.random.default_rng(7).normal(size=(days, 40, 50))
    return xarray.Dataset(
        {"heat": (("time", "y", "x"), heat)},
        coords={"time": time, "y": numpy.arange(40), "x": numpy.arange(50)},
        attrs={"source": "a test"},
    )


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_dataset_comes_back(bucket, options, zarr_format):
    given = made(12)
    given.chunk(time=4).to_zarr(f"{bucket}/heat.zarr", storage_options=options, zarr_format=zarr_format)
    found = xarray.open_zarr(f"{bucket}/heat.zarr", storage_options=options)

    assert found["heat"].chunks[0] == (4, 4, 4)
    xarray.testing.assert_identical(given, found.compute())


def test_a_slice_reads_the_chunks_that_it_needs(bucket, options):
    """A chunk that is gone is not missed by who does not look at it."""
    given = made(12)
    given.chunk(time=4).to_zarr(f"{bucket}/heat.zarr", storage_options=options, zarr_format=3)
    fsspec.filesystem("rs3gw", **options).rm(f"{bucket}/heat.zarr/heat/c/2/0/0")
    found = xarray.open_zarr(f"{bucket}/heat.zarr", storage_options=options)["heat"]

    numpy.testing.assert_array_equal(given["heat"][:8], found[:8])
    assert numpy.isnan(found[8:]).all()


def test_days_are_appended(bucket, options):
    first, second = made(4), made(4, "2026-01-05")
    first.to_zarr(f"{bucket}/heat.zarr", storage_options=options)
    second.to_zarr(f"{bucket}/heat.zarr", storage_options=options, append_dim="time")
    found = xarray.open_zarr(f"{bucket}/heat.zarr", storage_options=options)

    xarray.testing.assert_identical(xarray.concat([first, second], "time"), found.compute())


def test_a_store_that_is_not_there_is_said_to_be_none(bucket, options):
    with pytest.raises(FileNotFoundError):
        xarray.open_zarr(f"{bucket}/none.zarr", storage_options=options)
