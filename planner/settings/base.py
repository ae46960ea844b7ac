"""What all sections of the settings share: strictness, and the narrow types of their values."""

import ipaddress
import re
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetJsonSchemaHandler,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from planner.cpuset import CpuSet
from planner.errors import CpuListError

# The pydantic error types by which faults of our own reach `faults.py`.
FAULT = "fault"
FAULTS = "faults"

# https://distribution.github.io/distribution reference grammar: path components of lower-case
# letters and digits with separators between, an optional registry before, a tag, a digest.
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REGISTRY = r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]+)?"
_IMAGE = re.compile(
    rf"(?:{_REGISTRY}/)?{_COMPONENT}(?:/{_COMPONENT})*"
    r"(?P<tag>:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?P<digest>@sha256:[0-9a-f]{64})?"
)


def fault(text: str) -> PydanticCustomError:
    """Make the error that a validator raises: *text* says what was seen, why not, what to write."""
    return PydanticCustomError(FAULT, "{text}", {"text": text})


class Section(BaseModel):
    """A part of the settings: kebab-case keys, no others, no coercion, unchangeable."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        strict=True,
        frozen=True,
        extra="forbid",
        alias_generator=lambda name: name.replace("_", "-"),
        validate_default=True,
    )

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Yield key and fault for values of this section that do not go together."""
        return iter(())

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Let the schema, too, take a section whose lines are all commented out."""
        described = handler.resolve_ref_schema(handler(schema))
        described["type"] = ["object", "null"]
        return described

    @model_validator(mode="before")
    @classmethod
    def _empty_is_all_defaults(cls, data: Any) -> Any:
        # A section whose lines are all commented out is null in YAML.
        return {} if data is None else data

    @model_validator(mode="after")
    def _no_contradictions(self) -> Self:
        found = tuple(self.contradictions())
        if found:
            raise PydanticCustomError(FAULTS, "contradictory", {"faults": found})
        return self


def _from_list(value: Any) -> Any:
    """Values hold tuples, YAML has lists; all else is left for the strict type to refuse."""
    return tuple(value) if isinstance(value, list) else value


FromList = BeforeValidator(_from_list)


def _linux_list(value: Any) -> CpuSet:
    if isinstance(value, CpuSet):
        return value
    if not isinstance(value, str):
        raise fault(f"{value!r} is not text; a Linux list is; write it in quotes, such as '0-3,8'")
    try:
        return CpuSet.parse(value)
    except CpuListError as error:
        raise fault(str(error)) from None


LinuxList = Annotated[
    CpuSet,
    PlainValidator(_linux_list),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "pattern": "^([0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*)?$"}),
]


def _address(value: Any) -> str:
    try:
        if isinstance(value, str):
            return str(ipaddress.IPv4Address(value))
    except ValueError:
        pass
    if _is_ipv6(value):
        raise fault(
            f"{value!r} is an IPv6 address, and the endpoint speaks only IPv4; write an IPv4 "
            "address of the host, such as '127.0.0.1'"
        )
    raise fault(f"{value!r} is not an IPv4 address; write one of this host, such as '127.0.0.1'")


def _is_ipv6(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(ipaddress.IPv6Address(value))
    except ValueError:
        return False


Address = Annotated[
    str, PlainValidator(_address), WithJsonSchema({"type": "string", "format": "ipv4"})
]

# Shorter than a /27 leaves no room for instances: their addresses begin at host number 16.
_SUBNET_PREFIXES = range(16, 28)


def _subnet(value: Any) -> ipaddress.IPv4Network:
    if isinstance(value, ipaddress.IPv4Network):
        return value
    try:
        network = ipaddress.IPv4Network(value if isinstance(value, str) else "")
    except ValueError as error:
        why = str(error) if isinstance(value, str) else f"{value!r} is not text"
        if isinstance(value, str) and _is_ipv6(value.partition("/")[0]):
            why = f"{value!r} is an IPv6 network, and instances speak only IPv4"
        raise fault(f"{why}; write an IPv4 network such as '172.30.80.0/24'") from None
    if "/" not in value or network.prefixlen not in _SUBNET_PREFIXES:
        raise fault(
            f"{value!r} is not between a /16 and a /27, and instances need addresses from the "
            "17th on; write an IPv4 network such as '172.30.80.0/24'"
        )
    if not network.is_private:
        raise fault(
            f"{value!r} is not a private network, and the instances' network is not routed; "
            "write one inside 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16"
        )
    return network


Subnet = Annotated[
    ipaddress.IPv4Network,
    PlainValidator(_subnet),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "pattern": "^[0-9.]+/[0-9]+$"}),
]


def check_image(value: str, own: str) -> str:
    """
    Check an image reference, or the word *own* for what this project makes itself.

    Raises:
        PydanticCustomError: neither, or a reference with neither tag nor digest.
    """
    if value == own:
        return value
    match = _IMAGE.fullmatch(value)
    if match is None:
        raise fault(
            f"{value!r} is not an image reference; "
            f"write NAME:TAG, NAME@sha256:DIGEST (64 hexadecimal digits) or {own}"
        )
    if not match["tag"] and not match["digest"]:
        raise fault(
            f"{value!r} has neither tag nor digest, so that it could become another image unseen; "
            f"write {value}:TAG, {value}@sha256:DIGEST or {own}"
        )
    return value
