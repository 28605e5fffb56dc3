"""Identifiers out, pseudonyms in."""

import hashlib

PUBLIC_KEY = b"biascarevl public data sets, v1"
"""Published salt: for data sets whose identifiers are public already. Hides nothing; keeps names apart."""

MIN_SECRET_BYTES = 16
"""A shorter secret could be guessed from the pseudonyms of a few known patients."""


def pseudonym(dataset: str, native: str, key: bytes) -> str:
    """128 bits of keyed blake2b over data set and native identifier, in hex.

    The same person in the same data set stays one pseudonym; without the key nobody can recompute it.
    Raises: ValueError for an empty key or one above blake2b's 64 bytes.
    """
    if not 0 < len(key) <= hashlib.blake2b.MAX_KEY_SIZE:
        raise ValueError(f"pseudonym key: expected 1 to {hashlib.blake2b.MAX_KEY_SIZE} bytes, got {len(key)}")
    return hashlib.blake2b(f"{dataset}\x1f{native}".encode(), digest_size=16, key=key).hexdigest()


def key_of(secret: bytes) -> bytes:
    """The key that a secret gives: 256 bits of blake2b. Raises: ValueError for fewer than MIN_SECRET_BYTES."""
    if len(secret) < MIN_SECRET_BYTES:
        raise ValueError(f"expected at least {MIN_SECRET_BYTES} bytes, got {len(secret) or 'none'}")
    return hashlib.blake2b(secret, digest_size=32, person=b"biascarevl").digest()
