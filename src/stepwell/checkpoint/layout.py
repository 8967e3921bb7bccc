"""How a checkpoint lies in its file: what of it is ours.

The container is safetensors', written and read by its library, which vouches for lengths, offsets and JSON. Its
metadata hold a document, JSON too, which lists the arrays once more, each with the CRC-32 of its bytes, and before it
the CRC-32 of that document. So a byte that differs anywhere is seen.
"""

import json
import zlib
from typing import Any

from stepwell.checkpoint.snapshot import CheckpointError
from stepwell.door import needs

FORMAT, VERSION = "stepwell checkpoint", 1
DOCUMENT = "stepwell"  # the one key of the metadata: the library writes several in any order, and no two files alike
DTYPES = {"float64": "F64", "complex64": "C64", "float32": "F32", "float16": "F16", "bfloat16": "BF16"}
NUMPY = {theirs: ours for ours, theirs in DTYPES.items()}


def library() -> Any:
    """safetensors, imported when a file is written or read.

    Raises:
        ImportError: it is not installed.
    """
    try:
        import safetensors.numpy
    except ImportError as error:
        raise needs("checkpoint", "safetensors") from error
    return safetensors


def crc32(data: Any) -> str:
    """The CRC-32 of some bytes, in 8 hexadecimal digits."""
    return f"{zlib.crc32(data):08x}"


def to_json(value: Any) -> str:
    """JSON in ASCII, without blanks, and without NaN or infinity, which JSON has not."""
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def from_json(what: str, text: str | bytes) -> dict[str, Any]:
    """A JSON object that says each name once."""
    try:
        found = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except CheckpointError as error:
        raise CheckpointError(f"{what} is damaged: {error}") from None
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{what} is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise CheckpointError(f"{what} is no JSON object")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise CheckpointError(f"the name {name!r} stands there twice")
        found[name] = value
    return found


def _no_number(text: str) -> Any:
    raise CheckpointError(f"{text} stands there for a number")
