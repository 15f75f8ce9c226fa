"""
XML out is what any parser reads back; XML in is what was declared, or a refusal.
"""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from urllib.parse import unquote

import pytest
from defusedxml import ElementTree
from hypothesis import given
from hypothesis import strategies as st

from rs3gw.errors import MalformedXML, NotImplementedHere, S3Error
from rs3gw.operations import Columns
from rs3gw.operations.bucket import GetBucketLocation, PutBucketTagging
from rs3gw.operations.multipart import CompleteMultipartUpload
from rs3gw.operations.object import CopyObject, DeleteObjects, ListObjectsV2, ObjectEntry
from rs3gw.operations.shapes import Checksums, CommonPrefix, Owner, Tag
from rs3gw.rest import xml

# What XML 1.0 can say at all, by character or by reference.
SAYABLE = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="\ufffe\uffff" + "".join(map(chr, range(9)))).filter(
        lambda character: character >= " " or character in "\t\n\r"
    )
)


@given(key=SAYABLE)
def test_a_key_that_xml_can_say_comes_back_as_it_is(key):
    out = xml.document(ListObjectsV2.Output(contents=(ObjectEntry(key=key),)))

    assert ElementTree.fromstring(out).findtext(f".//{{{xml.NAMESPACE}}}Key") == key


@given(key=st.text(st.characters(exclude_categories=("Cs",))))
def test_and_every_key_does_where_it_is_encoded(key):
    out = xml.document(
        ListObjectsV2.Output(contents=(ObjectEntry(key=key),), common_prefixes=(CommonPrefix(prefix=key),)),
        is_encoded=True,
    )
    root = ElementTree.fromstring(out)

    assert {
        unquote(found.text or "") for name in ("Key", "Prefix") for found in root.iter(f"{{{xml.NAMESPACE}}}{name}")
    } == {key}


def test_a_control_character_is_a_reference_as_s3_has_it():
    assert b"<Key>a&#x1;b&#13;</Key>" in xml.document(ListObjectsV2.Output(contents=(ObjectEntry(key="a\x01b\r"),)))


def test_times_have_milliseconds_and_quotes_are_escaped():
    moment = datetime(2026, 11, 23, 10, 49, 43, 5678, tzinfo=UTC)
    out = xml.document(CopyObject.Output(etag='"abc"', last_modified=moment, checksums=Checksums(crc32="AAAAAA==")))

    assert out == (
        b'<?xml version="1.0" encoding="UTF-8"?>\n'
        b'<CopyObjectResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><ETag>&quot;abc&quot;</ETag>'
        b"<LastModified>2026-11-23T10:49:43.005Z</LastModified><ChecksumCRC32>AAAAAA==</ChecksumCRC32>"
        b"</CopyObjectResult>"
    )


def test_a_location_is_the_text_of_the_root():
    assert xml.document(GetBucketLocation.Output(location_constraint="eu-west-1")).endswith(
        b'<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/">eu-west-1</LocationConstraint>'
    )


def fill(operation, text):
    return operation.Input.of(xml.fill(operation.Input, xml.parse(text.encode())))


TAGGED = "<Tagging{}><TagSet><Tag><Key>k</Key><Value/></Tag></TagSet></Tagging>"


@pytest.mark.parametrize("space", ["", f' xmlns="{xml.NAMESPACE}"'])
def test_a_document_is_read_with_and_without_the_namespace(space):
    assert fill(PutBucketTagging, TAGGED.format(space)).tag_set == (Tag(key="k", value=""),)


def test_but_not_with_another_s():
    with pytest.raises(MalformedXML):
        fill(PutBucketTagging, TAGGED.format(' xmlns="http://example.com/"'))


def test_parts_keep_their_order_and_their_checksums():
    asked = fill(
        CompleteMultipartUpload,
        "<CompleteMultipartUpload>"
        "<Part><PartNumber>2</PartNumber><ETag>b</ETag></Part>"
        "<Part><ETag>a</ETag><PartNumber>1</PartNumber><ChecksumCRC32>AAAAAA==</ChecksumCRC32></Part>"
        "</CompleteMultipartUpload>",
    )

    assert [(part.part_number, part.etag, part.checksums.crc32) for part in asked.parts] == [
        (2, "b", None),
        (1, "a", "AAAAAA=="),
    ]


