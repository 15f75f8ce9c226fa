"""
Access keys, and who shows which: evidence in, identity out, the same for both protocols.

``Authority.identify`` is the only place where a caller becomes somebody.  It never tells more than S3 tells, and
what it compares it compares in constant time.  Secrets stay in this package and never appear in a repr.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import stat
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Protocol

from rs3gw.auth import sigv2, sigv4
from rs3gw.auth.evidence import Anonymous, Bearer, Evidence, Foreign, PresignedV2, Signature
from rs3gw.errors import (
    AccessDenied,
    AuthorizationHeaderMalformed,
    AuthorizationQueryParametersError,
    InvalidAccessKeyId,
    InvalidToken,
    RequestExpired,
    RequestTimeTooSkewed,
    SignatureDoesNotMatch,
)
from rs3gw.operations.checks import ACCOUNT

MAX_SKEW = timedelta(minutes=15)
MAX_EXPIRES_SECONDS = 604_800
"""Seven days: the longest that a presigned URL may live."""

MIN_ACCESS_KEY_LENGTH, MAX_ACCESS_KEY_LENGTH, MIN_SECRET_LENGTH, MAX_NAME_LENGTH = 3, 128, 8, 64

SERVICE = "s3"

Grants = Literal["all", "policies"]

NOBODY = "anonymous"

# A slash would end the key within a credential scope, a dot within a bearer token.
_ACCESS_KEY = re.compile(rf"[A-Za-z0-9_-]{{{MIN_ACCESS_KEY_LENGTH},{MAX_ACCESS_KEY_LENGTH}}}")

# IAM's rule for the names of users: a name is the end of an ARN.
_NAME = re.compile(rf"[A-Za-z0-9_+=,.@-]{{1,{MAX_NAME_LENGTH}}}")


class CredentialsError(ValueError):
    """Credentials that the server does not start with; the sentence says what to mend."""


class Clock(Protocol):
    """The time of day."""

    def now(self) -> datetime: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """
    An access key and its secret, under a name.

    ``grants`` says what it may do besides what bucket policies say: "all" is the owner, who may do everything that
    no policy denies; "policies" may do only what a policy allows.

    Raises CredentialsError for what could never be shown, or never be named by a policy.
    """

    access_key: str
    secret_key: str = field(repr=False)
    name: str
    grants: Grants = "all"

    def __post_init__(self) -> None:
        if not _ACCESS_KEY.fullmatch(self.access_key):
            raise CredentialsError(
                f"an access_key is {MIN_ACCESS_KEY_LENGTH} to {MAX_ACCESS_KEY_LENGTH} letters, digits, - and _."
            )
        if len(self.secret_key) < MIN_SECRET_LENGTH:
            raise CredentialsError(f"a secret_key has at least {MIN_SECRET_LENGTH} characters.")
        if not _NAME.fullmatch(self.name) or self.name == NOBODY:
            raise CredentialsError(
                f"a name is at most {MAX_NAME_LENGTH} letters, digits and _+=,.@- (and not {NOBODY})."
            )
        if self.grants not in ("all", "policies"):
            raise CredentialsError('grants is "all" or "policies".')


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """
    Who calls.

    ``canonical_id`` is 64 hex digits, the same for ever for a name; ``signer`` checks the chunks of a body that is
    signed chunk by chunk, and is None where the request carries no signature.
    """

    name: str
    access_key: str | None
    grants: Grants
    signer: sigv4.ChunkSigner | None = field(default=None, compare=False, repr=False)

    @property
    def is_anonymous(self) -> bool:
        return self.access_key is None

    @property
    def arn(self) -> str:
        """The principal that policies name."""
        return f"arn:aws:iam::{ACCOUNT}:user/{self.name}"

    @property
    def canonical_id(self) -> str:
        return hashlib.sha256(f"rs3gw:{self.name}".encode()).hexdigest()


ANONYMOUS = Identity(name=NOBODY, access_key=None, grants="policies")


def token_of(credential: Credential) -> str:
    """The bearer token of an access key: it opens what the key opens, and does not tell the secret."""
    digest = hmac.digest(credential.secret_key.encode(), b"rs3gw bearer token v1", "sha256")
    return f"{credential.access_key}.{digest.hex()}"


class Authority:
    """
    The access keys of one server, and the judgement of what shows them.

    ``authenticators`` are the operator's own (rs3gw.extensions), each asked before the access keys are.
    Raises CredentialsError where two credentials share an access key or a name.
    """

    def __init__(
        self,
        credentials: Iterable[Credential],
        *,
        region: str,
        clock: Clock,
        authenticators: Sequence[Callable[[Evidence], Identity | None]] = (),
    ) -> None:
        self._authenticators = tuple(authenticators)
        self._credentials = {credential.access_key: credential for credential in distinct(credentials)}
        self._identities = {
            key: Identity(name=credential.name, access_key=key, grants=credential.grants)
            for key, credential in self._credentials.items()
        }
        self._tokens = {key: token_of(credential) for key, credential in self._credentials.items()}
        self._region = region
        self._clock = clock

    def identify(self, evidence: Evidence) -> Identity:
        """
        Who shows this.

        Raises InvalidAccessKeyId, SignatureDoesNotMatch, InvalidToken, RequestTimeTooSkewed, RequestExpired,
        AuthorizationHeaderMalformed, AuthorizationQueryParametersError, AccessDenied.
        """
        for authenticator in self._authenticators:
            known = authenticator(evidence)
            if known is not None:
                return known
        proof = evidence.proof
        if isinstance(proof, Signature):
            return self._signed(proof, evidence.protocol)
        if isinstance(proof, Anonymous):
            return ANONYMOUS
        if isinstance(proof, PresignedV2):
            return self._presigned_v2(proof)
        if isinstance(proof, Foreign):
            raise proof.fault
        return self._bearing(proof)

    def _bearing(self, proof: Bearer) -> Identity:
        access_key = proof.token.partition(".")[0]
        expected = self._tokens.get(access_key)
        sent = proof.token.encode("utf-8", "surrogateescape")
        # An unknown key costs a comparison too: the time tells nothing.
        if not hmac.compare_digest((expected or "-" * len(proof.token)).encode(), sent) or expected is None:
            raise InvalidToken()
        return self._identities[access_key]

    def _signed(self, shown: Signature, protocol: str) -> Identity:
        if shown.session_token is not None:
            raise InvalidToken(message="Session tokens are not issued here: sign with the access key alone.")
        self._check_scope(shown)
        self._check_time(shown)
        self._check_signed_headers(shown, protocol)
        credential = self._credentials.get(shown.access_key)
        if credential is None:
            raise InvalidAccessKeyId(aws_access_key_id=shown.access_key)
        key = sigv4.verify(shown, credential.secret_key)
        if key is None:
            canonical = sigv4.canonical_request(shown)
            raise SignatureDoesNotMatch(
                aws_access_key_id=shown.access_key,
                string_to_sign=sigv4.string_to_sign(shown.timestamp, shown.scope, canonical),
                canonical_request=canonical,
            )
        identity = self._identities[shown.access_key]
        if not shown.payload_hash.startswith(sigv4.SIGNED_CHUNKS):
            return identity
        signer = sigv4.ChunkSigner(key=key, seed=shown.signature, scope=shown.scope, timestamp=shown.timestamp)
        return replace(identity, signer=signer)

    def _presigned_v2(self, shown: PresignedV2) -> Identity:
        now = self._clock.now()
        left = int(shown.expires) - now.timestamp()
        if left < 0:
            expires = iso(datetime.fromtimestamp(int(shown.expires), UTC))
            raise RequestExpired(expires=expires, server_time=iso(now))
        # Version 2 itself knows no bound; a link that lives for years would be one for all that.
        if left > MAX_EXPIRES_SECONDS + MAX_SKEW.total_seconds():
            raise AuthorizationQueryParametersError(
                message=f"Expires must be less than a week ({MAX_EXPIRES_SECONDS} seconds) from now"
            )
        credential = self._credentials.get(shown.access_key)
        if credential is None:
            raise InvalidAccessKeyId(aws_access_key_id=shown.access_key)
        if not sigv2.verify(shown, credential.secret_key):
            raise SignatureDoesNotMatch(aws_access_key_id=shown.access_key, string_to_sign=sigv2.string_to_sign(shown))
        return self._identities[shown.access_key]

    def _check_scope(self, shown: Signature) -> None:
        scope = shown.scope
        malformed = AuthorizationHeaderMalformed if shown.expires_seconds is None else AuthorizationQueryParametersError
        if scope.service != SERVICE:
            raise malformed(message=f'The service "{scope.service}" is wrong; expecting "{SERVICE}".')
        if scope.region != self._region:
            raise malformed(
                message=f'The region "{scope.region}" is wrong; expecting "{self._region}".', region=self._region
            )
        if not shown.timestamp.startswith(scope.date):
            raise malformed(message=f'The date "{scope.date}" of the scope is not the date of {shown.timestamp}.')

    def _check_time(self, shown: Signature) -> None:
        now = self._clock.now()
        try:
            signed = _moment(shown.timestamp)
        except ValueError as fault:
            if shown.expires_seconds is not None:
                raise AuthorizationQueryParametersError(
                    message="X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\""
                ) from fault
            raise AccessDenied(message="AWS authentication requires a valid Date or x-amz-date header") from fault
        if shown.expires_seconds is None:
            is_skewed = abs(now - signed) > MAX_SKEW
        else:
            if not 1 <= shown.expires_seconds <= MAX_EXPIRES_SECONDS:
                raise AuthorizationQueryParametersError(
                    message="X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires "
                    f"must be between 1 and {MAX_EXPIRES_SECONDS} seconds"
                )
            lifetime = timedelta(seconds=shown.expires_seconds)
            # What is signed for the last day of the calendar would expire on none: only what has expired is added up.
            if now - signed > lifetime:
                raise RequestExpired(
                    expires=iso(signed + lifetime), server_time=iso(now), x_amz_expires=str(shown.expires_seconds)
                )
            is_skewed = signed - now > MAX_SKEW
        if is_skewed:
            raise RequestTimeTooSkewed(
                request_time=shown.timestamp,
                server_time=iso(now),
                max_allowed_skew_milliseconds=int(MAX_SKEW.total_seconds() * 1000),
            )

    def _check_signed_headers(self, shown: Signature, protocol: str) -> None:
        missing: Sequence[str] = _unsigned(tuple(shown.headers), shown.signed_headers, protocol)
        if missing and shown.expires_seconds is not None:
            missing = [name for name in missing if not _is_signed_in_query(name, shown)]
        if missing:
            raise AccessDenied(
                message="There were headers present in the request which were not signed",
                headers_not_signed=", ".join(sorted(missing)),
            )


@lru_cache(maxsize=1024)
def _unsigned(names: tuple[str, ...], signed: tuple[str, ...], protocol: str) -> tuple[str, ...]:
    """The headers that have to be signed and are not.  A client sends and signs the same ones again and again."""
    missing = [name for name in names if name.startswith("x-amz-") and name not in signed]
    if protocol == "rest" and "host" not in signed:
        missing.append("host")
    return tuple(missing)


def _is_signed_in_query(name: str, shown: Signature) -> bool:
    # The digest of the payload is signed as such, header or not.  Other headers some SDKs hoist into the URL, and
    # who uses it sends them again.
    if name == "x-amz-content-sha256":
        return True
    value = shown.headers.get(name)
    return any(sigv4.decoded(key).lower() == name and sigv4.decoded(said) == value for key, said in shown.query)


_TIMESTAMP = re.compile(r"[0-9]{8}T[0-9]{6}Z")


@lru_cache(maxsize=256)
def _moment(timestamp: str) -> datetime:
    if not _TIMESTAMP.fullmatch(timestamp):
        raise ValueError(f"{timestamp} is no time")
    return datetime.fromisoformat(timestamp)


def iso(moment: datetime) -> str:
    """A time as S3 writes it into an error."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


