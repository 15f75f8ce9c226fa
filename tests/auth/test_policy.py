"""
Bucket policies: what is refused when it is put, and what the rest decides.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from rs3gw.auth import policy
from rs3gw.auth.actions import OF_BUCKETS, OF_OBJECTS, kinds_of_action
from rs3gw.auth.credentials import ANONYMOUS, Identity
from rs3gw.auth.evidence import Evidence, Scope, Signature
from rs3gw.auth.policy import Decision
from rs3gw.engine.world import SystemClock
from rs3gw.errors import AccessDenied, MalformedPolicy
from rs3gw.gateway import access
from rs3gw.operations import OPERATIONS

OWNER = Identity(name="owner", access_key="AKOWNER", grants="all")
ALICE = Identity(name="alice", access_key="AKALICE", grants="policies")
BOB = Identity(name="bob", access_key="AKBOB", grants="policies")

ALLOW, DENY, SILENT = Decision.ALLOW, Decision.DENY, Decision.SILENT
OBJECT = "arn:aws:s3:::bucket/photos/cat.jpg"


def text(*statements, version="2012-10-17"):
    whole = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::bucket/*"}
    said = [{name: value for name, value in {**whole, **each}.items() if value is not None} for each in statements]
    return json.dumps({"Version": version, "Statement": said})


def decide(statement, identity=ALICE, action="s3:GetObject", resource=OBJECT, version="2012-10-17", **context):
    parsed = policy.parse(text(statement, version=version), bucket="bucket")
    named = {name.replace("__", ":").replace("_", "-"): value for name, value in context.items()}
    return policy.evaluate(parsed, identity, action, resource, named)


def under(operator, key, wanted, *, effect="Allow", version="2012-10-17", identity=ALICE, **context):
    """What a statement with one condition decides."""
    return decide(
        {"Effect": effect, "Condition": {operator: {key: wanted}}}, identity=identity, version=version, **context
    )


def refusal(document, bucket="bucket"):
    with pytest.raises(MalformedPolicy) as raised:
        policy.parse(document if isinstance(document, str) else json.dumps(document), bucket=bucket)
    return raised.value.message


# Who, what, to what ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("principal", "alice", "bob", "anonymous"),
    [
        ("*", ALLOW, ALLOW, ALLOW),
        ({"AWS": "*"}, ALLOW, ALLOW, ALLOW),
        ({"AWS": "arn:aws:iam::000000000000:user/alice"}, ALLOW, SILENT, SILENT),
        ({"AWS": ["arn:aws:iam::000000000000:user/bob", "000000000000"]}, ALLOW, ALLOW, SILENT),
        ({"AWS": "arn:aws:iam::000000000000:root"}, ALLOW, ALLOW, SILENT),
    ],
)
def test_a_principal_is_everybody_the_account_or_a_user(principal, alice, bob, anonymous):
    found = [decide({"Principal": principal}, identity=who) for who in (ALICE, BOB, ANONYMOUS)]

    assert found == [alice, bob, anonymous]


def test_whom_not_principal_names_is_spared_and_nobody_else():
    statement = {
        "Effect": "Deny",
        "Principal": None,
        "NotPrincipal": {"AWS": "arn:aws:iam::000000000000:user/alice"},
    }

    assert [decide(statement, identity=who) for who in (ALICE, BOB, ANONYMOUS)] == [SILENT, DENY, DENY]


@pytest.mark.parametrize(
    ("said", "action", "expected"),
    [
        ("s3:GetObject", "s3:GetObject", ALLOW),
        ("S3:getobject", "s3:GetObject", ALLOW),
        ("s3:Get*", "s3:GetObjectTagging", ALLOW),
        ("s3:*Object", "s3:GetObjectTagging", SILENT),
        ("s3:???Object", "s3:PutObject", ALLOW),
        ("*", "s3:PutObject", ALLOW),
        (["s3:PutObject", "s3:DeleteObject"], "s3:GetObject", SILENT),
    ],
)
def test_an_action_matches_in_any_case_and_with_wildcards(said, action, expected):
    assert decide({"Action": said}, action=action) is expected


def test_not_action_means_every_other_action():
    statement = {"Action": None, "NotAction": "s3:Delete*"}

    assert decide(statement, action="s3:DeleteObject") is SILENT
    assert decide(statement, action="s3:GetObject") is ALLOW


@pytest.mark.parametrize(
    ("said", "resource", "expected"),
    [
        ("arn:aws:s3:::bucket/*", "arn:aws:s3:::bucket/a/b", ALLOW),
        ("arn:aws:s3:::bucket/*", "arn:aws:s3:::bucket", SILENT),
        ("arn:aws:s3:::bucket*", "arn:aws:s3:::bucket", ALLOW),
        ("arn:aws:s3:::bucket/a?", "arn:aws:s3:::bucket/ab", ALLOW),
        ("arn:aws:s3:::bucket/A*", "arn:aws:s3:::bucket/ab", SILENT),
        ("arn:aws:s3:::bucket/a\n*", "arn:aws:s3:::bucket/a\nb", ALLOW),
        ("arn:aws:s3:::buck*", "arn:aws:s3:::bucket/a", ALLOW),
        ("*", "arn:aws:s3:::bucket", ALLOW),
    ],
)
def test_a_resource_is_the_bucket_or_keys_in_it(said, resource, expected):
    assert decide({"Resource": said}, resource=resource) is expected


def test_not_resource_means_every_other_resource():
    statement = {"Resource": None, "NotResource": "arn:aws:s3:::bucket/public/*", "Effect": "Deny"}

    assert decide(statement, resource="arn:aws:s3:::bucket/public/a") is SILENT
    assert decide(statement, resource="arn:aws:s3:::bucket/private/a") is DENY


def test_a_deny_wins_wherever_it_stands():
    for order in (1, -1):
        statements = [{"Effect": "Allow"}, {"Effect": "Deny", "Principal": {"AWS": [ALICE.arn]}}][::order]
        parsed = policy.parse(text(*statements))

        assert policy.evaluate(parsed, ALICE, "s3:GetObject", OBJECT, {}) is DENY
        assert policy.evaluate(parsed, BOB, "s3:GetObject", OBJECT, {}) is ALLOW


# Variables ---------------------------------------------------------------------------------------------------


HOME = {"Resource": "arn:aws:s3:::bucket/home/${aws:username}/*"}


def test_a_variable_gives_everybody_a_folder():
    assert decide(HOME, resource="arn:aws:s3:::bucket/home/alice/a") is ALLOW
    assert decide(HOME, resource="arn:aws:s3:::bucket/home/bob/a") is SILENT
    assert decide(HOME, identity=ANONYMOUS, resource="arn:aws:s3:::bucket/home//a") is SILENT


def test_a_policy_of_2008_has_no_variables():
    assert decide(HOME, resource="arn:aws:s3:::bucket/home/alice/a", version="2008-10-17") is SILENT
    assert decide(HOME, resource="arn:aws:s3:::bucket/home/${aws:username}/a", version="2008-10-17") is ALLOW


def test_a_client_cannot_widen_a_policy_by_what_it_sends():
    """A user agent of one star would open every folder if it were read as a wildcard."""
    statement = {"Resource": "arn:aws:s3:::bucket/${aws:UserAgent}/x"}

    assert decide(statement, resource="arn:aws:s3:::bucket/secret/x", aws__UserAgent="*") is SILENT
    assert decide(statement, resource="arn:aws:s3:::bucket/*/x", aws__UserAgent="*") is ALLOW


def test_an_unresolved_variable_of_a_condition_equals_nothing():
    wanted = "${aws:Referer}"

    assert under("StringEquals", "s3:prefix", wanted, s3__prefix="") is SILENT
    assert under("StringNotEquals", "s3:prefix", wanted, s3__prefix="") is ALLOW


@pytest.mark.parametrize(
    "name", ["aws:nonsense", "aws:username", "s3:RequestObjectTagKeys", "aws:username, nobody", ""]
)
def test_a_variable_that_stands_for_nothing_is_refused(name):
    said = f"arn:aws:s3:::bucket/${{{name}}}" if name != "aws:username" else "arn:aws:s3:::bucket/${aws:username"

    assert "variable" in refusal(text({"Resource": said}))


# Conditions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operator", "wanted", "found", "holds"),
    [
        ("StringEquals", "a*", "a*", True),
        ("StringEquals", "a*", "ab", False),
        ("StringEquals", ["x", "a"], "a", True),
        ("StringEquals", "a", "A", False),
        ("StringNotEquals", ["x", "a"], "a", False),
        ("StringNotEquals", ["x", "y"], "a", True),
        ("StringEqualsIgnoreCase", "a", "A", True),
        ("StringNotEqualsIgnoreCase", "a", "A", False),
        ("StringLike", "a*c?", "abbcd", True),
        ("StringLike", ["x", "a?"], "abc", False),
        ("StringNotLike", "a*", "abc", False),
        ("StringNotLike", "a*", "b", True),
        ("NumericEquals", "10", 10, True),
        ("NumericEquals", "1e1", 10, True),
        ("NumericNotEquals", 10, 11, True),
        ("NumericLessThan", "10", 10, False),
        ("NumericLessThanEquals", "10", 10, True),
        ("NumericGreaterThan", "10", 11, True),
        ("NumericGreaterThanEquals", "10", 9, False),
        ("NumericLessThan", "10", "many", False),
        ("DateEquals", "2026-11-23T00:00:00Z", "2026-11-23T01:00:00+01:00", True),
        ("DateNotEquals", "2026-11-23T00:00:00Z", "2026-11-23T00:00:00Z", False),
        ("DateLessThan", "2026-11-23", "2026-11-22T23:59:59Z", True),
        ("DateGreaterThan", "2026-11-23T00:00:00Z", "2026-11-23T00:00:00Z", False),
        ("DateGreaterThanEquals", "2026-11-23T00:00:00Z", 1795392000, True),
        ("DateLessThanEquals", "1795392000", "2026-11-23T00:00:00Z", True),
        ("Bool", "true", True, True),
        ("Bool", True, False, False),
        ("Bool", "False", False, True),
        ("BinaryEquals", "aGk=", "aGk=", True),
        ("IpAddress", "192.0.2.0/24", "192.0.2.7", True),
        ("IpAddress", ["192.0.2.0/24", "2001:db8::/32"], "2001:db8::1", True),
        ("IpAddress", "192.0.2.7", "192.0.2.8", False),
        ("IpAddress", "192.0.2.0/24", "::ffff:192.0.2.7", True),
        ("IpAddress", "0.0.0.0/0", "nowhere", False),
        ("NotIpAddress", "192.0.2.0/24", "192.0.2.7", False),
        ("NotIpAddress", "192.0.2.0/24", "198.51.100.1", True),
        ("NotIpAddress", "192.0.2.0/24", "nowhere", True),
        ("ArnEquals", "arn:aws:iam::*:user/a*", "arn:aws:iam::000000000000:user/alice", True),
        ("ArnLike", "arn:aws:iam::000000000000:user/b*", "arn:aws:iam::000000000000:user/alice", False),
        ("ArnNotEquals", "arn:aws:iam::*:user/a*", "arn:aws:iam::000000000000:user/alice", False),
        ("ArnNotLike", "arn:aws:iam::*:user/b*", "arn:aws:iam::000000000000:user/alice", True),
    ],
)
def test_a_condition_holds_or_not(operator, wanted, found, holds):
    # s3:prefix stands for any key: an operator reads what it is given, whatever the key.
    assert (under(operator, "s3:prefix", wanted, s3__prefix=found) is ALLOW) == holds


@pytest.mark.parametrize("operator", sorted(policy.OPERATORS))
def test_a_missing_key_satisfies_what_negates_and_what_asks_if_it_exists(operator):
    wanted = {"Numeric": "1", "Date": "2026-11-23", "IpAddr": "192.0.2.1", "NotIpA": "192.0.2.1", "Bool": "true"}
    value = next((each for name, each in wanted.items() if operator.startswith(name)), "aGk=")

    assert (under(operator, "s3:prefix", value) is ALLOW) == ("Not" in operator)
    assert under(f"{operator}IfExists", "s3:prefix", value) is ALLOW


def test_null_asks_whether_a_key_is_missing():
    assert under("Null", "s3:prefix", "true") is ALLOW
    assert under("Null", "s3:prefix", "true", s3__prefix="") is SILENT
    assert under("Null", "s3:prefix", False, s3__prefix="") is ALLOW


TAG_KEYS = "s3:RequestObjectTagKeys"


@pytest.mark.parametrize(
    ("operator", "sent", "expected"),
    [
        ("ForAllValues:StringEquals", ["a", "b"], ALLOW),
        ("ForAllValues:StringEquals", ["a", "c"], SILENT),
        ("ForAllValues:StringEquals", None, ALLOW),
        ("ForAnyValue:StringEquals", ["c", "b"], ALLOW),
        ("ForAnyValue:StringEquals", ["c", "d"], SILENT),
        ("ForAnyValue:StringEquals", None, SILENT),
        ("ForAnyValue:StringEqualsIfExists", None, SILENT),
        ("ForAllValues:StringNotEquals", ["c", "d"], ALLOW),
        ("ForAllValues:StringNotEquals", ["c", "a"], SILENT),
        ("ForAnyValue:StringNotEquals", ["c", "a"], ALLOW),
        ("ForAnyValue:StringNotEquals", ["a", "b"], SILENT),
        ("ForAnyValue:StringNotEquals", None, SILENT),
    ],
)
def test_a_set_of_values_is_judged_as_all_or_any(operator, sent, expected):
    assert under(operator, TAG_KEYS, ["a", "b"], s3__RequestObjectTagKeys=sent) is expected


def test_every_condition_must_hold():
    condition = {"StringEquals": {"s3:prefix": "a", "s3:delimiter": "/"}, "Bool": {"aws:SecureTransport": "true"}}
    statement = {"Condition": condition}

    assert decide(statement, s3__prefix="a", s3__delimiter="/", aws__SecureTransport=True) is ALLOW
    assert decide(statement, s3__prefix="a", s3__delimiter="-", aws__SecureTransport=True) is SILENT
    assert decide(statement, s3__prefix="a", s3__delimiter="/", aws__SecureTransport=False) is SILENT


def test_a_tag_is_named_after_the_slash_and_its_case_counts():
    key = "S3:existingobjecttag/Team"
    parsed = policy.parse(text({"Condition": {"StringEquals": {key: "blue"}}}))

    def decided(tags):
        return policy.evaluate(parsed, ALICE, "s3:GetObject", OBJECT, {"s3:ExistingObjectTag": lambda: tags})

    assert [decided({"Team": "blue"}), decided({"team": "blue"}), decided({})] == [ALLOW, SILENT, SILENT]


def test_what_no_condition_speaks_of_is_never_looked_up():
    def asked():
        raise AssertionError

    parsed = policy.parse(text({"Condition": {"StringEquals": {"aws:username": "alice"}}}))

    assert policy.evaluate(parsed, ALICE, "s3:GetObject", OBJECT, {"s3:ExistingObjectTag": asked}) is ALLOW


@pytest.mark.parametrize(
    ("key", "alice", "anonymous"),
    [
        ("aws:username", "alice", None),
        ("aws:PrincipalArn", "arn:aws:iam::000000000000:user/alice", None),
        ("aws:PrincipalAccount", "000000000000", None),
        ("aws:PrincipalType", "User", "Anonymous"),
        ("aws:userid", "AKALICE", None),
    ],
)
def test_who_calls_is_known_to_conditions(key, alice, anonymous):
    assert under("StringEquals", key, alice) is ALLOW
    if anonymous is None:
        assert under("Null", key, "true", identity=ANONYMOUS) is ALLOW
    else:
        assert under("StringEquals", key, anonymous, identity=ANONYMOUS) is ALLOW


def test_every_key_that_a_policy_may_name_is_known_of_some_request():
    """A key that nobody fills would be taken by PutBucketPolicy and then never hold."""
    shown = Signature(
        access_key="AKALICE", scope=Scope(date="20261123", region="us-east-1", service="s3"), signed_headers=(),
        signature="", timestamp="20261123T000000Z", method="GET", path="/", query=(), headers={}, payload_hash="",
    )  # fmt: skip
    of_call = access._caller(Evidence(proof=shown), SystemClock())
    of_request = {*access._ASKED.values(), "s3:RequestObjectTagKeys"}
    of_caller = {"aws:username", "aws:userid", "aws:PrincipalArn", "aws:PrincipalAccount", "aws:PrincipalType"}

    assert {key.lower() for key in (*of_call, *of_request, *of_caller)} == policy.KEYS


# Examples of Amazon's documentation --------------------------------------------------------------------------
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/example-bucket-policies.html


def test_the_example_that_insists_on_tls():
    statement = {
        "Effect": "Deny",
        "Action": "s3:*",
        "Resource": ["arn:aws:s3:::bucket", "arn:aws:s3:::bucket/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }

    assert decide(statement, identity=OWNER, aws__SecureTransport=False) is DENY
    assert decide(statement, identity=OWNER, aws__SecureTransport=True) is SILENT


def test_the_example_that_allows_a_network_and_not_one_address_of_it():
    statement = {
        "Condition": {"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}, "NotIpAddress": {"aws:SourceIp": "192.0.2.188/32"}}
    }

    found = [decide(statement, aws__SourceIp=each) for each in ("192.0.2.1", "192.0.2.188", "198.51.100.1", None)]

    assert found == [ALLOW, SILENT, SILENT, SILENT]


def test_the_example_of_a_referer():
    statement = {"Condition": {"StringLike": {"aws:Referer": ["http://www.example.com/*", "http://example.com/*"]}}}

    assert decide(statement, aws__Referer="http://example.com/page") is ALLOW
    assert decide(statement, aws__Referer="http://example.org/page") is SILENT
    assert decide(statement) is SILENT


def test_the_example_of_a_folder_that_may_be_listed():
    statement = {
        "Action": "s3:ListBucket",
        "Resource": "arn:aws:s3:::bucket",
        "Condition": {"StringEquals": {"s3:prefix": "projects"}, "NumericLessThanEquals": {"s3:max-keys": "10"}},
    }
    listing = {"action": "s3:ListBucket", "resource": "arn:aws:s3:::bucket"}

    assert decide(statement, **listing, s3__prefix="projects", **{"s3__max-keys": 10}) is ALLOW
    assert decide(statement, **listing, s3__prefix="projects", **{"s3__max-keys": 11}) is SILENT
    assert decide(statement, **listing, s3__prefix="secrets", **{"s3__max-keys": 10}) is SILENT


def test_the_example_of_a_period():
    statement = {
        "Condition": {
            "DateGreaterThan": {"aws:CurrentTime": "2026-04-01T00:00:00Z"},
            "DateLessThan": {"aws:CurrentTime": "2026-06-30T23:59:59Z"},
        }
    }

    found = [
        decide(statement, aws__CurrentTime=datetime(2026, month, 1, 12, tzinfo=UTC).isoformat()) for month in (3, 5, 7)
    ]

    assert found == [SILENT, ALLOW, SILENT]


def test_the_example_of_tags():
    statement = {"Condition": {"StringEquals": {"s3:ExistingObjectTag/environment": "production"}}}
    parsed = policy.parse(text(statement), bucket="bucket")

    for value, expected in (("production", ALLOW), ("test", SILENT)):
        context = {"s3:ExistingObjectTag": {"environment": value}}

        assert policy.evaluate(parsed, ALICE, "s3:GetObject", OBJECT, context) is expected


# What is refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ({"Efect": "Allow"}, "Efect"),
        ({"Effect": "allow"}, "effect"),
        ({"Effect": None}, "effect"),
        ({"Sid": 7}, "Sid"),
        ({"Principal": None}, "Principal"),
        ({"NotPrincipal": "*"}, "Principal"),
        ({"Principal": None, "NotPrincipal": {"AWS": ALICE.arn}}, "NotPrincipal"),
        ({"Principal": {"Service": "logging.s3.amazonaws.com"}}, "principal"),
        ({"Principal": {"AWS": "alice"}}, "alice"),
        ({"Principal": {"AWS": "arn:aws:iam::111122223333:root"}}, "111122223333"),
        ({"Principal": {"AWS": []}}, "Principal"),
        ({"Action": None}, "Action"),
        ({"NotAction": "s3:PutObject"}, "Action"),
        ({"Action": []}, "Action"),
        ({"Action": "ec2:RunInstances"}, "ec2:RunInstances"),
        ({"Action": "GetObject"}, "GetObject"),
        ({"Action": "s3:GetObjet"}, "s3:GetObjet"),
        ({"Action": ["s3:GetObject", "s3:Got*"]}, "s3:Got*"),
        ({"Action": None, "NotAction": "s3:ListObjects"}, "s3:ListObjects"),
        ({"Action": ["s3:GetObject", "s3:ListBucket"]}, "any resource(s) in statement: s3:ListBucket"),
        ({"Resource": "arn:aws:s3:::bucket"}, "any resource(s) in statement: s3:GetObject"),
        ({"Resource": None}, "Resource"),
        ({"NotResource": "arn:aws:s3:::bucket/*"}, "Resource"),
        ({"Resource": "bucket/*"}, "bucket/*"),
        ({"Resource": "arn:aws:s3:::another/*"}, "another"),
        ({"Resource": ["arn:aws:s3:::bucket/*", "arn:aws:s3:::bucket2"]}, "bucket2"),
        ({"Resource": 7}, "Resource"),
        ({"Condition": []}, "Condition"),
        ({"Condition": {"StringEquals": {}}}, "StringEquals"),
        ({"Condition": {"StringSounds": {"s3:prefix": "a"}}}, "StringSounds"),
        ({"Condition": {"stringequals": {"s3:prefix": "a"}}}, "stringequals"),
        ({"Condition": {"ForSome:StringEquals": {"s3:prefix": "a"}}}, "ForSome"),
        ({"Condition": {"StringEquals": {"aws:SourceVpc": "vpc-1"}}}, "aws:SourceVpc"),
        ({"Condition": {"StringEquals": {"s3:ExistingObjectTag": "a"}}}, "s3:ExistingObjectTag"),
        ({"Condition": {"StringEquals": {"s3:prefix": {}}}}, "s3:prefix"),
        ({"Condition": {"StringEquals": {"s3:prefix": []}}}, "s3:prefix"),
        ({"Condition": {"NumericEquals": {"s3:max-keys": "many"}}}, "many"),
        ({"Condition": {"NumericEquals": {"s3:max-keys": "nan"}}}, "nan"),
        ({"Condition": {"DateLessThan": {"aws:CurrentTime": "tomorrow"}}}, "tomorrow"),
        ({"Condition": {"Bool": {"aws:SecureTransport": "yes"}}}, "yes"),
        ({"Condition": {"IpAddress": {"aws:SourceIp": "192.0.2.0/33"}}}, "192.0.2.0/33"),
        ({"Condition": {"BinaryEquals": {"s3:prefix": "?"}}}, "BinaryEquals"),
        ({"Condition": {"Null": {"s3:prefix": "perhaps"}}}, "Null"),
        ({"Condition": {"NullIfExists": {"s3:prefix": "true"}}}, "Null"),
    ],
)
def test_a_statement_that_would_not_be_meant_is_refused_by_name(statement, said):
    assert said in refusal(text(statement))


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("s3:*", "arn:aws:s3:::bucket"),
        ("s3:Get*", "arn:aws:s3:::bucket/*"),
        ("*", "arn:aws:s3:::bucket/*"),
        ("s3:ListBucket", "*"),
        ("s3:GetObject", "arn:aws:s3:::buck*"),
        (["s3:GetObject", "s3:ListBucket"], ["arn:aws:s3:::bucket", "arn:aws:s3:::bucket/*"]),
        ("s3:GetBucketCors", "arn:aws:s3:::bucket"),
    ],
)
def test_an_action_that_applies_to_some_resource_is_taken(action, resource):
    assert policy.parse(text({"Action": action, "Resource": resource}), bucket="bucket")


def test_a_policy_may_name_every_action_that_we_judge():
    """All but the list of buckets, which is of no bucket and so of no bucket's policy."""
    judged = {operation.action for operation in OPERATIONS.values()} - {"", "s3:ListAllMyBuckets"}

    assert {action for action in judged if not kinds_of_action(action)} == set()
    assert OF_OBJECTS.isdisjoint(OF_BUCKETS)


