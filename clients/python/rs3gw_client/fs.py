"""
``rs3gw://bucket/key`` for what reads and writes through fsspec: pandas, pyarrow, zarr, xarray, dask, datasets.

There are no directories: a path is one as long as a key lies under it.  Nothing is remembered between calls, so what a
listing shows is what there is.  A file that is read is one object from its first byte to its last: where it is replaced
meanwhile, reading it is an error.  One that is written appears when it is closed, whole.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from fsspec.asyn import AsyncFileSystem, sync
from fsspec.caching import ReadAheadCache, register_cache
from fsspec.callbacks import DEFAULT_CALLBACK, Callback
from fsspec.spec import AbstractBufferedFile
from rs3gw_auth import Bearer

from rs3gw_client import errors
from rs3gw_client.channel import TLS, from_environment
from rs3gw_client.client import AsyncClient
from rs3gw_client.core import LEAST_PART_BYTES, MIB, Progress, Ways
from rs3gw_client.objects import Entry, Part, Prefix

BLOCK_BYTES: Final = 8 * MIB
"""How much is read ahead at once, and the size of the parts of a file that is written."""
RANGE_BYTES: Final = 8 * MIB
"""What is more is read in several ranges at once."""
MOST_AT_ONCE: Final = 8

CLOSE_SECONDS: Final = 2.0

Details = dict[str, Any]


@contextmanager
def said_of(path: str) -> Iterator[None]:
    """What goes wrong, as programs that know files expect it."""
    try:
        yield
    except (errors.NoSuchKey, errors.NoSuchBucket) as fault:
        raise FileNotFoundError(path) from fault
    except errors.AccessDenied as fault:
        raise PermissionError(f"{path}: {fault}") from fault
    except (errors.BucketAlreadyExists, errors.BucketAlreadyOwnedByYou, errors.PreconditionFailed) as fault:
        raise FileExistsError(path) from fault
    except errors.S3Error as fault:
        raise OSError(f"{path}: {fault}") from fault


class RS3GWFileSystem(AsyncFileSystem):
    """
    The buckets of a gateway, over gRPC.

    ``target`` and the keys are those of the environment (rs3gw_client.channel.from_environment) unless they are given;
    ``key`` and ``secret`` are other names for ``access_key`` and ``secret_key``, which programs for s3fs use.  Any of
    ``tls_ca``, ``tls_cert``, ``tls_key`` and ``tls=True`` speaks TLS.
    """

    protocol = "rs3gw"
    root_marker = ""

    def __init__(
        self,
        target: str | None = None,
        access_key: str | None = None,
        secret_key: str | None = None,
        *,
        key: str | None = None,
        secret: str | None = None,
        tls: bool = False,
        tls_ca: str | None = None,
        tls_cert: str | None = None,
        tls_key: str | None = None,
        block_size: int = BLOCK_BYTES,
        **more: Any,
    ) -> None:
        super().__init__(**more)
        if block_size < LEAST_PART_BYTES:
            raise ValueError(f"block_size is at least {LEAST_PART_BYTES}: S3 has no smaller parts")
        self._how = from_environment()
        if target is not None:
            self._how["target"] = target
        access_key, secret_key = access_key or key, secret_key or secret
        if access_key is not None and secret_key is not None:
            self._how["credentials"] = Bearer(access_key, secret_key)
        if tls or tls_ca or tls_cert:
            self._how["tls"] = TLS(ca=tls_ca, cert=tls_cert, key=tls_key)
        self._ways = Ways(part_bytes=block_size, parallel=MOST_AT_ONCE)
        self.blocksize = block_size
        self._clients: weakref.WeakKeyDictionary[Any, AsyncClient] = weakref.WeakKeyDictionary()

    @property
    def client(self) -> AsyncClient:
        """The client of the loop that runs."""
        loop = asyncio.get_running_loop()
        if loop not in self._clients:
            self._clients[loop] = client = AsyncClient(**self._how, ways=self._ways)
            # At the end of the process at the latest: gRPC's threads must not outlive it.
            weakref.finalize(self, close, loop, client)
        return self._clients[loop]

    def split(self, path: str) -> tuple[str, str]:
        """The bucket and the key of a path."""
        bucket, _, key = self._strip_protocol(path).partition("/")
        return bucket, key

    # What there is

    async def _info(self, path: str, **_: Any) -> Details:
        bucket, key = self.split(path)
        with said_of(path):
            if not bucket:
                return directory("")
            if not key:
                await self.client.call("HeadBucket", bucket=bucket)
                return directory(bucket)
            try:
                info = await self.client.head(bucket, key)
            except errors.NoSuchKey:
                async for _entry in self.client.list(bucket, f"{key}/", page_keys=1):
                    return directory(f"{bucket}/{key}")
                raise
            found = file(bucket, Entry(key, info.size, info.etag, info.modified))
            return {**found, "ContentType": info.content_type, "metadata": dict(info.metadata)}

    async def _ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        bucket, key = self.split(path)
        found: list[Details] = []
        with said_of(path):
            if not bucket:
                found = [directory(each.name) for each in await self.client.buckets()]
            else:
                prefix = f"{key}/" if key else ""
                async for item in self.client.list(bucket, prefix, delimiter="/"):
                    if isinstance(item, Prefix):
                        found.append(directory(f"{bucket}/{item.prefix.rstrip('/')}"))
                    elif item.key != prefix:
                        found.append(file(bucket, item))
                if not found and key:
                    found = [each for each in [await self._info(path)] if each["type"] == "file"]
        return found if detail else [each["name"] for each in found]

    async def _find(
        self, path: str, maxdepth: int | None = None, withdirs: bool = False, detail: bool = False, **more: Any
    ) -> Any:
        bucket, key = self.split(path)
        if maxdepth is not None or withdirs or not bucket:
            found = await super()._find(path, maxdepth=maxdepth, withdirs=withdirs, detail=True, **more)
        else:
            found = {}
            with said_of(path):
                prefix = f"{key}/{more.get('prefix', '')}" if key else more.get("prefix", "")
                async for item in self.client.list(bucket, prefix):
                    if isinstance(item, Entry) and not item.key.endswith("/"):
                        found[f"{bucket}/{item.key}"] = file(bucket, item)
            if not found and key:
                try:
                    info = await self._info(path)
                except FileNotFoundError:
                    return {} if detail else []
                found = {info["name"]: info} if info["type"] == "file" else {}
        return found if detail else sorted(found)

    def modified(self, path: str) -> Any:
        """When an object was stored."""
        return self.info(path)["LastModified"]

    created = modified

    def checksum(self, path: str) -> str:
        """What changes when the object does."""
        return str(self.info(path)["ETag"])

    ukey = checksum

    # Bytes

    async def _cat_file(
        self, path: str, start: int | None = None, end: int | None = None, if_match: str | None = None, **_: Any
    ) -> bytes:
        bucket, key = self.split(path)
        if not key:
            raise IsADirectoryError(path)
        with said_of(path):
            if (start or 0) < 0 or (end or 0) < 0:
                size = (await self.client.head(bucket, key)).size
                start = max(size + start, 0) if start is not None and start < 0 else start
                end = size + end if end is not None and end < 0 else end
            begin = start or 0
            if end is not None and end <= begin:
                return b""
            try:
                download = await self.client.get(bucket, key, start=begin, end=end, if_match=if_match)
            except errors.InvalidRange:
                return b""  # a file has nothing after its end
            end = min(end, download.info.size) if end is not None else download.info.size
            if end - begin <= 2 * RANGE_BYTES:
                return await download.read()
            await download.close()
            return await self._ranges(bucket, key, begin, end, download.info.etag)

    async def _ranges(self, bucket: str, key: str, start: int, end: int, etag: str) -> bytes:
        """Bytes of one object, several ranges at once."""
        room = asyncio.Semaphore(MOST_AT_ONCE)

        async def fetch(at: int) -> list[bytes]:
            async with room:
                stop = min(at + RANGE_BYTES, end)
                async with await self.client.get(bucket, key, start=at, end=stop, if_match=etag) as download:
                    return [chunk async for chunk in download]

        async with asyncio.TaskGroup() as group:
            ranges = [group.create_task(fetch(at)) for at in range(start, end, RANGE_BYTES)]
        # Put together once: memory that is new costs more than the bytes that are moved into it.
        return b"".join(chunk for each in ranges for chunk in each.result())

    async def _pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        bucket, key = self.split(path)
        with said_of(path):
            await self.client.put(bucket, key, value, if_none_match="*" if mode == "create" else None)

    async def _put_file(
        self, lpath: str, rpath: str, callback: Callback = DEFAULT_CALLBACK, mode: str = "overwrite", **_: Any
    ) -> None:
        bucket, key = self.split(rpath)
        if is_directory(lpath) or not key:
            return
        facts: dict[str, Any] = {"if_none_match": "*"} if mode == "create" else {}
        with said_of(rpath):
            await self.client.upload(lpath, bucket, key, progress=told(callback), **facts)

    async def _get_file(self, rpath: str, lpath: str, callback: Callback = DEFAULT_CALLBACK, **_: Any) -> None:
        bucket, key = self.split(rpath)
        if is_directory(lpath) or not key:
            return
        with said_of(rpath):
            await self.client.download(bucket, key, lpath, progress=told(callback))

    async def _cp_file(self, path1: str, path2: str, **_: Any) -> None:
        source, (bucket, key) = self.split(path1), self.split(path2)
        with said_of(path1):
            await self.client.copy(source, bucket, key)

    # Removing and making

    async def _rm_file(self, path: str, **_: Any) -> None:
        bucket, key = self.split(path)
        with said_of(path):
            await self.client.delete(bucket, key)

    async def _rm(self, path: Any, recursive: bool = False, **_: Any) -> None:
        paths = await self._expand_path(path, recursive=recursive)
        keys: dict[str, list[str]] = {}
        emptied = []
        for bucket, key in map(self.split, paths):
            if key:
                keys.setdefault(bucket, []).append(key)
            else:
                emptied.append(bucket)
        for bucket, each in keys.items():
            with said_of(bucket):
                failed = await self.client.delete_many(bucket, each)
            if failed:
                raise OSError(f"{bucket}/{failed[0].key}: {failed[0].code}: {failed[0].message}")
        for bucket in emptied:
            await self._rmdir(bucket)

    async def _mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:
        bucket, key = self.split(path)
        if key and (not create_parents or await self._exists(bucket)):
            return  # a directory is there when a key is
        with said_of(path):
            if not key and await self._exists(bucket):
                raise FileExistsError(path)
            await self.client.create_bucket(bucket)

    async def _makedirs(self, path: str, exist_ok: bool = False) -> None:
        try:
            await self._mkdir(path, create_parents=True)
        except FileExistsError:
            if not exist_ok:
                raise

    async def _rmdir(self, path: str) -> None:
        bucket, key = self.split(path)
        if key:
            return
        with said_of(path):
            await self.client.delete_bucket(bucket)

    # Files

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        autocommit: bool = True,
        cache_options: Any = None,
        **more: Any,
    ) -> RS3GWFile:
        if "x" in mode and self.exists(path):
            # It is asked early for the caller's sake; what decides is the condition on which it is written.
            raise FileExistsError(path)
        return RS3GWFile(
            self,
            path,
            mode,
            block_size=max(block_size or self.blocksize, LEAST_PART_BYTES if mode != "rb" else 1),
            autocommit=autocommit,
            cache_options=cache_options,
            **{"cache_type": SequenceCache.name, **more},
        )


def close(loop: asyncio.AbstractEventLoop, client: AsyncClient) -> None:
    """Close a client of a loop, from another thread, or from the loop itself, where nothing can be waited for."""
    with suppress(RuntimeError):
        if asyncio.get_running_loop() is loop:
            loop.call_soon(lambda: asyncio.ensure_future(client.close()))
            return
    if loop.is_running():
        with suppress(Exception):
            asyncio.run_coroutine_threadsafe(client.close(), loop).result(CLOSE_SECONDS)


def is_directory(path: str) -> bool:
    """Whether there is one here."""
    return Path(path).is_dir()


def told(callback: Callback) -> Progress:
    """What tells fsspec how far a transfer is."""

    def progress(done: int, size: int | None) -> None:
        callback.set_size(size)
        callback.absolute_update(done)

    return progress


def directory(name: str) -> Details:
    """What fsspec says of one."""
    return {"name": name, "size": 0, "type": "directory"}


def file(bucket: str, entry: Entry) -> Details:
    """What fsspec says of an object."""
    return {
        "name": f"{bucket}/{entry.key}",
        "size": entry.size,
        "type": "file",
        "ETag": entry.etag,
        "LastModified": entry.modified,
    }


class SequenceCache(ReadAheadCache):
    """
    Reads ahead where a file is read in sequence, and elsewhere what is asked for and no more.

    A column of a table is a few MiB here and there: fsspec's own would fetch a block beyond each of them.
    """

    name = "rs3gw-sequence"

    blocksize: int

    def __init__(self, blocksize: int, fetcher: Any, size: int) -> None:
        super().__init__(blocksize, fetcher, size)
        self._next = 0
        """Where a read begins that goes on where the last one ended; the first one does at the beginning."""

    def _fetch(self, start: int | None, end: int | None) -> bytes:
        ahead, is_next = self.blocksize, (start or 0) == self._next
        self.blocksize = ahead if is_next else 0
        try:
            found: bytes = super()._fetch(start, end)
        finally:
            self.blocksize = ahead
        self._next = (start or 0) + len(found)
        return found


register_cache(SequenceCache, clobber=True)


class RS3GWFile(AbstractBufferedFile):
    """An object as a file: read by ranges, or written by parts and there when it is closed."""

    def __init__(self, fs: RS3GWFileSystem, path: str, mode: str, **more: Any) -> None:
        self._upload_id: str | None = None
        self._parts: list[Part] = []
        self._whole = b""
        super().__init__(fs, path, mode, **more)
        self._bucket, self._key = fs.split(path)
        if mode == "ab":
            self._continue()

    def _do(self, name: str, *given: Any, **more: Any) -> Any:
        async def act() -> Any:
            return await getattr(self.fs.client, name)(*given, **more)

        with said_of(self.path):
            return sync(self.fs.loop, act)

    def _fetch_range(self, start: int, end: int) -> Any:
        try:
            return sync(self.fs.loop, self.fs._cat_file, self.path, start, end, if_match=self.details["ETag"])
        except FileExistsError as fault:
            raise OSError(f"{self.path} was replaced while it was read") from fault

    def _continue(self) -> None:
        """Begin with what is there."""
        try:
            size = self.fs.info(self.path)["size"]
        except FileNotFoundError:
            return
        if size < LEAST_PART_BYTES:
            self.write(self.fs.cat_file(self.path))
            return
        self._upload_id = self._do("create_upload", self._bucket, self._key)
        copied = self._do(
            "call",
            "UploadPartCopy",
            bucket=self._bucket,
            key=self._key,
            upload_id=self._upload_id,
            part_number=1,
            copy_source=f"{self._bucket}/{self._key}",
        )
        self._parts.append(Part(1, copied.etag, size))
        self.loc = size
        self.offset = size

    def _initiate_upload(self) -> None:
        # What is closed before a block is full is put whole.
        if self._upload_id is None and self.buffer.tell() >= self.blocksize:
            self._upload_id = self._do("create_upload", self._bucket, self._key)

    def _upload_chunk(self, final: bool = False) -> bool:
        data = self.buffer.getvalue()
        if self._upload_id is None and not final:
            self._initiate_upload()
        if self._upload_id is None:
            self._whole = data
        elif data:
            part = self._do("upload_part", self._bucket, self._key, self._upload_id, len(self._parts) + 1, bytes(data))
            self._parts.append(part)
        if final and self.autocommit:
            self.commit()
        return True

    def close(self) -> None:
        """Write what is left, and let the object be there.  A file that could not be written is closed all the same."""
        try:
            super().close()
        finally:
            self.closed = True

    def commit(self) -> None:
        """Let the object be there."""
        insisting = {"if_none_match": "*"} if "x" in self.mode else {}
        if self._upload_id is None:
            self._do("put", self._bucket, self._key, bytes(self._whole), **insisting)
        else:
            self._do("complete_upload", self._bucket, self._key, self._upload_id, self._parts, **insisting)
        self._upload_id, self._whole = None, b""

    def discard(self) -> None:
        """Let nothing of it be there."""
        if self._upload_id is not None:
            self._do("abort_upload", self._bucket, self._key, self._upload_id)
        self._upload_id, self._whole = None, b""
