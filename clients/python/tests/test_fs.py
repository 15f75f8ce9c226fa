"""
The file system as programs use it: fsspec's own suite for all file systems, and pandas, pyarrow and zarr on top.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import fsspec
import pytest
from fsspec.tests.abstract import AbstractFixtures
from fsspec.tests.abstract.copy import AbstractCopyTests
from fsspec.tests.abstract.get import AbstractGetTests
from fsspec.tests.abstract.open import AbstractOpenTests
from fsspec.tests.abstract.pipe import AbstractPipeTests
from fsspec.tests.abstract.put import AbstractPutTests
from rs3gw_client import Client
from rs3gw_client.fs import BLOCK_BYTES, RS3GWFileSystem

from proof.gateway import Gateway

from .conftest import MIB

DATA = random.Random(4).randbytes(40 * MIB)  # noqa: S311  # the same in every run


class OurFixtures(AbstractFixtures):
    @pytest.fixture
    def fs(self, gateway: Gateway) -> RS3GWFileSystem:
        return made(gateway)

    @pytest.fixture
    def fs_path(self, fs: RS3GWFileSystem) -> Iterator[str]:
        fs.mkdir("abstract")
        yield "abstract"
        fs.rm("abstract", recursive=True)

    @pytest.fixture
    def supports_empty_directories(self) -> bool:
        return False


class TestCopy(AbstractCopyTests, OurFixtures):
    pass


class TestGet(AbstractGetTests, OurFixtures):
    pass


class TestOpen(AbstractOpenTests, OurFixtures):
    pass


class TestPipe(AbstractPipeTests, OurFixtures):
    pass


class TestPut(AbstractPutTests, OurFixtures):
    pass


def options(gateway: Gateway) -> dict[str, str]:
    return {"target": gateway.target, "key": gateway.access_key, "secret": gateway.secret_key}


def made(gateway: Gateway) -> RS3GWFileSystem:
    found = fsspec.filesystem("rs3gw", **options(gateway))
    assert isinstance(found, RS3GWFileSystem)
    return found


@pytest.fixture
def fs(gateway: Gateway) -> RS3GWFileSystem:
    return made(gateway)


@pytest.fixture
def bucket(fs: RS3GWFileSystem) -> Iterator[str]:
    fs.mkdir("files")
    yield "files"
    fs.rm("files", recursive=True)


@pytest.mark.parametrize("size", [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES + 5])
def test_a_file_that_was_written_is_read_as_it_was(fs: RS3GWFileSystem, bucket: str, size: int) -> None:
    with fs.open(f"{bucket}/file", "wb") as file:
        for at in range(0, size, MIB):
            file.write(DATA[at : min(at + MIB, size)])
    with fs.open(f"{bucket}/file", "rb") as file:
        assert file.read() == DATA[:size]

    assert fs.cat_file(f"{bucket}/file") == DATA[:size]
    assert fs.size(f"{bucket}/file") == size


def test_only_what_is_read_in_sequence_is_read_ahead(fs: RS3GWFileSystem, bucket: str) -> None:
    """A table's reader looks at its end first, and then at pieces here and there."""
    fs.pipe_file(f"{bucket}/file", DATA)
    with fs.open(f"{bucket}/file") as source:
        source.seek(-1000, 2)
        end = source.read()
        source.seek(20 * MIB)
        piece = source.read(MIB)
        asked = source.cache.total_requested_bytes
        following = source.read(MIB)
        asked_ahead = source.cache.total_requested_bytes - asked

    assert (end, piece, following) == (DATA[-1000:], DATA[20 * MIB : 21 * MIB], DATA[21 * MIB : 22 * MIB])
    assert asked == 1000 + MIB
    assert asked_ahead == MIB + BLOCK_BYTES


def test_a_file_is_read_ahead_from_its_beginning_on(fs: RS3GWFileSystem, bucket: str) -> None:
    fs.pipe_file(f"{bucket}/file", DATA)
    with fs.open(f"{bucket}/file") as source:
        pieces = list(iter(lambda: source.read(MIB), b""))
        asked = source.cache.total_requested_bytes

    assert b"".join(pieces) == DATA
    assert asked == len(DATA)


def test_a_file_is_not_there_before_it_is_closed(fs: RS3GWFileSystem, bucket: str) -> None:
    file = fs.open(f"{bucket}/file", "wb")
    file.write(DATA)
    assert not fs.exists(f"{bucket}/file")

    file.close()
    assert fs.size(f"{bucket}/file") == len(DATA)


def test_what_is_given_up_in_a_transaction_leaves_nothing(fs: RS3GWFileSystem, bucket: str, client: Client) -> None:
    def give_up() -> None:
        with fs.transaction:
            with fs.open(f"{bucket}/file", "wb") as file:
                file.write(DATA)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        give_up()

    assert not fs.exists(f"{bucket}/file")
    assert not client.call("ListMultipartUploads", bucket=bucket).uploads