@pytest.mark.parametrize(
    "document",
    [
        "",
        "[]",
        "nonsense",
        "7",
        "[" * 10_000,
        '{"Version": "2012-10-17", "Statement": [NaN]}',
        {"Version": "2012-10-17"},
        {"Version": "2012-10-17", "Statement": []},
        {"Version": "2012-10-17", "Statement": "Allow"},
        {"Version": "2012-10-17", "Statement": ["Allow"]},
        {"Version": "2026-11-23", "Statement": json.loads(text({}))["Statement"]},
        {"Version": "2012-10-17", "Statement": json.loads(text({}))["Statement"], "Comment": "hi"},
        {"Version": "2012-10-17", "Statement": json.loads(text({}))["Statement"], "Id": 7},
        '{"Version": "2012-10-17", "Statement": [], "Statement": []}',
        text({"Sid": "one"}, {"Sid": "one"}),
    ],
)
def test_what_is_no_policy_is_refused(document):
    assert refusal(document)


def test_a_policy_may_have_20_kib_and_not_a_byte_more():
    padded = text({})
    padded += " " * (policy.MAX_POLICY_BYTES - len(padded))

    assert policy.parse(padded)
    assert "20480" in refusal(padded + " ")


def test_one_statement_may_stand_without_a_list():
    alone = json.dumps({"Statement": json.loads(text({}))["Statement"][0]})

    assert policy.evaluate(policy.parse(alone), ALICE, "s3:GetObject", OBJECT, {}) is ALLOW


