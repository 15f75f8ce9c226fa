"""
What can be done to an upload in parts, meant.

A part is received as an object is.  Completion looks at the parts inside the engine's commit, so that what is
judged is what is published; until then readers see the object that was there before, and afterwards all of the
new one.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final
from urllib.parse import quote

from rs3gw.engine import ports
from rs3gw.engine.ports import Completed, Content, Facts, ObjectMissing, PartMissing, Upload, UploadMissing
from rs3gw.engine.seals import unsealed
from rs3gw.errors import (
    EntityTooSmall,
    InvalidPart,
    InvalidPartOrder,
    InvalidRequest,
    MalformedXML,
    NoSuchUpload,
    OperationAborted,
)
from rs3gw.gateway import digests, intake, listing, ranges
from rs3gw.gateway.answers import OWNER, STANDARD, checksums_of, common_prefixes, number_marker
from rs3gw.gateway.call import Call, handles
from rs3gw.gateway.conditions import bare, quoted
from rs3gw.gateway.copying import MAX_COPY_ATTEMPTS, judge_size, locate_source, parse_source, sliced
from rs3gw.gateway.digests import COMPOSITE, DEFAULT, FULL_OBJECT, Claims, Tally
from rs3gw.gateway.object import described, judge_early, user_metadata, write_condition, written_tags
from rs3gw.gateway.ranges import Slice
from rs3gw.operations import checks
from rs3gw.operations.body import Body, Whole
from rs3gw.operations.multipart import (
    AbortMultipartUpload,
    CompletedPart,
    CompleteMultipartUpload,
    CreateMultipartUpload,
    ListMultipartUploads,
    ListParts,
    MultipartUpload,
    Part,
    PartAddress,
    UploadAddress,
    UploadPart,
    UploadPartCopy,
)
from rs3gw.operations.shapes import Checksums, Owner

_ID_ENTROPY_BYTES: Final = 16
_ID_CLOCK_DIGITS: Final = 14
"""Hex digits of the microseconds since 1970, enough for two thousand years."""


@handles(CreateMultipartUpload)
async def create_multipart_upload(call: Call, asked: CreateMultipartUpload.Input) -> CreateMultipartUpload.Output:
    algorithm, kind = asked.checksum_algorithm, _checksum_type(asked.checksum_algorithm, asked.checksum_type)
    now = call.clock.now()
    facts = Facts(
        etag="",
        headers=described(asked),
        metadata=user_metadata(asked),
        tags=written_tags(call, asked.key, asked.tagging),
        checksum_type=kind,
    )
    upload = Upload(
        bucket=asked.bucket,
        key=asked.key,
        # Ids sort by the time they were made, and nobody can guess one.
        upload_id=f"{int(now.timestamp() * 1_000_000):0{_ID_CLOCK_DIGITS}x}"
        + call.entropy.token(_ID_ENTROPY_BYTES).hex(),
        initiated=now,
        facts=facts,
        checksum_algorithm=algorithm,
        initiator=(call.identity.canonical_id, call.identity.name),
    )
    await call.engine.create_upload(upload)
    values: dict[str, Any] = {"bucket": asked.bucket, "key": asked.key, "upload_id": upload.upload_id}
    if algorithm is not None:
        values |= {"checksum_algorithm": algorithm, "checksum_type": kind}
    return CreateMultipartUpload.Output.of(values)


def _checksum_type(algorithm: str | None, asked: str | None) -> str:
    """What the object's checksum will be made of.  Raises InvalidRequest for what does not go together."""
    if algorithm is None:
        if asked is not None:
            raise InvalidRequest(
                message="The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header."
            )
        return FULL_OBJECT
    combines, only_whole = digests.can_combine(algorithm.lower()), algorithm.lower() == DEFAULT
    if asked is None:
        return FULL_OBJECT if only_whole else COMPOSITE
    if (asked == FULL_OBJECT and not combines) or (asked == COMPOSITE and only_whole):
        raise InvalidRequest(
            message=f"The {asked} checksum type cannot be used with the {algorithm.lower()} checksum algorithm."
        )
    return asked


