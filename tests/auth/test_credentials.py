"""
Who is who: the judgement of evidence, and the file that access keys come from.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from rs3gw.auth import sigv4
from rs3gw.auth.credentials import (
    MAX_EXPIRES_SECONDS,
    MAX_SKEW,
    Authority,
    Credential,
    CredentialsError,
    load,
    token_of,
)
from rs3gw.auth.evidence import UNSIGNED_PAYLOAD, Anonymous, Bearer, Evidence, Scope, Signature
from rs3gw.errors import S3Error

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
REGION = "eu-central-1"
OWNER = Credential(access_key="AKOWNER", secret_key="owner-secret", name="owner")
GUEST = Credential(access_key="AKGUEST", secret_key="guest-secret", name="guest", grants="policies")


class StoppedClock:
    """It is always noon."""

    def now(self) -> datetime:
        return NOW


AUTHORITY = Authority([OWNER, GUEST], region=REGION, clock=StoppedClock())


def signature(moment=NOW, secret_key=OWNER.secret_key, **changes):
    """A right signature of a small GET, with these things about it changed before it is made."""
    timestamp = changes.pop("timestamp", moment.strftime("%Y%m%dT%H%M%SZ"))
    headers = {"host": "127.0.0.1:9000"}
    if "expires_seconds" not in changes:
        headers |= {"x-amz-content-sha256": UNSIGNED_PAYLOAD, "x-amz-date": timestamp}
    headers |= changes.pop("headers", {})
    signed = tuple(sorted(changes.pop("signed", headers)))
    said = {
        "access_key": OWNER.access_key,
        "scope": Scope(date=timestamp[:8], region=REGION, service="s3"),
        "signed_headers": signed,
        "signature": "",
        "timestamp": timestamp,
        "method": "GET",
        "path": "/bucket/key",
        "query": (),
        "headers": headers,
        "payload_hash": UNSIGNED_PAYLOAD,
    }
    shown = Signature(**{**said, **changes})
    key = sigv4.signing_key(secret_key, shown.scope.date, shown.scope.region, shown.scope.service)
    text = sigv4.string_to_sign(shown.timestamp, shown.scope, sigv4.canonical_request(shown))
    return replace(shown, signature=sigv4.sign(key, text))


def identify(proof, protocol="rest"):
    return AUTHORITY.identify(Evidence(proof=proof, protocol=protocol))


def refusal(proof, protocol="rest"):
    with pytest.raises(S3Error) as raised:
        identify(proof, protocol)
    return raised.value


# Signatures --------------------------------------------------------------------------------------------------


def test_a_right_signature_shows_who_has_the_key():
    found = identify(signature())

    assert (found.name, found.access_key, found.grants, found.is_anonymous) == ("owner", "AKOWNER", "all", False)
    assert found.arn == "arn:aws:iam::000000000000:user/owner"
    assert found.signer is None


def test_who_signs_each_chunk_has_a_signer_that_goes_on_from_the_request():
    shown = signature(payload_hash=sigv4.SIGNED_CHUNKS)
    key = sigv4.signing_key(OWNER.secret_key, *shown.scope)
    expected = sigv4.ChunkSigner(key=key, seed=shown.signature, scope=shown.scope, timestamp=shown.timestamp)

    found = identify(shown).signer

    assert found is not None
    assert expected.chunk("0" * 64) == found.chunk("0" * 64)


def test_a_canonical_id_is_64_hex_digits_and_its_owners_own():
    owner, guest = identify(signature()), identify(Bearer(token_of(GUEST)))

    assert re.fullmatch("[0-9a-f]{64}", owner.canonical_id)
    assert owner.canonical_id == identify(Bearer(token_of(OWNER))).canonical_id != guest.canonical_id


def test_who_shows_nothing_is_anonymous_and_has_no_signer():
    found = identify(Anonymous())

    assert (found.is_anonymous, found.access_key, found.grants, found.signer) == (True, None, "policies", None)


def test_an_unknown_key_and_a_wrong_secret_are_told_apart_as_s3_does():
    unknown = refusal(signature(access_key="AKNOBODY"))
    wrong = refusal(signature(secret_key="another-secret"))

    assert (unknown.code, unknown.fields()) == ("InvalidAccessKeyId", {"AWSAccessKeyId": "AKNOBODY"})
    assert wrong.code == "SignatureDoesNotMatch"
    assert wrong.fields()["CanonicalRequest"].startswith("GET\n/bucket/key\n")
    assert wrong.fields()["StringToSign"].startswith("AWS4-HMAC-SHA256\n20261123T120000Z\n")


@pytest.mark.parametrize(
    ("changes", "said", "region"),
    [
        ({"scope": Scope(date="20261123", region="us-west-2", service="s3")}, "us-west-2", REGION),
        ({"scope": Scope(date="20261123", region=REGION, service="ec2")}, "ec2", None),
        ({"scope": Scope(date="20261122", region=REGION, service="s3")}, "20261122", None),
    ],
)
def test_a_signature_for_elsewhere_is_malformed_and_a_wrong_region_hears_the_right_one(changes, said, region):
    header, query = refusal(signature(**changes)), refusal(signature(expires_seconds=60, **changes))

    assert (header.code, query.code) == ("AuthorizationHeaderMalformed", "AuthorizationQueryParametersError")
    assert said in header.message
    assert header.fields().get("Region") == query.fields().get("Region") == region


@pytest.mark.parametrize("seconds", [-MAX_SKEW.total_seconds(), 0, MAX_SKEW.total_seconds()])
def test_a_clock_may_be_fifteen_minutes_wrong(seconds):
    assert identify(signature(NOW + timedelta(seconds=seconds))).name == "owner"


@pytest.mark.parametrize("seconds", [-MAX_SKEW.total_seconds() - 1, MAX_SKEW.total_seconds() + 1])
def test_a_clock_may_not_be_more_than_fifteen_minutes_wrong(seconds):
    found = refusal(signature(NOW + timedelta(seconds=seconds)))

    assert found.code == "RequestTimeTooSkewed"
    assert found.fields()["ServerTime"] == "2026-11-23T12:00:00Z"
    assert found.fields()["MaxAllowedSkewMilliseconds"] == "900000"


@pytest.mark.parametrize("timestamp", ["20261123", "20261123T120000", "20261123T1200000", "20261123T126000Z", "soon",
                                       "2026112３T120000Z"])  # fmt: skip
def test_a_time_that_is_none_is_refused(timestamp):
    scope = Scope(date=timestamp[:8], region=REGION, service="s3")

    assert refusal(signature(timestamp=timestamp, scope=scope)).code == "AccessDenied"
    assert refusal(signature(timestamp=timestamp, scope=scope, expires_seconds=60)).code == (
        "AuthorizationQueryParametersError"
    )


def test_a_session_token_is_refused_because_none_is_issued():
    assert refusal(signature(session_token="token")).code == "InvalidToken"


# Presigned URLs ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [1, MAX_EXPIRES_SECONDS])
def test_a_link_lives_a_second_to_a_week(seconds):
    assert identify(signature(expires_seconds=seconds)).name == "owner"


@pytest.mark.parametrize("seconds", [-1, 0, MAX_EXPIRES_SECONDS + 1])
def test_a_link_for_less_or_longer_is_refused(seconds):
    assert refusal(signature(expires_seconds=seconds)).code == "AuthorizationQueryParametersError"


def test_a_link_is_good_to_its_last_second_and_then_expired():
    assert identify(signature(NOW - timedelta(seconds=60), expires_seconds=60)).name == "owner"

    found = refusal(signature(NOW - timedelta(seconds=61), expires_seconds=60))
    assert (found.code, found.message) == ("AccessDenied", "Request has expired")
    assert found.fields()["Expires"] == "2026-11-23T11:59:59Z"
    assert found.fields()["XAmzExpires"] == "60"


def test_a_link_of_the_future_is_refused():
    assert refusal(signature(NOW + timedelta(minutes=16), expires_seconds=60)).code == "RequestTimeTooSkewed"


# What a signature must cover ---------------------------------------------------------------------------------


def test_the_host_is_signed_where_there_is_one():
    unsigned = signature(signed=("x-amz-content-sha256", "x-amz-date"))

    assert refusal(unsigned).fields() == {"HeadersNotSigned": "host"}
    assert identify(unsigned, "grpc").name == "owner"


@pytest.mark.parametrize("changes", [{}, {"expires_seconds": 60}])
def test_a_header_of_s3s_cannot_be_added_to_what_was_signed(changes):
    """A link to upload a picture must not let its holder choose the metadata and the tags too."""
    shown = signature(**changes)
    added = replace(shown, headers={**shown.headers, "x-amz-tagging": "a=b", "x-amz-meta-a": "b"})

    found = refusal(added)
    assert (found.code, found.fields()) == ("AccessDenied", {"HeadersNotSigned": "x-amz-meta-a, x-amz-tagging"})


def test_other_headers_need_no_signature():
    shown = signature()

    assert identify(replace(shown, headers={**shown.headers, "range": "bytes=0-1"})).name == "owner"


@pytest.mark.parametrize(("sent", "is_right"), [("a b", True), ("another", False)])
def test_a_header_that_the_link_itself_says_may_be_sent_again(sent, is_right):
    shown = signature(expires_seconds=60, query=(("X-Amz-Meta-A", "a%20b"),))
    again = replace(shown, headers={**shown.headers, "x-amz-meta-a": sent})

    if is_right:
        assert identify(again).name == "owner"
    else:
        assert refusal(again).fields() == {"HeadersNotSigned": "x-amz-meta-a"}


# Tokens ------------------------------------------------------------------------------------------------------


def test_a_token_opens_what_its_key_opens_and_tells_no_secret():
    found = identify(Bearer(token_of(GUEST)), "grpc")

    assert (found.name, found.access_key, found.grants, found.signer) == ("guest", "AKGUEST", "policies", None)
    assert GUEST.secret_key not in token_of(GUEST)
    assert re.fullmatch(r"AKGUEST\.[0-9a-f]{64}", token_of(GUEST))


@pytest.mark.parametrize(
    "token",
    ["", ".", "AKOWNER", "AKOWNER.", "AKOWNER." + "0" * 64, "AKNOBODY." + "0" * 64, token_of(OWNER)[:-1],
     token_of(OWNER) + "0", token_of(OWNER).replace("AKOWNER", "AKGUEST"), token_of(OWNER).upper(), "\udcff.é"],
)  # fmt: skip
def test_any_other_token_is_invalid(token):
    assert refusal(Bearer(token), "grpc").code == "InvalidToken"


def test_a_token_dies_with_its_secret():
    rotated = Authority([replace(OWNER, secret_key="a-new-secret")], region=REGION, clock=StoppedClock())

    with pytest.raises(S3Error, match="InvalidToken"):
        rotated.identify(Evidence(proof=Bearer(token_of(OWNER)), protocol="grpc"))


# The file ----------------------------------------------------------------------------------------------------


WHOLE = """
[[credential]]
name = "ci"
access_key = "AKCI"
secret_key = "secret-of-ci"