def test_a_policy_is_parsed_once():
    document = text({"Sid": "parsed once"})

    assert policy.parse(document).statements is policy.parse(document, bucket="bucket").statements


# What a caller may -------------------------------------------------------------------------------------------


DENY_ALL = text({"Effect": "Deny", "Action": "s3:*", "Resource": ["arn:aws:s3:::bucket", "arn:aws:s3:::bucket/*"]})


def denied(identity, document=None, action="s3:GetObject", resource=OBJECT):
    with pytest.raises(AccessDenied) as raised:
        policy.may(identity, action, resource, policy.parse(document) if document else None, {})
    return raised.value.message


def test_an_owner_may_what_no_policy_denies():
    policy.may(OWNER, "s3:GetObject", OBJECT, None, {})
    policy.may(OWNER, "s3:PutObject", OBJECT, policy.parse(text({})), {})

    assert "explicit deny" in denied(OWNER, DENY_ALL)


@pytest.mark.parametrize("action", ["s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"])
def test_an_owner_may_always_mend_the_policy_and_nobody_else(action):
    policy.may(OWNER, action, "arn:aws:s3:::bucket", policy.parse(DENY_ALL), {})

    assert denied(ALICE, DENY_ALL, action, "arn:aws:s3:::bucket")


def test_everybody_else_may_only_what_a_policy_allows():
    policy.may(ALICE, "s3:GetObject", OBJECT, policy.parse(text({})), {})
    policy.may(ANONYMOUS, "s3:GetObject", OBJECT, policy.parse(text({})), {})

    assert denied(ALICE)
    assert denied(ANONYMOUS)
    assert denied(ALICE, text({"Action": "s3:PutObject"}))


def test_a_refusal_tells_a_user_what_was_missing_and_a_stranger_nothing():
    assert denied(ALICE) == (
        "User: arn:aws:iam::000000000000:user/alice is not authorized to perform: s3:GetObject on resource: "
        f'"{OBJECT}" because no resource-based policy allows it'
    )
    assert denied(ANONYMOUS) == denied(ANONYMOUS, DENY_ALL) == "Access Denied"
