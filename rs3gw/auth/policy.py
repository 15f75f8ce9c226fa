"""
Bucket policies: what they may say, and what they decide.

A policy is judged whole when it is put: an element, an operator or a condition key that is not evaluated here is
refused then, because a policy that is stored and not meant is worse than none.  Evaluation is AWS's: an explicit
Deny wins over everything, an Allow over silence, and silence leaves the owner what is the owner's.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html and
…/reference_policies_elements_condition_operators.html; the keys are those of
https://docs.aws.amazon.com/AmazonS3/latest/userguide/amazon-s3-policy-keys.html that are evaluated.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from functools import lru_cache
from operator import eq, ge, gt, le, lt
from typing import Any

from rs3gw.auth.actions import kinds_of_action, kinds_of_resource
from rs3gw.auth.credentials import Identity
from rs3gw.auth.patterns import Filled, Pattern, Variable, matches, matches_arn, take_apart, text_of
from rs3gw.errors import AccessDenied, MalformedPolicy
from rs3gw.operations.checks import ACCOUNT

MAX_POLICY_BYTES = 20 * 1024
VERSIONS = ("2012-10-17", "2008-10-17")

Value = str | int | bool | Sequence[str] | Mapping[str, str] | None
Context = Mapping[str, Value | Callable[[], Value]]
"""
What is known of a request, by condition key; a callable is asked only if a condition needs it.