# The file ----------------------------------------------------------------------------------------------------

_FIELDS = {"name", "access_key", "secret_key", "grants"}


def load(path: Path) -> tuple[Credential, ...]:
    """
    The access keys of a TOML file: a ``[[credential]]`` each, with name, access_key, secret_key and grants.

    Raises CredentialsError, with one sentence, for anything that is not exactly that.
    """
    try:
        mode = os.stat(path).st_mode
        said = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as fault:
        raise CredentialsError(f"{path}: {getattr(fault, 'strerror', None) or fault}.") from fault
    except tomllib.TOMLDecodeError as fault:
        raise CredentialsError(f"{path}: not TOML: {fault}.") from fault
    if mode & stat.S_IRWXO:
        raise CredentialsError(f"{path} can be read by everybody on this machine: chmod o-rwx {path}.")
    tables = said.pop("credential", None)
    if said or not isinstance(tables, list) or not tables:
        raise CredentialsError(f"{path} holds one [[credential]] or more, and nothing else.")
    found = tuple(_credential(path, number, table) for number, table in enumerate(tables, 1))
    try:
        return distinct(found)
    except CredentialsError as fault:
        raise CredentialsError(f"{path}: {fault}") from fault


def distinct(credentials: Iterable[Credential]) -> tuple[Credential, ...]:
    """The credentials, no two of which share an access key or a name.  Raises CredentialsError."""
    found = tuple(credentials)
    for what in ("name", "access_key"):
        seen: set[str] = set()
        for credential in found:
            value = getattr(credential, what)
            if value in seen:
                raise CredentialsError(f"two credentials have the {what} {value}.")
            seen.add(value)
    return found


def _credential(path: Path, number: int, table: Any) -> Credential:
    where = f"{path}: credential {number}"
    if not isinstance(table, dict):
        raise CredentialsError(f"{where} is not a table.")
    unknown = sorted(table.keys() - _FIELDS)
    if unknown:
        raise CredentialsError(f"{where} has {unknown[0]}, which no credential has.")
    for name in ("name", "access_key", "secret_key"):
        if not isinstance(table.get(name), str) or not table[name]:
            raise CredentialsError(f"{where} has no {name}.")
    try:
        return Credential(**table)
    except CredentialsError as fault:
        raise CredentialsError(f"{where}: {fault}") from fault
