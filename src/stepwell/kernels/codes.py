"""The 8-bit codes of `narrow`: their format, and the same in NumPy, for checkpoints, which hold numbers."""

import numpy as np

SEGMENT = 1024  # elements that share one exponent, and one draw of noise
SPAN = {False: 32, True: 16}  # factors of 2 that a segment spans, by whether it is signed
LEAST = {False: 0, True: 25}  # the least exponent; for signed ones, such that no zero is ever taken for a number


def encode(numbers: np.ndarray, signed: bool) -> tuple[np.ndarray, np.ndarray]:
    """Codes and exponents of a flat array of float32, each number rounded to the nearest code.

    What `decode` gave comes back as the codes that it was made of.
    """
    bits = np.zeros(-(-numbers.size // SEGMENT) * SEGMENT, np.int32)
    bits[: numbers.size] = np.ascontiguousarray(numbers, np.float32).view(np.int32)
    bits = bits.reshape(-1, SEGMENT)
    sizes = bits & 0x7FFFFFFF
    exponents = np.maximum((sizes >> 23).max(axis=1, initial=0) - (SPAN[signed] - 1), LEAST[signed])
    rounded = np.where(sizes >= 0x7F800000, sizes, sizes + (1 << 19)) >> 20
    codes = np.clip(rounded - (exponents[:, None] << 3), 0, 127 if signed else 255)
    if signed:
        codes |= np.where(codes == 0, 0, (bits >> 24) & 128)
    return codes.astype(np.uint8).reshape(-1)[: numbers.size], exponents.astype(np.uint8)


def decode(codes: np.ndarray, exponents: np.ndarray, signed: bool) -> np.ndarray:
    """The float32 numbers that codes stand for; each has few enough digits for bfloat16 too."""
    wide = codes.astype(np.int32)
    base = np.repeat(exponents.astype(np.int32) << 23, SEGMENT)[: codes.size]
    if not signed:
        return ((wide << 20) + base).view(np.float32)
    sizes = wide & 127
    bits = np.where(sizes == 0, 0, (sizes << 20) + base).astype(np.uint32) | ((wide & 128).astype(np.uint32) << 24)
    return np.where(sizes == 0, 0, bits).astype(np.uint32).view(np.float32)
