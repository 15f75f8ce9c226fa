"""
The index: one relational schema in SQLite, and every statement that is made on it.

A row is an object, an upload, a part or a blob; a listing is a walk of a primary key.  The rows of objects are
small because listings read them whole: inline content stands in a table of its own.  Keys are TEXT in binary
collation, which orders them by their UTF-8 bytes.  Reads are functions of a connection; mutations are functions
of a connection inside the committer's transaction.

A blob's row has its seal, and counts the extents that name it.  When the count falls to zero the row goes, in the
transaction that let go of it, and the file's name is handed back to be removed after the commit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache, partial
from itertools import chain, groupby
from operator import itemgetter
from typing import Any, TypeVar

from apsw import Connection, ConstraintError
from apsw import Error as IndexFault

from rs3gw.engine.memory import algorithms, completed
from rs3gw.engine.ports import (
    EMPTY,
    NULL_VERSION,
    Bucket,
    BucketExists,
    BucketMissing,
    BucketOccupied,
    Completed,
    Condition,
    Content,
    Entry,
    Extent,
    Facts,
    Object,
    ObjectMissing,
    ObjectPart,
    Part,
    PartMissing,
    Upload,
    UploadMissing,
    moment,
    stamp,
)
from rs3gw.engine.seals import Seal

COMPLETED_KEPT = 10_000
"""How many completed uploads are remembered, so that completing one again is answered the same."""

FREE_PAGES, FREE_SHARE = 1024, 4
"""Free pages that the index keeps for what comes next: so many (4 MiB), or a quarter of its pages."""

LEAST_GIVEN, MOST_GIVEN = 32, 1024
"""How many of the others one commit gives back: it takes 0.2 ms longer, and up to 5 ms where many were freed."""

MOST_ROWS = 32
"""The most rows of one statement: beyond this they save nothing, and each number of rows is a statement to be kept."""

SCHEMA = """
CREATE TABLE buckets (
    name TEXT PRIMARY KEY, region TEXT NOT NULL, created INTEGER NOT NULL, documents TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE objects (
    bucket TEXT NOT NULL, key TEXT NOT NULL, version_id TEXT NOT NULL,
    size INTEGER NOT NULL, modified INTEGER NOT NULL, etag TEXT NOT NULL,
    algorithms TEXT NOT NULL, checksum_type TEXT,
    facts TEXT NOT NULL, parts TEXT, extents TEXT, inline INTEGER,
    PRIMARY KEY (bucket, key, version_id)
) WITHOUT ROWID;

CREATE TABLE inlines (id INTEGER PRIMARY KEY, digest BLOB NOT NULL, content BLOB NOT NULL);

CREATE TABLE blobs (
    id TEXT PRIMARY KEY, named INTEGER NOT NULL, size INTEGER NOT NULL, digest BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE uploads (
    bucket TEXT NOT NULL, key TEXT NOT NULL, upload_id TEXT NOT NULL UNIQUE,
    initiated INTEGER NOT NULL, facts TEXT NOT NULL, algorithm TEXT,
    initiator_id TEXT NOT NULL, initiator_name TEXT NOT NULL,
    PRIMARY KEY (bucket, key, upload_id)
) WITHOUT ROWID;

CREATE TABLE parts (
    upload_id TEXT NOT NULL, number INTEGER NOT NULL,
    size INTEGER NOT NULL, etag TEXT NOT NULL, modified INTEGER NOT NULL,
    checksums TEXT NOT NULL, extents TEXT NOT NULL,
    PRIMARY KEY (upload_id, number)
) WITHOUT ROWID;

CREATE TABLE completed (
    id INTEGER PRIMARY KEY, upload_id TEXT NOT NULL UNIQUE,
    bucket TEXT NOT NULL, key TEXT NOT NULL, etag TEXT NOT NULL, parts TEXT NOT NULL
);
"""

_COLUMNS = "bucket, key, version_id, size, modified, etag, algorithms, checksum_type, facts, parts"
"""Of an object, in the order of ``_row``: all but where its content is."""

PUTS = f"""
CREATE TEMP VIEW puts ({_COLUMNS}, digest, content)
    AS SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL;

CREATE TEMP TRIGGER put INSTEAD OF INSERT ON puts BEGIN
    SELECT RAISE(ABORT, 'there is no such bucket')
        WHERE NOT EXISTS (SELECT 1 FROM buckets WHERE name = new.bucket);
    SELECT RAISE(ABORT, 'what was there is in files')
        FROM objects WHERE (bucket, key, version_id) = (new.bucket, new.key, new.version_id) AND inline IS NULL;
    DELETE FROM inlines WHERE id = (
        SELECT inline FROM objects WHERE (bucket, key, version_id) = (new.bucket, new.key, new.version_id)
    );
    INSERT INTO inlines (digest, content) VALUES (new.digest, new.content);
    INSERT OR REPLACE INTO objects ({_COLUMNS}, extents, inline) VALUES (
        new.bucket, new.key, new.version_id, new.size, new.modified, new.etag, new.algorithms, new.checksum_type,
        new.facts, new.parts, NULL, last_insert_rowid()
    );
END;
"""
"""What ``put_objects`` needs of a connection: a row that is put there is an object with its content."""

Freed = list[str]
"""The blobs that nothing names any more; their files go after the commit."""

Place = tuple[str, str, str]
"""(bucket, key, version id) of an object."""

Item = TypeVar("Item")


# Values and columns ------------------------------------------------------------------------------------------


def pack(facts: Facts) -> str:
    """Facts as a column; what is empty takes no room."""
    said = {
        "h": facts.headers,
        "m": facts.metadata,
        "t": facts.tags,
        "c": facts.checksums,
    }
    return _written({name: value for name, value in said.items() if value})


def unpack(packed: str, etag: str, checksum_type: str | None) -> Facts:
    """The facts of a column."""
    get = _scan(packed, 0)[0].get
    return Facts(etag, get("h", EMPTY), get("m", EMPTY), get("t", EMPTY), get("c", EMPTY), checksum_type)


# json.dumps makes an encoder each time it is asked for other separators than its own.
_written = json.JSONEncoder(separators=(",", ":")).encode

# What json.loads does once it has looked for white space and a byte order mark: a third of its time.
_scan: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder().scan_once  # type: ignore[attr-defined]


def pack_extents(extents: Sequence[Extent]) -> str:
    """Extents as a column."""
    return _written([(extent.blob, extent.offset, extent.size) for extent in extents])


def unpack_extents(packed: str | None) -> tuple[Extent, ...]:
    """The extents of a column."""
    return tuple(Extent(*each) for each in json.loads(packed)) if packed else ()


def pack_parts(parts: Sequence[ObjectPart]) -> str | None:
    """The parts of an object as a column."""
    if not parts:
        return None
    return _written([(part.number, part.size, dict(part.checksums)) for part in parts])


def unpack_parts(packed: str | None) -> tuple[ObjectPart, ...]:
    """The parts of an object from a column."""
    if packed is None:
        return ()
    return tuple(ObjectPart(number=number, size=size, checksums=sums) for number, size, sums in json.loads(packed))


# Reads -------------------------------------------------------------------------------------------------------


def find_bucket(connection: Connection, name: str) -> Bucket:
    """Raises BucketMissing."""
    row = connection.execute("SELECT name, region, created, documents FROM buckets WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise BucketMissing(name)
    return _bucket(row)


def _bucket(row: Sequence[Any]) -> Bucket:
    name, region, created, documents = row
    return Bucket(name=name, region=region, created=moment(created), documents=json.loads(documents))


def find_buckets(connection: Connection, prefix: str, after: str, limit: int) -> list[Bucket]:
    """In the order of their names."""
    rows = connection.execute(
        "SELECT name, region, created, documents FROM buckets"
        " WHERE name > ? AND substr(name, 1, ?) = ? ORDER BY name LIMIT ?",
        (after, len(prefix), prefix, limit),
    )
    return [_bucket(row) for row in rows]


_OBJECT = (
    "SELECT size, modified, etag, checksum_type, facts, parts, extents,"
    # Measured: a fifth of what a LEFT JOIN costs, and 0.4 µs for the second one.
    " (SELECT content FROM inlines WHERE id = objects.inline), (SELECT digest FROM inlines WHERE id = objects.inline)"
    " FROM objects WHERE bucket = ? AND key = ? AND version_id = ?"
)


def find_object(connection: Connection, bucket: str, key: str, version_id: str | None = None) -> Object | None:
    """The object, or None; whether the bucket exists is not asked."""
    version_id = version_id or NULL_VERSION
    row = connection.execute(_OBJECT, (bucket, key, version_id)).fetchone()
    if row is None:
        return None
    size, modified, etag, checksum_type, facts, parts, extents, inline, digest = row
    content = Content(None, unpack_extents(extents)) if inline is None else Content(inline, (), digest)
    return Object(
        bucket,
        key,
        version_id,
        size,
        moment(modified),
        unpack(facts, etag, checksum_type),
        content,
        () if parts is None else unpack_parts(parts),
    )


def scan_objects(
    connection: Connection, bucket: str, start: str, inclusive: bool, end: str | None, limit: int
) -> list[Entry]:
    """A run of the primary key."""
    compare, bound = (">=" if inclusive else ">"), ("" if end is None else " AND key < ?")
    rows = connection.execute(
        "SELECT key, version_id, size, modified, etag, algorithms, checksum_type FROM objects"
        f" WHERE bucket = ? AND key {compare} ?{bound} ORDER BY key LIMIT ?",
        (bucket, start, limit) if end is None else (bucket, start, end, limit),
    )
    return list(map(_entry, rows))


# What Entry._make does without a function of Python's: a page has a thousand.
_entry: Callable[[Any], Entry] = partial(tuple.__new__, Entry)


_UPLOAD = "SELECT bucket, key, upload_id, initiated, facts, algorithm, initiator_id, initiator_name FROM uploads"


def _upload(row: Sequence[Any]) -> Upload:
    bucket, key, upload_id, initiated, packed, algorithm, initiator_id, initiator_name = row
    facts = json.loads(packed)
    return Upload(
        bucket=bucket,
        key=key,
        upload_id=upload_id,
        initiated=moment(initiated),
        facts=unpack(json.dumps(facts["facts"]), "", facts["type"]),
        checksum_algorithm=algorithm,
        initiator=(initiator_id, initiator_name),
    )


def find_upload(connection: Connection, bucket: str, key: str, upload_id: str) -> Upload:
    """Raises UploadMissing, with what became of it where that is remembered."""
    row = connection.execute(
        f"{_UPLOAD} WHERE bucket = ? AND key = ? AND upload_id = ?", (bucket, key, upload_id)
    ).fetchone()
    if row is not None:
        return _upload(row)
    ended = connection.execute(
        "SELECT etag, parts FROM completed WHERE upload_id = ? AND bucket = ? AND key = ?", (upload_id, bucket, key)
    ).fetchone()
    if ended is None:
        raise UploadMissing()
    parts = tuple((number, etag) for number, etag in json.loads(ended[1]))
    raise UploadMissing(Completed(bucket=bucket, key=key, upload_id=upload_id, etag=ended[0], parts=parts))


def scan_uploads(
    connection: Connection,
    bucket: str,
    start: tuple[str, str],
    inclusive: bool,
    end: str | None,
    limit: int,
) -> list[Upload]:
    """A run of the primary key."""
    compare, bound = (">=" if inclusive else ">"), ("" if end is None else " AND key < ?")
    values: list[Any] = [bucket, *start, *([] if end is None else [end]), limit]
    rows = connection.execute(
        f"{_UPLOAD} WHERE bucket = ? AND (key, upload_id) {compare} (?, ?){bound} ORDER BY key, upload_id LIMIT ?",
        values,
    )
    return [_upload(row) for row in rows]


_PART = "SELECT number, size, etag, modified, checksums, extents FROM parts WHERE upload_id = ?"


def _part(row: Sequence[Any]) -> Part:
    number, size, etag, modified, checksums, extents = row
    return Part(
        number=number,
        size=size,
        etag=etag,
        modified=moment(modified),
        content=Content(extents=unpack_extents(extents)),
        checksums=json.loads(checksums),
    )


def find_parts(connection: Connection, upload_id: str, after: int, limit: int) -> list[Part]:
    """In the order of their numbers."""
    return [
        _part(row)
        for row in connection.execute(f"{_PART} AND number > ? ORDER BY number LIMIT ?", (upload_id, after, limit))
    ]


def is_blob(connection: Connection, blob: str) -> bool:
    """Whether a record names it."""
    return connection.execute("SELECT 1 FROM blobs WHERE id = ?", (blob,)).fetchone() is not None


def find_seal(connection: Connection, blob: str) -> Seal | None:
    """What a blob was when it was stored; None where no record names it."""
    row = connection.execute("SELECT size, digest FROM blobs WHERE id = ?", (blob,)).fetchone()
    return None if row is None else Seal(*row)


# Mutations ---------------------------------------------------------------------------------------------------


def give_back(connection: Connection) -> None:
    """
    Give the file system back a share of the pages that are free beyond what is kept.

    Called in every commit, so that the file follows what is stored without ever being rewritten at once.
    """
    free: int = connection.execute("PRAGMA freelist_count").get
    if free > FREE_PAGES:
        beyond = free - max(FREE_PAGES, connection.execute("PRAGMA page_count").get // FREE_SHARE)
        if beyond > 0:
            given = min(max(LEAST_GIVEN, beyond // 8), MOST_GIVEN)
            connection.execute(f"PRAGMA incremental_vacuum({given})", can_cache=False).fetchall()


def _is_bucket(connection: Connection, name: str) -> bool:
    return connection.execute("SELECT 1 FROM buckets WHERE name = ?", (name,)).fetchone() is not None


def _buckets(connection: Connection, records: Sequence[Object] | Sequence[Place]) -> set[str]:
    """Those that there are, of the buckets of these objects or places."""
    return {name for name in {record[0] for record in records} if _is_bucket(connection, name)}


def _require_bucket(connection: Connection, name: str) -> None:
    if not _is_bucket(connection, name):
        raise BucketMissing(name)


Staged = Callable[[str], Seal | None]
"""The seal of a blob that is written and that no record names yet; None for any other."""


def _name(connection: Connection, extents: Sequence[Extent], staged: Staged) -> None:
    """Count the extents on their blobs; one that nobody names and nobody staged is gone.  Raises ObjectMissing."""
    for extent in extents:
        connection.execute("UPDATE blobs SET named = named + 1 WHERE id = ?", (extent.blob,))
        if not connection.changes():
            seal = staged(extent.blob)
            if seal is None:
                raise ObjectMissing(extent.blob)
            connection.execute("INSERT INTO blobs (id, named, size, digest) VALUES (?, 1, ?, ?)", (extent.blob, *seal))


def _unname(connection: Connection, extents: Sequence[Extent]) -> Freed:
    freed: Freed = []
    for extent in extents:
        connection.execute("UPDATE blobs SET named = named - 1 WHERE id = ?", (extent.blob,))
        connection.execute("DELETE FROM blobs WHERE id = ? AND named = 0", (extent.blob,))
        if connection.changes():
            freed.append(extent.blob)
    return freed


def create_bucket(connection: Connection, bucket: Bucket) -> None:
    """Raises BucketExists."""
    if connection.execute("SELECT 1 FROM buckets WHERE name = ?", (bucket.name,)).fetchone():
        raise BucketExists(bucket.name)
    connection.execute(
        "INSERT INTO buckets (name, region, created, documents) VALUES (?, ?, ?, ?)",
        (bucket.name, bucket.region, stamp(bucket.created), json.dumps(dict(bucket.documents))),
    )


def delete_bucket(connection: Connection, name: str) -> None:
    """Raises BucketMissing, BucketOccupied."""
    _require_bucket(connection, name)
    for table in ("objects", "uploads"):
        if connection.execute(f"SELECT 1 FROM {table} WHERE bucket = ? LIMIT 1", (name,)).fetchone():
            raise BucketOccupied(name)
    connection.execute("DELETE FROM completed WHERE bucket = ?", (name,))
    connection.execute("DELETE FROM buckets WHERE name = ?", (name,))


def set_document(connection: Connection, bucket: str, kind: str, text: str | None) -> None:
    """Raises BucketMissing."""
    documents = dict(find_bucket(connection, bucket).documents)
    documents.pop(kind, None)
    if text is not None:
        documents[kind] = text
    connection.execute("UPDATE buckets SET documents = ? WHERE name = ?", (json.dumps(documents), bucket))


def put_object(
    connection: Connection,
    made: Object,
    condition: Condition | None,
    staged: Staged,
) -> Freed:
    """Publish; the blobs that what was there alone had named are freed.  Raises BucketMissing, ObjectMissing."""
    _require_bucket(connection, made.bucket)
    if condition is not None:
        condition(find_object(connection, made.bucket, made.key))
    # The new names come first: an object copied onto itself must not free what it keeps.
    _name(connection, made.content.extents, staged)
    place = made[:3]
    freed = _remove(connection, [place]).get(place, [])
    inline = _keep(connection, made.content)
    extents = pack_extents(made.content.extents) if inline is None else None
    connection.execute(
        f"INSERT INTO objects ({_COLUMNS}, extents, inline) VALUES {_marks(12, 1)}", (*_row(made), extents, inline)
    )
    return freed


def put_objects(connection: Connection, puts: Sequence[Object]) -> list[tuple[Object, Freed] | BucketMissing]:
    """
    Publish objects whose content stands in the index, as ``put_object`` does each, in one statement for many.

    Every statement lets go of the interpreter and has to wait for it again, and beside a busy loop that takes longer
    than SQLite does.  The connection is one of those that ``PUTS`` was said to.
    """
    outcomes: list[tuple[Object, Freed] | BucketMissing] = []
    for run in _runs(puts):
        values = [value for made in run for value in (*_row(made), made.content.digest, made.content.inline)]
        try:
            connection.execute(f"INSERT INTO puts VALUES {_marks(12, len(run))}", values)
        except ConstraintError:
            # One of them is refused by the trigger, so none of them was put.
            outcomes += [_put_alone(connection, made) for made in run]
        else:
            outcomes += [(made, []) for made in run]
    return outcomes


def _put_alone(connection: Connection, made: Object) -> tuple[Object, Freed] | BucketMissing:
    try:
        return made, put_object(connection, made, None, staged=lambda blob: None)
    except BucketMissing as fault:
        return fault


def _take_out(connection: Connection, run: Sequence[Place], freed: dict[Place, Freed]) -> list[Place]:
    """Remove what these objects hold and leave their rows; the places that have one."""
    there: list[Any] = connection.execute(
        "SELECT bucket, key, version_id, extents, inline FROM objects"
        f" WHERE (bucket, key, version_id) IN (VALUES {_marks(3, len(run))})",
        [value for place in run for value in place],
    ).fetchall()
    if inlines := [row[4] for row in there if row[4] is not None]:
        connection.execute(f"DELETE FROM inlines WHERE id IN (VALUES {_marks(1, len(inlines))})", inlines)
    for bucket, key, version_id, extents, _ in there:
        freed[bucket, key, version_id] = _unname(connection, unpack_extents(extents))
    return [row[:3] for row in there]


def _keep(connection: Connection, content: Content) -> int | None:
    """Store what stands in the index, and say where; what stands in files is there already."""
    if content.inline is None:
        return None
    connection.execute("INSERT INTO inlines (digest, content) VALUES (?, ?)", (content.digest, content.inline))
    return connection.last_insert_rowid()


def _row(made: Object) -> tuple[str | int | None, ...]:
    """An object's columns, but for where its content is: ``_COLUMNS``."""
    facts = made.facts
    return (
        made.bucket,
        made.key,
        made.version_id,
        made.size,
        stamp(made.modified),
        facts.etag,
        algorithms(facts.checksums),
        facts.checksum_type,
        pack(facts),
        pack_parts(made.parts),
    )


@cache
def _marks(columns: int, rows: int) -> str:
    row = ", ".join("?" * columns)
    return ", ".join([f"({row})"] * rows)


def _runs(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Cut into what one statement takes."""
    for at in range(0, len(items), MOST_ROWS):
        yield items[at : at + MOST_ROWS]


def remove_objects(connection: Connection, places: Sequence[Place]) -> list[tuple[None, Freed] | BucketMissing]:
    """
    Remove what there is at these places, in a few statements for all; it is no fault that there is nothing.

    As with ``put_objects``, what counts is how many statements there are.
    """
    there = _buckets(connection, places)
    freed = _remove(connection, [place for place in places if place[0] in there])
    # What is named twice frees once.
    return [(None, freed.pop(place, [])) if place[0] in there else BucketMissing(place[0]) for place in places]


def _remove(connection: Connection, places: Sequence[Place]) -> dict[Place, Freed]:
    freed: dict[Place, Freed] = {}
    for run in _runs(list(dict.fromkeys(places))):
        if there := _take_out(connection, run, freed):
            connection.execute(
                f"DELETE FROM objects WHERE (bucket, key, version_id) IN (VALUES {_marks(3, len(there))})",
                [value for place in there for value in place],
            )
    return freed


def delete_object(
    connection: Connection, bucket: str, key: str, version_id: str | None, condition: Condition
) -> tuple[None, Freed]:
    """Remove an object if a condition lets it.  Raises BucketMissing, and what the condition raises."""
    _require_bucket(connection, bucket)
    found = find_object(connection, bucket, key, version_id)
    condition(found)
    return None, [] if found is None else _remove(connection, [found[:3]])[found[:3]]


def delete_objects(
    connection: Connection, bucket: str, keys: Sequence[tuple[str, Condition | None]]
) -> tuple[list[Exception | None], Freed]:
    """One outcome a key, in order.  Raises BucketMissing."""
    _require_bucket(connection, bucket)
    outcomes: list[Exception | None] = []
    freed: Freed = []
    for condition, run in groupby(keys, itemgetter(1)):
        if condition is None:
            places = [(bucket, key, NULL_VERSION) for key, _ in run]
            freed += chain.from_iterable(_remove(connection, places).values())
            outcomes += [None] * len(places)
            continue
        for key, _ in run:
            try:
                freed += delete_object(connection, bucket, key, None, condition)[1]
            except IndexFault:
                raise
            except Exception as fault:  # a condition raises what it likes, before anything was changed for its key
                outcomes.append(fault)
            else:
                outcomes.append(None)
    return outcomes, freed


def change_object(
    connection: Connection, bucket: str, key: str, version_id: str | None, change: Callable[[Facts], Facts]
) -> Object:
    """Raises BucketMissing, ObjectMissing."""
    _require_bucket(connection, bucket)
    found = find_object(connection, bucket, key, version_id)
    if found is None:
        raise ObjectMissing(key)
    facts = change(found.facts)
    changed = found._replace(facts=facts)
    connection.execute(
        "UPDATE objects SET etag = ?, algorithms = ?, checksum_type = ?, facts = ?"
        " WHERE bucket = ? AND key = ? AND version_id = ?",
        (
            facts.etag,
            algorithms(facts.checksums),
            facts.checksum_type,
            pack(facts),
            bucket,
            key,
            found.version_id,
        ),
    )
    return changed


def create_upload(connection: Connection, upload: Upload) -> None:
    """Raises BucketMissing."""
    _require_bucket(connection, upload.bucket)
    facts = {"facts": json.loads(pack(upload.facts)), "type": upload.facts.checksum_type}
    connection.execute(
        "INSERT INTO uploads (bucket, key, upload_id, initiated, facts, algorithm, initiator_id, initiator_name)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            upload.bucket,
            upload.key,
            upload.upload_id,
            stamp(upload.initiated),
            json.dumps(facts),
            upload.checksum_algorithm,
            *upload.initiator,
        ),
    )


def put_part(connection: Connection, upload: Upload, part: Part, staged: Staged) -> Freed:
    """Raises UploadMissing, ObjectMissing."""
    find_upload(connection, upload.bucket, upload.key, upload.upload_id)
    _name(connection, part.content.extents, staged)
    place = (upload.upload_id, part.number)
    row = connection.execute("SELECT extents FROM parts WHERE upload_id = ? AND number = ?", place).fetchone()
    freed = _unname(connection, unpack_extents(row[0])) if row else []
    connection.execute(
        "INSERT OR REPLACE INTO parts (upload_id, number, size, etag, modified, checksums, extents)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            *place,
            part.size,
            part.etag,
            stamp(part.modified),
            json.dumps(_plain(part.checksums)),
            pack_extents(part.content.extents),
        ),
    )
    return freed


def _plain(values: Mapping[str, str]) -> dict[str, str]:
    return dict(values)


def abort_upload(connection: Connection, bucket: str, key: str, upload_id: str) -> Freed:
    """Raises BucketMissing, UploadMissing."""
    _require_bucket(connection, bucket)
    find_upload(connection, bucket, key, upload_id)
    return _end_upload(connection, bucket, key, upload_id)


def _end_upload(connection: Connection, bucket: str, key: str, upload_id: str) -> Freed:
    freed: Freed = []
    for part in find_parts(connection, upload_id, 0, -1):
        freed += _unname(connection, part.content.extents)
    connection.execute("DELETE FROM parts WHERE upload_id = ?", (upload_id,))
    connection.execute("DELETE FROM uploads WHERE bucket = ? AND key = ? AND upload_id = ?", (bucket, key, upload_id))
    return freed


def complete_upload(
    connection: Connection,
    upload: Upload,
    numbers: Sequence[int],
    assemble: Callable[[Sequence[Part]], tuple[Facts, tuple[ObjectPart, ...]]],
    condition: Condition | None,
    now: datetime,
) -> tuple[Object, Freed]:
    """Raises BucketMissing, UploadMissing, PartMissing."""
    _require_bucket(connection, upload.bucket)
    find_upload(connection, upload.bucket, upload.key, upload.upload_id)
    stored = {part.number: part for part in find_parts(connection, upload.upload_id, 0, -1)}
    for number in numbers:
        if number not in stored:
            raise PartMissing(number)
    parts = [stored[number] for number in numbers]
    facts, described = assemble(parts)
    content = Content(extents=tuple(extent for part in parts for extent in part.content.extents))
    made = Object(
        bucket=upload.bucket,
        key=upload.key,
        version_id=NULL_VERSION,
        size=content.size,
        modified=now,
        facts=facts,
        content=content,
        parts=described,
    )
    freed = put_object(connection, made, condition, staged=lambda blob: None)
    freed += _end_upload(connection, upload.bucket, upload.key, upload.upload_id)
    ended = completed(upload, facts, parts)
    connection.execute(
        "INSERT INTO completed (upload_id, bucket, key, etag, parts) VALUES (?, ?, ?, ?, ?)",
        (ended.upload_id, ended.bucket, ended.key, ended.etag, json.dumps(ended.parts)),
    )
    connection.execute("DELETE FROM completed WHERE id <= ?", (connection.last_insert_rowid() - COMPLETED_KEPT,))
    return made, freed