@pytest.mark.parametrize("size", [10, 6 * MIB])
def test_a_file_is_appended_to(fs: RS3GWFileSystem, bucket: str, size: int) -> None:
    fs.pipe_file(f"{bucket}/file", DATA[:size])
    with fs.open(f"{bucket}/file", "ab") as file:
        file.write(b"and more")

    assert fs.cat_file(f"{bucket}/file") == DATA[:size] + b"and more"


def test_a_file_that_insists_on_being_new_is_refused_where_there_is_one(fs: RS3GWFileSystem, bucket: str) -> None:
    fs.pipe_file(f"{bucket}/file", b"first")
    with pytest.raises(FileExistsError):
        fs.open(f"{bucket}/file", "xb")
    late = fs.open(f"{bucket}/other", "xb")
    late.write(b"second")
    fs.pipe_file(f"{bucket}/other", b"first")
    with pytest.raises(FileExistsError):
        late.close()

    assert fs.cat_file(f"{bucket}/other") == b"first"
    assert fs.cat_file(f"{bucket}/file") == b"first"


def test_a_file_that_is_replaced_while_it_is_read_is_an_error(fs: RS3GWFileSystem, bucket: str) -> None:
    fs.pipe_file(f"{bucket}/file", DATA)
    with fs.open(f"{bucket}/file", "rb") as file:
        assert file.read(10) == DATA[:10]
        fs.pipe_file(f"{bucket}/file", DATA[::-1])

        file.seek(len(DATA) - 10)
        with pytest.raises(OSError, match="was replaced while it was read"):
            file.read()


@pytest.mark.parametrize(("start", "end"), [(5, 9), (None, -1), (-3, None), (-5, -2), (50 * MIB, None), (3, 2)])
def test_a_slice_is_what_python_has_for_it(
    fs: RS3GWFileSystem, bucket: str, start: int | None, end: int | None
) -> None:
    fs.pipe_file(f"{bucket}/file", DATA)

    assert fs.cat_file(f"{bucket}/file", start, end) == DATA[start:end]


def test_what_is_missing_is_missing(fs: RS3GWFileSystem, bucket: str) -> None:
    for path in (f"{bucket}/none", "nowhere/none", f"{bucket}/none/deeper"):
        assert not fs.exists(path)
        with pytest.raises(FileNotFoundError):
            fs.cat_file(path)
        with pytest.raises(FileNotFoundError):
            fs.ls(path)


def test_paths_are_walked_found_and_globbed(fs: RS3GWFileSystem, bucket: str) -> None:
    for key in ("a.txt", "b/c.txt", "b/d/e.bin"):
        fs.pipe_file(f"{bucket}/{key}", b"x")

    assert fs.find(bucket) == [f"{bucket}/a.txt", f"{bucket}/b/c.txt", f"{bucket}/b/d/e.bin"]
    assert fs.glob(f"{bucket}/**/*.txt") == [f"{bucket}/a.txt", f"{bucket}/b/c.txt"]
    assert fs.ls(f"{bucket}/b", detail=False) == [f"{bucket}/b/c.txt", f"{bucket}/b/d"]
    assert [root for root, _, _ in fs.walk(bucket)] == [bucket, f"{bucket}/b", f"{bucket}/b/d"]
    assert fs.isdir(f"{bucket}/b")
    assert not fs.isdir(f"{bucket}/a.txt")


def test_pandas_reads_the_parquet_that_it_wrote(gateway: Gateway, bucket: str) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame({"number": range(10_000), "text": [f"row {n}" for n in range(10_000)]})
    frame.to_parquet(f"rs3gw://{bucket}/frame.parquet", storage_options=options(gateway))

    found = pandas.read_parquet(f"rs3gw://{bucket}/frame.parquet", storage_options=options(gateway))
    pandas.testing.assert_frame_equal(frame, found)


def test_pyarrow_reads_a_dataset_of_many_files(fs: RS3GWFileSystem, bucket: str) -> None:
    arrow, dataset = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.dataset")
    table = arrow.table({"year": [2024, 2025, 2026] * 100, "value": list(range(300))})
    dataset.write_dataset(
        table, f"{bucket}/set", filesystem=fs, format="parquet", partitioning=["year"], partitioning_flavor="hive"
    )
    found = dataset.dataset(f"{bucket}/set", filesystem=fs, format="parquet", partitioning="hive")

    assert found.to_table(filter=dataset.field("year") == 2025)["value"].to_pylist() == list(range(1, 300, 3))


def test_zarr_keeps_an_array(gateway: Gateway, bucket: str) -> None:
    zarr, numpy = pytest.importorskip("zarr"), pytest.importorskip("numpy")
    numbers = numpy.arange(1_000_000, dtype="int32").reshape(1000, 1000)
    where = {"store": f"rs3gw://{bucket}/array.zarr", "storage_options": options(gateway)}
    stored = zarr.create_array(**where, shape=numbers.shape, chunks=(250, 250), dtype=numbers.dtype)
    stored[:] = numbers

    assert (zarr.open_array(**where, mode="r")[100:300, 5] == numbers[100:300, 5]).all()