def _upload(call: Call, asked: UploadAddress) -> Upload:
    """The upload that a request means.  Raises NoSuchUpload."""
    try:
        return call.engine.upload(asked.bucket, asked.key, asked.upload_id)
    except UploadMissing as fault:
        raise NoSuchUpload(upload_id=asked.upload_id) from fault


def _algorithm(upload: Upload) -> str:
    return DEFAULT if upload.checksum_algorithm is None else upload.checksum_algorithm.lower()


def _chosen(upload: Upload, stored: ports.Part) -> Checksums:
    """The checksum of a part as listings show it: only where the upload was begun with one."""
    if upload.checksum_algorithm is None:
        return checksums_of({})
    algorithm = _algorithm(upload)
    return checksums_of({algorithm: stored.checksums[algorithm]})


# Parts -------------------------------------------------------------------------------------------------------


@handles(UploadPart)
async def upload_part(call: Call, asked: UploadPart.Input) -> UploadPart.Output:
    # A request that names no part has nothing that the check of the declaration would look at.
    checks.part_number(asked.part_number)
    upload = _upload(call, asked)
    claims = digests.claims(
        content_md5=asked.content_md5, checksums=asked.checksums, asked=asked.checksum_algorithm, body=asked.body
    )
    _judge_choice(upload, claims.algorithm)
    stored = await _receive_part(call, upload, asked, asked.body, claims)
    answered = claims.algorithm or _algorithm(upload)
    return UploadPart.Output.of(
        {"etag": quoted(stored.etag), "checksums": checksums_of({answered: stored.checksums[answered]})}
    )


async def _receive_part(call: Call, upload: Upload, asked: PartAddress, body: Body, claims: Claims) -> ports.Part:
    received = await intake.receive(
        call.engine, body, claims, most=checks.MAX_PART_BYTES, also=(_algorithm(upload),), inline=False
    )
    try:
        return await _put_part(call, upload, asked, received.content, received.tally)
    except BaseException as fault:
        await intake.discard(received, fault)
        raise


def _judge_choice(upload: Upload, algorithm: str | None) -> None:
    """
    A part comes with the checksum that its upload was begun with.

    It may come with none where the object's checksum is that of the whole, which S3 then computes by itself.
    """
    chosen = upload.checksum_algorithm
    may_be_missing = upload.facts.checksum_type == FULL_OBJECT
    if chosen is None or algorithm == chosen.lower() or (algorithm is None and may_be_missing):
        return
    raise InvalidRequest(
        message=f"Checksum Type mismatch occurred, expected checksum Type: {chosen.lower()}, "
        f"actual checksum Type: {algorithm or 'null'}"
    )


async def _put_part(call: Call, upload: Upload, asked: PartAddress, content: Content, tally: Tally) -> ports.Part:
    part = ports.Part(
        number=asked.part_number,
        size=content.size,
        etag=tally.etag,
        modified=call.clock.now(),
        content=content,
        checksums=tally.checksums,
    )
    try:
        return await call.engine.put_part(upload, part)
    except UploadMissing as fault:
        raise NoSuchUpload(upload_id=upload.upload_id) from fault


@handles(UploadPartCopy)
async def upload_part_copy(call: Call, asked: UploadPartCopy.Input) -> UploadPartCopy.Output:
    checks.part_number(asked.part_number)
    upload, named = _upload(call, asked), parse_source(asked.copy_source)
    for _ in range(MAX_COPY_ATTEMPTS):
        source = locate_source(call, asked, named)
        part = Slice(0, source.size)
        if asked.copy_source_range is not None:
            part = ranges.select_copy(source.size, asked.copy_source_range)
        judge_size(part.size)
        try:
            stored = await _copy_part(call, upload, asked, source, part)
        except ObjectMissing:
            # The source was replaced or removed while it was digested: look at what is there now.
            continue
        return UploadPartCopy.Output(
            etag=quoted(stored.etag), last_modified=stored.modified, checksums=_chosen(upload, stored)
        )
    raise OperationAborted()