A key with a slash (``s3:ExistingObjectTag/team``) is looked up in the mapping under what stands before the slash.
"""

KEYS = frozenset(
    key.lower()
    for key in (
        "aws:CurrentTime", "aws:EpochTime", "aws:PrincipalArn", "aws:PrincipalAccount", "aws:PrincipalType",
        "aws:Referer", "aws:SecureTransport", "aws:SourceIp", "aws:UserAgent", "aws:userid", "aws:username",
        "s3:authType", "s3:signatureversion", "s3:prefix", "s3:delimiter", "s3:max-keys", "s3:LocationConstraint",
        "s3:RequestObjectTagKeys", "s3:x-amz-acl", "s3:x-amz-copy-source", "s3:x-amz-metadata-directive",
        "s3:x-amz-storage-class", "s3:if-match", "s3:if-none-match",
    )
)  # fmt: skip
KEYED = frozenset(("s3:existingobjecttag", "s3:requestobjecttag"))
"""Keys that name a tag after a slash."""

MULTIVALUED = frozenset(("s3:requestobjecttagkeys",))
"""Keys that may have several values in one request; a variable cannot stand for one."""


class Decision(Enum):
    """What a policy says of a request."""

    ALLOW = "allow"
    DENY = "deny"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Operator:
    """
    What a condition does with one value of the request and one of the policy.

    A negated one is its twin's contrary over all the values of the policy.  ``reads`` raises ValueError for a value
    that a policy cannot mean.
    """

    judge: Callable[[str, Filled], bool]
    reads: Callable[[str], object] = str
    is_negated: bool = False
    has_wildcards: bool = False


@dataclass(frozen=True, slots=True)
class Test:
    """One line of a Condition: an operator, a key, and the values that it may be; ``operator`` is None for Null."""

    key: str
    values: tuple[Pattern, ...]
    operator: Operator | None
    if_exists: bool
    quantifier: str


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement, taken apart."""

    allows: bool
    principals: tuple[str, ...]
    not_principals: tuple[str, ...] | None
    actions: tuple[Pattern, ...]
    is_not_action: bool
    resources: tuple[Pattern, ...]
    is_not_resource: bool
    tests: tuple[Test, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy that was judged."""

    statements: tuple[Statement, ...]


ARN = "arn:aws:s3:::"

# What it may say ---------------------------------------------------------------------------------------------


def parse(text: str, *, bucket: str | None = None) -> Policy:
    """
    Read a policy; with ``bucket``, also require that it speaks of that bucket alone.

    Raises MalformedPolicy, naming the element that is wrong.
    """
    policy = _parse(text)
    if bucket is not None:
        for statement in policy.statements:
            for resource in statement.resources:
                name = resource.text.removeprefix(ARN).partition("/")[0]
                if not _is_named(_pattern(name), bucket):
                    raise MalformedPolicy(message=f"Policy has invalid resource: {resource.text}")
    return policy


@lru_cache(maxsize=256)
def _parse(text: str) -> Policy:
    if len(text.encode("utf-8", "surrogatepass")) > MAX_POLICY_BYTES:
        raise MalformedPolicy(message=f"A policy has at most {MAX_POLICY_BYTES} bytes.")
    try:
        said = json.loads(text, object_pairs_hook=_distinct, parse_constant=_no_number)
    except (ValueError, RecursionError) as fault:
        if isinstance(fault, _Twice):
            raise MalformedPolicy(message=f"The element {fault} stands twice.") from fault
        raise MalformedPolicy() from fault
    if not isinstance(said, dict):
        raise MalformedPolicy()
    _only(said, {"Version", "Id", "Statement"}, "the policy")
    version = said.get("Version", VERSIONS[1])
    if version not in VERSIONS:
        raise MalformedPolicy(message="Version is 2012-10-17 or 2008-10-17.")
    if not isinstance(said.get("Id", ""), str):
        raise MalformedPolicy(message="Id is a string.")
    statements = said.get("Statement")
    if isinstance(statements, dict):
        statements = [statements]
    if not isinstance(statements, list) or not statements:
        raise MalformedPolicy(message="Missing required field Statement")
    sids = [each["Sid"] for each in statements if isinstance(each, dict) and "Sid" in each]
    if len(set(map(str, sids))) != len(sids):
        raise MalformedPolicy(message="Two statements have the same Sid.")
    has_variables = version == VERSIONS[0]
    return Policy(tuple(_statement(each, has_variables=has_variables) for each in statements))


class _Twice(ValueError):
    """An element stands twice in an object."""


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _Twice(name)
        found[name] = value
    return found


def _no_number(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


def _only(said: Mapping[str, Any], allowed: set[str], where: str) -> None:
    unknown = sorted(said.keys() - allowed)
    if unknown:
        raise MalformedPolicy(message=f"Unknown field {unknown[0]} in {where}")


_ELEMENTS = {
    "Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"
}  # fmt: skip


def _statement(said: Any, *, has_variables: bool) -> Statement:
    if not isinstance(said, dict):
        raise MalformedPolicy(message="A Statement is an object.")
    _only(said, _ELEMENTS, "a Statement")
    if not isinstance(said.get("Sid", ""), str):
        raise MalformedPolicy(message="Sid is a string.")
    if said.get("Effect") not in ("Allow", "Deny"):
        raise MalformedPolicy(message=f"Invalid effect: {said.get('Effect')}")
    principal = _one_of(said, "Principal", "NotPrincipal")
    action = _one_of(said, "Action", "NotAction")
    resource = _one_of(said, "Resource", "NotResource")
    principals = _principals(said[principal])
    if principal == "NotPrincipal" and said["Effect"] == "Allow":
        # AWS refuses it too: it would allow everybody whom it does not name, anonymous callers among them.
        raise MalformedPolicy(message="Allow with NotPrincipal is not allowed.")
    actions = _strings(said[action], action)
    for name in actions:
        if not kinds_of_action(name):
            raise MalformedPolicy(message=f"Policy has invalid action: {name}")
    resources = _strings(said[resource], resource)
    for name in resources:
        if name != "*" and not name.startswith(ARN):
            raise MalformedPolicy(message=f"Policy has invalid resource: {name}")
    if action == "Action" and resource == "Resource":
        _check_applies(actions, resources)
    return Statement(
        allows=said["Effect"] == "Allow",
        principals=principals if principal == "Principal" else (),
        not_principals=principals if principal == "NotPrincipal" else None,
        actions=tuple(_pattern(name.lower()) for name in actions),
        is_not_action=action == "NotAction",
        resources=tuple(_pattern(name, has_variables=has_variables) for name in resources),
        is_not_resource=resource == "NotResource",
        tests=tuple(_tests(said.get("Condition", {}), has_variables=has_variables)),
    )


def _check_applies(actions: Sequence[str], resources: Sequence[str]) -> None:
    # ListBucket of the keys in a bucket, or GetObject of the bucket, would never happen.
    given = frozenset[str]().union(*(kinds_of_resource(name.removeprefix(ARN)) for name in resources))
    for name in actions:
        if not kinds_of_action(name) & given:
            raise MalformedPolicy(message=f"Action does not apply to any resource(s) in statement: {name}")


def _one_of(said: Mapping[str, Any], plain: str, negated: str) -> str:
    if (plain in said) == (negated in said):
        raise MalformedPolicy(message=f"A Statement has one of {plain} and {negated}.")
    return plain if plain in said else negated


def _strings(said: Any, where: str) -> tuple[str, ...]:
    found = [said] if isinstance(said, str) else said
    if not isinstance(found, list) or not found or not all(isinstance(each, str) and each for each in found):
        raise MalformedPolicy(message=f"{where} is a string, or a list of strings that is not empty.")
    return tuple(found)


_PRINCIPAL = re.compile(rf"\*|{ACCOUNT}|arn:aws:iam::{ACCOUNT}:(root|user/[\w+=,.@/-]+)")


def _principals(said: Any) -> tuple[str, ...]:
    if said == "*":
        return ("*",)
    if not isinstance(said, dict) or set(said) != {"AWS"}:
        raise MalformedPolicy(message='Invalid principal in policy: it is "*" or {"AWS": …}.')
    found = _strings(said["AWS"], "Principal")
    for name in found:
        if not _PRINCIPAL.fullmatch(name):
            raise MalformedPolicy(message=f'Invalid principal in policy: "AWS" : "{name}"')
    return found


def _pattern(text: str, *, has_wildcards: bool = True, has_variables: bool = False) -> Pattern:
    # Version 2008-10-17 has no variables: what looks like one is text.
    try:
        found = take_apart(text, has_wildcards=has_wildcards, has_variables=has_variables)
    except ValueError as fault:
        raise MalformedPolicy(message=f"Policy has an invalid variable: {fault}") from fault
    for piece in found.pieces:
        if isinstance(piece, Variable) and piece.key not in KEYS - MULTIVALUED:
            raise MalformedPolicy(message=f"Policy has an invalid variable: {piece.key} in {text}")
    return found


# Conditions --------------------------------------------------------------------------------------------------


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no number to compare with")
    return number


def _date(text: str) -> float:
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(f"{text} is neither true nor false")
    return text.lower() == "true"


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_network(text, strict=False)


def _is_within(address: str, network: str) -> bool:
    found, block = ipaddress.ip_address(address), _network(network)
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None and block.version == 4:
        found = found.ipv4_mapped
    return found in block


def _is_like(found: str, wanted: Filled) -> bool:
    return matches(wanted, found)


def _is_arn_like(found: str, wanted: Filled) -> bool:
    return matches_arn(wanted, found)


def _by_text(how: Callable[[str, str], bool]) -> Callable[[str, Filled], bool]:
    return lambda found, wanted: how(found, text_of(wanted))


def _by(read: Callable[[str], Any], how: Callable[[Any, Any], bool]) -> Callable[[str, Filled], bool]:
    return lambda found, wanted: how(read(found), read(text_of(wanted)))


def _folded(text: str) -> str:
    return text.casefold()


def _twins(name: str, negated: str, operator: Operator) -> dict[str, Operator]:
    return {name: operator, negated: replace(operator, is_negated=True)}


def _ordered(kind: str, read: Callable[[str], Any]) -> dict[str, Operator]:
    return {
        **_twins(f"{kind}Equals", f"{kind}NotEquals", Operator(_by(read, eq), read)),
        f"{kind}LessThan": Operator(_by(read, lt), read),
        f"{kind}LessThanEquals": Operator(_by(read, le), read),
        f"{kind}GreaterThan": Operator(_by(read, gt), read),
        f"{kind}GreaterThanEquals": Operator(_by(read, ge), read),
    }


OPERATORS: Mapping[str, Operator] = {
    **_twins("StringEquals", "StringNotEquals", Operator(_by_text(eq))),
    **_twins("StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase", Operator(_by(_folded, eq))),
    **_twins("StringLike", "StringNotLike", Operator(_is_like, has_wildcards=True)),
    **_ordered("Numeric", _number),
    **_ordered("Date", _date),
    "Bool": Operator(_by(_truth, eq), _truth),
    "BinaryEquals": Operator(_by(_bytes, eq), _bytes),
    **_twins("IpAddress", "NotIpAddress", Operator(_by_text(_is_within), _network)),
    **_twins("ArnEquals", "ArnNotEquals", Operator(_is_arn_like, has_wildcards=True)),
    **_twins("ArnLike", "ArnNotLike", Operator(_is_arn_like, has_wildcards=True)),
}

_QUANTIFIERS = ("ForAnyValue", "ForAllValues")


def _tests(said: Any, *, has_variables: bool) -> Iterable[Test]:
    if not isinstance(said, dict):
        raise MalformedPolicy(message="Condition is an object.")
    for spelled, lines in said.items():
        quantifier, colon, operator = spelled.rpartition(":")
        if colon and quantifier not in _QUANTIFIERS:
            raise MalformedPolicy(message=f"Invalid Condition type : {spelled}")
        if_exists = operator.endswith("IfExists")
        operator = operator.removesuffix("IfExists")
        if not isinstance(lines, dict) or not lines:
            raise MalformedPolicy(message=f"{spelled} is an object that is not empty.")
        for key, values in lines.items():
            name = key.lower()
            if name not in KEYS and not (name.partition("/")[0] in KEYED and name.partition("/")[2]):
                raise MalformedPolicy(message=f"Policy has an invalid condition key: {key}")
            yield _test(spelled, operator, quantifier, key, values, if_exists=if_exists, has_variables=has_variables)


def _test(
    spelled: str, operator: str, quantifier: str, key: str, values: Any, *, if_exists: bool, has_variables: bool
) -> Test:
    listed = values if isinstance(values, list) else [values]
    if not listed or not all(isinstance(value, (str, bool, int, float)) for value in listed):
        raise MalformedPolicy(message=f"{spelled} of {key} is a value, or a list of values that is not empty.")
    texts = tuple(str(value).lower() if isinstance(value, bool) else str(value) for value in listed)
    if operator == "Null":
        if if_exists or quantifier or any(text not in ("true", "false") for text in texts):
            raise MalformedPolicy(message="Null is true or false.")
        return Test(key, tuple(_pattern(text) for text in texts), None, False, "")
    if operator not in OPERATORS:
        raise MalformedPolicy(message=f"Invalid Condition type : {spelled}")
    meant = OPERATORS[operator]
    return Test(
        key,
        tuple(_value(spelled, key, text, meant, has_variables=has_variables) for text in texts),
        meant,
        if_exists,
        quantifier,
    )


def _value(spelled: str, key: str, text: str, operator: Operator, *, has_variables: bool) -> Pattern:
    value = _pattern(text, has_wildcards=operator.has_wildcards, has_variables=has_variables)
    if value.filled is not None:
        try:
            operator.reads(text_of(value.filled))
        except ValueError as fault:
            raise MalformedPolicy(message=f"Invalid value for {spelled} of {key}: {text}") from fault
    return value


# What it decides ---------------------------------------------------------------------------------------------


def evaluate(policy: Policy, identity: Identity, action: str, resource: str, context: Context) -> Decision:
    """What a policy says of an action on a resource by a caller."""
    known = _Known(identity, context)
    decision = Decision.SILENT
    for statement in policy.statements:
        if _applies(statement, identity, action.lower(), resource, known):
            if not statement.allows:
                return Decision.DENY
            decision = Decision.ALLOW
    return decision


def _applies(statement: Statement, identity: Identity, action: str, resource: str, known: _Known) -> bool:
    if statement.not_principals is not None:
        if _names(statement.not_principals, identity):
            return False
    elif not _names(statement.principals, identity):
        return False
    if any(_is_named(each, action, known) for each in statement.actions) == statement.is_not_action:
        return False
    if any(_is_named(each, resource, known) for each in statement.resources) == statement.is_not_resource:
        return False
    return all(_holds(test, known) for test in statement.tests)


def _is_named(pattern: Pattern, text: str, known: _Known | None = None) -> bool:
    filled = pattern.filled if known is None else pattern.fill(known.value)
    return filled is not None and matches(filled, text)


def _names(principals: Sequence[str], identity: Identity) -> bool:
    if "*" in principals:
        return True
    if identity.is_anonymous:
        return False
    return any(name in (identity.arn, ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root") for name in principals)


class _Known:
    """The values of condition keys for one request."""

    def __init__(self, identity: Identity, context: Context) -> None:
        self._identity = identity
        self._context = {name.lower(): value for name, value in context.items()}

    def values(self, key: str) -> tuple[str, ...] | None:
        """The values that a key has in the request; None where it has none."""
        name, _, tag = key.partition("/")
        found = self._own(name.lower())
        if callable(found):
            found = found()
        if isinstance(found, Mapping):
            found = found.get(tag)
        if found is None:
            return None
        if isinstance(found, bool):
            return (str(found).lower(),)
        if isinstance(found, (str, int)):
            return (str(found),)
        return tuple(found) or None

    def _own(self, name: str) -> Value | Callable[[], Value]:
        identity = self._identity
        if name == "aws:username":
            return None if identity.is_anonymous else identity.name
        if name == "aws:userid":
            return identity.access_key
        if name == "aws:principalarn":
            return None if identity.is_anonymous else identity.arn
        if name == "aws:principalaccount":
            return None if identity.is_anonymous else ACCOUNT
        if name == "aws:principaltype":
            return "Anonymous" if identity.is_anonymous else "User"
        return self._context.get(name)

    def value(self, key: str) -> str | None:
        """The value of a key that has one at most."""
        found = self.values(key)
        return None if found is None else found[0]


def _holds(test: Test, known: _Known) -> bool:
    found, operator = known.values(test.key), test.operator
    if operator is None:
        return str(found is None).lower() in [value.text for value in test.values]
    if found is None:
        # ForAllValues holds of none, ForAnyValue of none never, …IfExists or not; elsewhere a missing key differs
        # from everything.
        if test.quantifier:
            return test.quantifier == "ForAllValues"
        return test.if_exists or operator.is_negated
    wanted = [value.fill(known.value) for value in test.values]
    judged = [any(_judge(operator, each, value) for value in wanted) != operator.is_negated for each in found]
    return any(judged) if test.quantifier == "ForAnyValue" else all(judged)


def _judge(operator: Operator, found: str, wanted: Filled | None) -> bool:
    if wanted is None:
        # A variable without a value is equal to nothing and like nothing.
        return False
    try:
        return operator.judge(found, wanted)
    except ValueError:
        # What is no number, date or address is equal to none and within none.
        return False


_ALWAYS_THE_OWNERS = frozenset(("s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"))
"""A policy that denies everybody everything can still be taken off: AWS keeps these for the account's root."""


def may(identity: Identity, action: str, resource: str, policy: Policy | None, context: Context) -> None:
    """
    Require that a caller may do this to a resource.

    An owner may everything that no policy denies; everybody else only what one allows.  Raises AccessDenied.
    """
    is_owner = identity.grants == "all"
    decision = Decision.SILENT if policy is None else evaluate(policy, identity, action, resource, context)
    if is_owner and action in _ALWAYS_THE_OWNERS:
        return
    if decision is Decision.ALLOW or (is_owner and decision is Decision.SILENT):
        return
    if identity.is_anonymous:
        raise AccessDenied()
    why = "with an explicit deny in a resource-based policy" if decision is Decision.DENY else (
        "because no resource-based policy allows it"
    )  # fmt: skip
    raise AccessDenied(
        message=f'User: {identity.arn} is not authorized to perform: {action} on resource: "{resource}" {why}'
    )
