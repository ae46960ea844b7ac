"""
Read the metadata at the start of a GGUF file.

Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3.
"""

import struct
from pathlib import Path
from typing import BinaryIO, Final

from .errors import LoadError

Value = int | float | bool | str | None

_SCALARS: Final = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q",
    12: "<d",
}  # fmt: skip
_STRING: Final = 8
_ARRAY: Final = 9


def read_metadata(path: Path) -> dict[str, Value]:
    """
    Read the keys of *path*; arrays (the vocabulary) are passed over and read as None.

    Raises:
        LoadError: it is not a GGUF file of a version that is known here.
    """
    with path.open("rb") as file:
        try:
            magic, version, _, count = struct.unpack("<4sIQQ", file.read(24))
            if magic != b"GGUF" or version not in (2, 3):
                raise LoadError(f"{path.name} is not GGUF of version 2 or 3. Give one that is.")
            return dict(_pair(file) for _ in range(count))
        except (struct.error, UnicodeDecodeError, KeyError) as error:
            raise LoadError(
                f"{path.name} is cut off or damaged: {error}. Fetch it again."
            ) from None


def _pair(file: BinaryIO) -> tuple[str, Value]:
    key = _string(file)
    return key, _value(file, _scalar(file, "<I"))


def _value(file: BinaryIO, kind: int) -> Value:
    if kind == _STRING:
        return _string(file)
    if kind == _ARRAY:
        item, count = _scalar(file, "<I"), _scalar(file, "<Q")
        for _ in range(count):
            _value(file, item)
        return None
    number: Value = struct.unpack(_SCALARS[kind], file.read(struct.calcsize(_SCALARS[kind])))[0]
    return number


def _scalar(file: BinaryIO, form: str) -> int:
    return int(struct.unpack(form, file.read(struct.calcsize(form)))[0])


def _string(file: BinaryIO) -> str:
    return file.read(_scalar(file, "<Q")).decode()