async def _copy_part(call: Call, upload: Upload, asked: PartAddress, source: ports.Object, part: Slice) -> ports.Part:
    content = sliced(source.content, offset=part.offset, size=part.size)
    if content.inline is not None:
        # What stands in the index cannot be shared with a part, which is extents; it is small, and written anew.
        return await _receive_part(call, upload, asked, Whole(unsealed(content)), Claims())
    tally = await intake.examine(call.engine, content, (_algorithm(upload),))
    return await _put_part(call, upload, asked, content, tally)


# The end of an upload ----------------------------------------------------------------------------------------


@handles(CompleteMultipartUpload)
async def complete_multipart_upload(call: Call, asked: CompleteMultipartUpload.Input) -> CompleteMultipartUpload.Output:
    condition = write_condition(call, asked)
    claimed = digests.single_of_upload(asked.checksums)
    named = [_named(part) for part in asked.parts]
    numbers = [number for number, _ in named]
    try:
        upload = call.engine.upload(asked.bucket, asked.key, asked.upload_id)
        if any(later <= number for number, later in pairwise(numbers)):
            raise InvalidPartOrder(upload_id=asked.upload_id)
        _judge_checksum_type(asked, upload, claimed)
        judge_early(call, asked.bucket, asked.key, condition)
        stored = await call.engine.complete_upload(
            upload, numbers, lambda parts: _assemble(asked, upload, parts, claimed), condition=condition
        )
        return _completed(asked, stored.facts)
    except PartMissing as fault:
        raise InvalidPart(
            upload_id=asked.upload_id, part_number=fault.number, etag=dict(named)[fault.number]
        ) from fault
    except UploadMissing as fault:
        return _repeated(call, asked, fault.completed, named)


def _named(part: CompletedPart) -> tuple[int, str]:
    if part.part_number is None or part.etag is None:
        raise MalformedXML()
    checks.part_number(part.part_number)
    return part.part_number, bare(part.etag)


def _judge_checksum_type(asked: CompleteMultipartUpload.Input, upload: Upload, claimed: tuple[str, str] | None) -> None:
    kind, chosen = upload.facts.checksum_type, upload.checksum_algorithm
    if asked.checksum_type is not None and asked.checksum_type != kind:
        raise InvalidRequest(
            message=f"The upload was created using the {kind} checksum mode. "
            "The complete request must use the same checksum mode."
        )
    if claimed is not None and claimed[0] != _algorithm(upload):
        raise InvalidRequest(
            message=f"Checksum Type mismatch occurred, expected checksum Type: {(chosen or 'null').lower()}, "
            f"actual checksum Type: {claimed[0]}"
        )
    if chosen is not None and kind == COMPOSITE:
        for part in asked.parts:
            if getattr(part.checksums, chosen.lower()) is None:
                raise InvalidRequest(
                    message=f"The upload was created using a {chosen.lower()} checksum. The complete request must "
                    f"include the checksum for each part. It was missing for part {part.part_number} in the request."
                )