[[credential]]
name = "reader@example.com"
access_key = "my-reader_1"
secret_key = "secret-of-reader"
grants = "policies"
"""


@pytest.fixture
def file(tmp_path):
    def write(text, mode=0o600):
        path = tmp_path / "credentials.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        path.chmod(mode)
        return path

    return write


def test_a_file_gives_its_credentials_in_order(file):
    ci, reader = load(file(WHOLE))

    assert (ci.name, ci.access_key, ci.secret_key, ci.grants) == ("ci", "AKCI", "secret-of-ci", "all")
    assert (reader.name, reader.access_key, reader.grants) == ("reader@example.com", "my-reader_1", "policies")


def test_a_secret_is_in_no_repr(file):
    assert "secret-of-ci" not in repr(load(file(WHOLE)))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (WHOLE, "", "one [[credential]] or more"),
        (WHOLE, "credential = 7", "one [[credential]] or more"),
        (WHOLE, "credential = [7]", "credential 1 is not a table"),
        (WHOLE, "[[credential", "not TOML"),
        ("\n[[credential]]", "\nowner = 1\n[[credential]]", "nothing else"),
        ('name = "ci"\n', "", "credential 1 has no name"),
        ('name = "ci"', "name = 7", "credential 1 has no name"),
        ('access_key = "AKCI"\n', "", "credential 1 has no access_key"),
        ('secret_key = "secret-of-ci"\n', "", "credential 1 has no secret_key"),
        ("grants", "grant", "credential 2 has grant,"),
        ('"policies"', '"everything"', "credential 2: grants is"),
        ('"policies"', "[]", "credential 2: grants is"),
        ('"AKCI"', '"AK"', "credential 1: an access_key is 3 to 128"),
        ('"AKCI"', f'"{"A" * 129}"', "credential 1: an access_key is 3 to 128"),
        ('"AKCI"', '"AK/CI"', "credential 1: an access_key is"),
        ('"AKCI"', '"AK.CI"', "credential 1: an access_key is"),
        ('"AKCI"', '"AKÇI"', "credential 1: an access_key is"),
        ('"secret-of-ci"', '"sevenls"', "credential 1: a secret_key has at least 8"),
        ('"ci"', '"my name"', "credential 1: a name is"),
        ('"ci"', '"anonymous"', "credential 1: a name is"),
        ('"ci"', f'"{"a" * 65}"', "credential 1: a name is at most 64"),
        ('"ci"', '"reader@example.com"', "two credentials have the name reader@example.com"),
        ('"AKCI"', '"my-reader_1"', "two credentials have the access_key my-reader_1"),
    ],
)
def test_a_mistake_in_the_file_is_one_sentence_without_a_secret(file, old, new, said):
    path = file(WHOLE.replace(old, new))

    with pytest.raises(CredentialsError) as raised:
        load(path)

    sentence = str(raised.value)
    assert said in sentence
    assert sentence.startswith(str(path))
    assert "\n" not in sentence
    assert "secret-of" not in sentence


def test_a_file_that_is_no_text_is_refused(file):
    with pytest.raises(CredentialsError, match=r"credentials\.toml: "):
        load(file(b"\xff\xfe"))


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(CredentialsError, match="No such file or directory"):
        load(tmp_path / "missing.toml")


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o601, 0o644])
def test_a_file_that_everybody_can_touch_is_refused_as_ssh_does(file, mode):
    with pytest.raises(CredentialsError, match="chmod o-rwx"):
        load(file(WHOLE, mode))


def test_a_group_may_read_the_file(file):
    """An orchestrator mounts a secret for the group of the process."""
    assert len(load(file(WHOLE, 0o640))) == 2


@pytest.mark.parametrize("again", [{"name": "another"}, {"access_key": "AKOTHER"}])
def test_no_two_credentials_of_a_server_share_a_key_or_a_name(again):
    """The pair of the environment and the file are two sources: the later one must not win in silence."""
    with pytest.raises(CredentialsError, match="two credentials have the"):
        Authority([OWNER, replace(OWNER, **again)], region=REGION, clock=StoppedClock())
