"""Event ids: UUIDv7, so that rows of one time lie together in the index."""

import os
from datetime import datetime
from uuid import UUID


def make_event_id(occurred_at: datetime) -> str:
    """Make a UUIDv7 (RFC 9562, section 5.7) whose time is `occurred_at`, in its canonical text form.

    The random bits come from the kernel, so that forked processes never repeat one another.
    """
    milliseconds = int(occurred_at.timestamp() * 1000)
    randomness = int.from_bytes(os.urandom(10))
    value = (milliseconds & 0xFFFF_FFFF_FFFF) << 80 | 0x7 << 76 | (randomness >> 68) << 64
    value |= 0b10 << 62 | randomness & 0x3FFF_FFFF_FFFF_FFFF
    return str(UUID(int=value))