def _assemble(
    asked: CompleteMultipartUpload.Input,
    upload: Upload,
    parts: Sequence[ports.Part],
    claimed: tuple[str, str] | None,
) -> tuple[Facts, tuple[ports.ObjectPart, ...]]:
    """
    Judge the parts as they are at the commit, and say what the object made of them is.

    Raises InvalidPart, EntityTooSmall, InvalidRequest, BadDigest.
    """
    for believed, part in zip(asked.parts, parts, strict=True):
        if bare(believed.etag or "") != part.etag or not _agree(believed.checksums, part):
            raise InvalidPart(upload_id=upload.upload_id, part_number=part.number, etag=bare(believed.etag or ""))
    for part in parts[:-1]:
        if part.size < checks.MIN_PART_BYTES:
            raise EntityTooSmall(
                proposed_size=part.size,
                min_size_allowed=checks.MIN_PART_BYTES,
                part_number=part.number,
                etag=part.etag,
            )
    size = sum(part.size for part in parts)
    if asked.mpu_object_size is not None and asked.mpu_object_size != size:
        raise InvalidRequest(
            message=f"The provided 'x-amz-mp-object-size' header value {asked.mpu_object_size} "
            f"does not match what was computed: {size}"
        )
    algorithm = _algorithm(upload)
    whole = _checksum_of(upload, algorithm, parts)
    if claimed is not None and claimed[1] not in (whole, whole.partition("-")[0]):
        raise digests.mismatch(algorithm)
    etag = digests.etag_of_parts([part.etag for part in parts])
    facts = upload.facts._replace(etag=etag, checksums={algorithm: whole})
    return facts, tuple(
        ports.ObjectPart(number=part.number, size=part.size, checksums={algorithm: part.checksums[algorithm]})
        for part in parts
    )


def _agree(believed: Checksums, part: ports.Part) -> bool:
    """Whether every checksum that the client believes of a part is the one that it was stored with."""
    return all(
        value is None or part.checksums.get(algorithm) == value for algorithm, value in believed.__dict__.items()
    )


def _checksum_of(upload: Upload, algorithm: str, parts: Sequence[ports.Part]) -> str:
    if upload.facts.checksum_type == COMPOSITE:
        return digests.composite(algorithm, [part.checksums[algorithm] for part in parts])
    return digests.combine(algorithm, [(part.checksums[algorithm], part.size) for part in parts])


def _completed(asked: CompleteMultipartUpload.Input, facts: Facts) -> CompleteMultipartUpload.Output:
    return CompleteMultipartUpload.Output(
        # What a client puts behind the address that it spoke to; the gateway does not know by which name it did.
        location=f"/{asked.bucket}/{quote(asked.key, safe='/~')}",
        bucket=asked.bucket,
        key=asked.key,
        etag=quoted(facts.etag),
        checksums=checksums_of(facts.checksums),
        checksum_type=facts.checksum_type,
    )


def _repeated(
    call: Call, asked: CompleteMultipartUpload.Input, completed: Completed | None, named: list[tuple[int, str]]
) -> CompleteMultipartUpload.Output:
    """
    Answer a completion that has been carried out already as it was answered then.

    A client whose connection broke asks again and must not be told that its object is lost.  Raises NoSuchUpload
    where the upload never was, was aborted, or was completed with other parts.
    """
    if (
        completed is None
        or (completed.bucket, completed.key) != (asked.bucket, asked.key)
        or list(completed.parts) != named
    ):
        raise NoSuchUpload(upload_id=asked.upload_id)
    try:
        facts = call.engine.object(asked.bucket, asked.key).facts
    except ObjectMissing:
        facts = None
    if facts is None or facts.etag != completed.etag:
        # The object was replaced since: of the one that was made only the ETag is still known.
        facts = Facts(etag=completed.etag)
    return _completed(asked, facts)


@handles(AbortMultipartUpload)
async def abort_multipart_upload(call: Call, asked: AbortMultipartUpload.Input) -> AbortMultipartUpload.Output:
    try:
        await call.engine.abort_upload(asked.bucket, asked.key, asked.upload_id)
    except UploadMissing as fault:
        raise NoSuchUpload(upload_id=asked.upload_id) from fault
    return AbortMultipartUpload.Output()


# Listing -----------------------------------------------------------------------------------------------------


def _initiator(upload: Upload) -> Owner:
    canonical_id, name = upload.initiator
    return Owner(id=canonical_id, display_name=name)


def _checksum_choice(upload: Upload) -> dict[str, Any]:
    if upload.checksum_algorithm is None:
        return {}
    return {"checksum_algorithm": upload.checksum_algorithm, "checksum_type": upload.facts.checksum_type}


