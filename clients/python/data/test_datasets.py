"""Hugging Face datasets, without a hub: from files, as a stream, and as they are saved."""

from __future__ import annotations

import json

import datasets
import fsspec
import pytest

ROWS = [{"id": row, "text": f"line {row}"} for row in range(2000)]


@pytest.fixture(autouse=True)
def quiet():
    datasets.disable_progress_bars()


def test_what_is_saved_is_loaded(bucket, options):
    given = datasets.Dataset.from_list(ROWS)
    given.save_to_disk(f"{bucket}/saved", storage_options=options, num_shards=3)
    shards = fsspec.filesystem("rs3gw", **options).glob(f"{bucket}/saved/*.arrow")
    found = datasets.load_from_disk(f"{bucket}/saved", storage_options=options)

    assert len(shards) == 3
    assert found.to_list() == ROWS


def test_splits_are_loaded_by_their_names(bucket, options):
    whole = datasets.Dataset.from_list(ROWS)
    datasets.DatasetDict(train=whole.select(range(1500)), test=whole.select(range(1500, 2000))).save_to_disk(
        f"{bucket}/splits", storage_options=options
    )
    found = datasets.load_from_disk(f"{bucket}/splits", storage_options=options)

    assert {name: len(split) for name, split in found.items()} == {"train": 1500, "test": 500}


def test_files_of_parquet_are_a_dataset(bucket, options, tmp_path):
    whole = datasets.Dataset.from_list(ROWS)
    for number in (0, 1):
        whole.shard(2, number).to_parquet(f"{bucket}/parts/{number}.parquet", storage_options=options)
    found = datasets.load_dataset(
        "parquet",
        data_files=f"{bucket}/parts/*.parquet",
        split="train",
        storage_options=options,
        cache_dir=str(tmp_path),
    )

    assert sorted(found.to_list(), key=lambda row: row["id"]) == ROWS


def test_lines_of_json_are_a_dataset(bucket, options, tmp_path):
    with fsspec.open(f"{bucket}/lines.jsonl", "w", **options) as target:
        target.writelines(json.dumps(row) + "\n" for row in ROWS)
    found = datasets.load_dataset(
        "json", data_files=f"{bucket}/lines.jsonl", split="train", storage_options=options, cache_dir=str(tmp_path)
    )

    assert found.to_list() == ROWS


def test_a_stream_reads_as_it_is_asked_and_keeps_nothing(bucket, options, tmp_path):
    datasets.Dataset.from_list(ROWS).to_parquet(f"{bucket}/rows.parquet", storage_options=options)
    found = datasets.load_dataset(
        "parquet",
        data_files=f"{bucket}/rows.parquet",
        split="train",
        streaming=True,
        storage_options=options,
        cache_dir=str(tmp_path),
    )

    assert list(found.take(3)) == ROWS[:3]
    assert sum(1 for _ in found) == len(ROWS)
    assert not list(tmp_path.rglob("*.arrow"))
