"""What the log may say of a fault of our own: where it happened, by types and places alone. Messages are left out, since they
may quote what people said, or a key."""

from __future__ import annotations

import traceback


def trace(error: BaseException) -> str:
    """The stack of an error, and of those that it holds."""
    own = "".join(traceback.format_tb(error.__traceback__)) + type(error).__name__
    held = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    return "\n".join([own, *map(trace, held)])
