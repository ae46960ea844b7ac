"""
Asking an image registry which digest a tag has.

Source: the OCI Distribution Specification 1.1 (``HEAD /v2/NAME/manifests/TAG``) and the token
authentication of its reference implementation. Only public images: no login is sent.
"""

import hashlib
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from email.message import Message
from typing import Any

# Where Docker itself looks for an image that names no registry.
HUB = "https://registry-1.docker.io"

_HUB_NAMES = frozenset({"docker.io", "index.docker.io"})

# An index of several platforms before the manifest of one: its digest holds on every machine.
_MANIFESTS = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
_TIMEOUT_S = 20
_LARGEST_ANSWER = 4 << 20


class RegistryError(Exception):
    """A registry does not tell a tag's digest; one sentence of fact, one of remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """
    An image by tag.

    Attributes:
        registry: URL of the registry; None: the default one.
        repository: its name there.
        tag: its tag.
    """

    registry: str | None
    repository: str
    tag: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    status: int
    headers: Message
    body: bytes


def parse_reference(image: str) -> Reference:
    """
    Read an image reference that has a tag, as Docker does.

    The first part is a registry if it has a dot or a port or is ``localhost``; one on this
    machine is spoken to without TLS. An image of the default registry without a folder is in
    ``library``.
    """
    name, _, tag = image.rpartition(":")
    first, slash, rest = name.partition("/")
    names_registry = bool(slash) and (first == "localhost" or "." in first or ":" in first)
    if names_registry and first not in _HUB_NAMES:
        local = first.partition(":")[0] in ("localhost", "127.0.0.1")
        scheme = "http" if local else "https"
        return Reference(registry=f"{scheme}://{first}", repository=rest, tag=tag)
    repository = rest if names_registry else name
    official = repository if "/" in repository else f"library/{repository}"
    return Reference(registry=None, repository=official, tag=tag)


def resolve_digest(reference: Reference, default_registry: str = HUB) -> str:
    """
    Ask the registry of *reference* for the digest that its tag has now.

    Args:
        reference: the image.
        default_registry: URL of the registry of images that name none.

    Returns:
        ``sha256:`` and 64 hexadecimal digits.

    Raises:
        RegistryError: the registry does not answer, refuses, or does not have the tag.
    """
    base = (reference.registry or default_registry).rstrip("/")
    url = f"{base}/v2/{reference.repository}/manifests/{reference.tag}"
    headers = {"Accept": _MANIFESTS}
    answer = _ask(url, headers, method="HEAD")
    if answer.status == 401:
        headers["Authorization"] = f"Bearer {_token(base, answer, reference)}"
        answer = _ask(url, headers, method="HEAD")
    _check(answer, base, reference)
    digest = answer.headers.get("Docker-Content-Digest")
    if digest is None:
        # The header is only recommended; a digest is the hash of the manifest's bytes.
        answer = _ask(url, headers, method="GET")
        _check(answer, base, reference)
        digest = f"sha256:{hashlib.sha256(answer.body).hexdigest()}"
    if not _DIGEST.fullmatch(digest):
        raise RegistryError(
            f"{base} gives {digest!r} as the digest of {reference.repository}:{reference.tag}, "
            "which is no sha256. Write the digest by hand."
        )
    return digest


def _check(answer: _Answer, base: str, reference: Reference) -> None:
    """Refuse every answer that is not the manifest."""
    image = f"{reference.repository}:{reference.tag}"
    if answer.status in (401, 403):
        raise RegistryError(
            f"{base} gives {image} only after a login (status {answer.status}). Write its digest "
            "by hand, as `docker buildx imagetools inspect` shows it after `docker login`."
        )
    if answer.status == 404:
        raise RegistryError(
            f"{base} has no {image}. Write a tag that is there into the stack file."
        )
    if answer.status != 200:
        raise RegistryError(
            f"{base} answers status {answer.status} when asked for {image}. Run `make pin` again "
            "later, or write the digest by hand."
        )


def _token(base: str, refusal: _Answer, reference: Reference) -> str:
    """Get the token that the registry's refusal says where to get."""
    challenge = refusal.headers.get("WWW-Authenticate", "")
    fields = dict(_CHALLENGE.findall(challenge))
    realm = fields.pop("realm", "")
    if not challenge.lower().startswith("bearer ") or not _may_follow(realm, base):
        _check(refusal, base, reference)
    fields.setdefault("scope", f"repository:{reference.repository}:pull")
    query = urllib.parse.urlencode(
        {key: fields[key] for key in ("service", "scope") if key in fields}
    )
    answer = _ask(f"{realm}?{query}", {}, method="GET")
    _check(answer, base, reference)
    try:
        document: Any = json.loads(answer.body)
        return str(document.get("token") or document["access_token"])
    except (ValueError, KeyError, AttributeError):
        raise RegistryError(
            f"{realm} gives no token for {reference.repository}. Write the digest by hand."
        ) from None


def _may_follow(realm: str, base: str) -> bool:
    """Tell whether a token server may be asked: by TLS, or without where the registry has none."""
    return realm.startswith("https://") or (
        base.startswith("http://") and realm.startswith("http://")
    )


def _ask(url: str, headers: dict[str, str], *, method: str) -> _Answer:
    """Send one request; every status is an answer."""
    request = urllib.request.Request(url, headers=headers, method=method)  # noqa: S310 (http, https)
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:  # noqa: S310
            return _Answer(
                status=response.status,
                headers=response.headers,
                body=response.read(_LARGEST_ANSWER),
            )
    except urllib.error.HTTPError as error:
        with error:
            return _Answer(status=error.code, headers=error.headers, body=b"")
    except (urllib.error.URLError, OSError) as error:
        host = urllib.parse.urlsplit(url).netloc
        reason = getattr(error, "reason", error)
        raise RegistryError(
            f"No registry answers at {host} ({reason}); the stack file is as it was. Run "
            "`make pin` where it can be reached, or write the digest by hand."
        ) from None