@pytest.mark.parametrize(
    "inside",
    [
        "<Object/>",
        "<Object><Key>a</Key><Key>b</Key></Object>",
        "<Object><Key><b/></Key></Object>",
        "<Object><Key>a</Key></Object><Quiet>perhaps</Quiet>",
        "<Object><Key>a</Key></Object><Unheard>of</Unheard>",
        "<Object>text<Key>a</Key></Object>",
    ],
)
def test_what_the_schema_does_not_have_is_malformed(inside):
    with pytest.raises(MalformedXML):
        fill(DeleteObjects, f"<Delete>{inside}</Delete>")


def test_a_condition_that_is_s3_s_and_not_ours_is_refused_by_name():
    """Deleting in spite of it would be worse than not deleting."""
    with pytest.raises(NotImplementedHere):
        fill(DeleteObjects, "<Delete><Object><Key>a</Key><Size>1</Size></Object></Delete>")


BOMB = '<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><Delete>&b;</Delete>'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<",
        "<Delete>",
        "<Delete></Tagging>",
        "<Delete/><Delete/>",
        BOMB,
        '<!DOCTYPE d SYSTEM "http://127.0.0.1/x"><Delete/>',
        '<!DOCTYPE d [<!ENTITY f SYSTEM "file:///etc/passwd">]><Delete>&f;</Delete>',
        "<Delete>" * (xml.MAX_DEPTH + 1) + "</Delete>" * (xml.MAX_DEPTH + 1),
        "<Delete>" + "<Object/>" * xml.MAX_ELEMENTS + "</Delete>",
        '<?xml version="1.0" encoding="nonsense"?><Delete/>',
        "<Delete>\ufffe</Delete>",
    ],
    ids=lambda text: text[:30],
)
def test_a_document_that_is_none_is_malformed(text):
    with pytest.raises(MalformedXML):
        xml.parse(text.encode())


DOCUMENT = (
    b'<?xml version="1.0"?><Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Object><Key>a&amp;b</Key>'
    b"<VersionId>null</VersionId></Object><Quiet>true</Quiet></Delete>"
)


@given(place=st.integers(min_value=0), length=st.integers(min_value=0, max_value=12), put=st.binary(max_size=8))
def test_whatever_comes_is_a_message_or_a_refusal(place, length, put):
    at = place % len(DOCUMENT)
    data = DOCUMENT[:at] + put + DOCUMENT[at + length :]
    with contextlib.suppress(S3Error):
        assert xml.fill(DeleteObjects.Input, xml.parse(data)).keys() <= {"objects", "quiet"}


# Columns -----------------------------------------------------------------------------------------------------

ROW = st.fixed_dictionaries(
    {
        "key": st.text(st.characters(exclude_categories=("Cs",))) | st.sampled_from(["%s", "a¦b", "a&b", "100%", ""]),
        "last_modified": st.integers(0, 4_000_000_000_000),
        "etag": st.text('0123456789abcdef"', min_size=1),
        "checksum_algorithm": st.sampled_from([(), ("CRC32",), ("SHA1", "CRC64NVME")]),
        "checksum_type": st.sampled_from([None, "FULL_OBJECT", "COMPOSITE"]),
        "size": st.integers(0, 2**50),
    }
)


@given(rows=st.lists(ROW, min_size=1, max_size=5), owner=st.booleans(), is_encoded=st.booleans())
def test_a_page_by_columns_reads_as_its_messages_do(rows, owner, is_encoded):
    """Columns are escaped at once, and filled into one form: neither may show."""
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    same = {"storage_class": "100%&", **({"owner": Owner(id="a", display_name="%s")} if owner else {})}
    page = Columns(ObjectEntry, len(rows), columns, same)

    assert xml.document(ListObjectsV2.Output(contents=tuple(page)), is_encoded=is_encoded) == xml.document(
        ListObjectsV2.Output(contents=page), is_encoded=is_encoded
    )
