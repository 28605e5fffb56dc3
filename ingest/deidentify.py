"""Identifiers out, pseudonyms in."""

import hashlib

PUBLIC_KEY = b"biascarevl public data sets, v1"
"""Published salt: for data sets whose identifiers are public already. Hides nothing; keeps names apart."""


def pseudonym(dataset: str, native: str, key: bytes) -> str:
    """128 bits of keyed blake2b over data set and native identifier, in hex.

    The same person in the same data set stays one pseudonym; without the key nobody can recompute it.
    Raises: ValueError for an empty key or one above blake2b's 64 bytes.
    """
    if not 0 < len(key) <= hashlib.blake2b.MAX_KEY_SIZE:
        raise ValueError(f"pseudonym key: expected 1 to {hashlib.blake2b.MAX_KEY_SIZE} bytes, got {len(key)}")
    return hashlib.blake2b(f"{dataset}\x1f{native}".encode(), digest_size=16, key=key).hexdigest()