@handles(ListParts)
async def list_parts(call: Call, asked: ListParts.Input) -> ListParts.Output:
    upload = _upload(call, asked)
    after, limit = number_marker(asked.part_number_marker, "part-number-marker"), listing.limited(asked.max_parts)
    try:
        found = call.engine.parts(upload, after=after, limit=limit + 1) if limit else ()
    except UploadMissing as fault:
        raise NoSuchUpload(upload_id=asked.upload_id) from fault
    shown = found[:limit]
    return ListParts.Output(
        bucket=asked.bucket,
        key=asked.key,
        upload_id=asked.upload_id,
        part_number_marker=str(after),
        next_part_number_marker=str(shown[-1].number if shown else after),
        max_parts=limit,
        is_truncated=len(found) > limit,
        parts=tuple(
            Part(
                part_number=part.number,
                last_modified=part.modified,
                etag=quoted(part.etag),
                size=part.size,
                checksums=_chosen(upload, part),
            )
            for part in shown
        ),
        initiator=_initiator(upload),
        owner=OWNER,
        storage_class=STANDARD,
        **_checksum_choice(upload),
    )


class _Uploads:
    """A cursor over a bucket's uploads, of which a key may have many."""

    def __init__(self, call: Call, asked: ListMultipartUploads.Input) -> None:
        prefix, marker = asked.prefix or "", asked.key_marker or ""
        self._engine, self._bucket, self._end = call.engine, asked.bucket, listing.successor(prefix)
        if marker < prefix:
            self._start, self._inclusive = (prefix, ""), True
        elif asked.upload_id_marker:
            self._start, self._inclusive = (marker, asked.upload_id_marker), False
        else:
            # A key alone as a marker means that all of its uploads have been seen: the next key of all follows.
            self._start, self._inclusive = (f"{marker}\0" if marker else "", ""), True

    def take(self, limit: int) -> Sequence[Upload]:
        found = self._engine.uploads(
            self._bucket, start=self._start, inclusive=self._inclusive, end=self._end, limit=limit
        )
        if found:
            self._start, self._inclusive = (found[-1].key, found[-1].upload_id), False
        return found

    def jump(self, key: str) -> None:
        self._start, self._inclusive = (key, ""), True


@handles(ListMultipartUploads)
async def list_multipart_uploads(call: Call, asked: ListMultipartUploads.Input) -> ListMultipartUploads.Output:
    prefix, delimiter, limit = asked.prefix or "", asked.delimiter or "", listing.limited(asked.max_uploads)
    page = listing.page(
        _Uploads(call, asked), prefix=prefix, delimiter=delimiter, after=asked.key_marker or None, limit=limit
    )
    values: dict[str, Any] = {
        "bucket": asked.bucket,
        "key_marker": asked.key_marker or "",
        # Without a key S3 pays no heed to the id, and does not say it back either.
        "upload_id_marker": (asked.key_marker and asked.upload_id_marker) or "",
        "prefix": prefix,
        "max_uploads": limit,
        "is_truncated": page.is_truncated,
        "uploads": tuple(_listed(upload) for upload in page.entries),
        "common_prefixes": common_prefixes(page.prefixes),
    }
    if delimiter:
        values["delimiter"] = delimiter
    if asked.encoding_type is not None:
        values["encoding_type"] = asked.encoding_type
    if page.is_truncated:
        values["next_key_marker"] = page.marker
        values["next_upload_id_marker"] = page.last.upload_id if isinstance(page.last, Upload) else ""
    return ListMultipartUploads.Output.of(values)


def _listed(upload: Upload) -> MultipartUpload:
    return MultipartUpload(
        upload_id=upload.upload_id,
        key=upload.key,
        initiated=upload.initiated,
        storage_class=STANDARD,
        owner=OWNER,
        initiator=_initiator(upload),
        **_checksum_choice(upload),
    )
