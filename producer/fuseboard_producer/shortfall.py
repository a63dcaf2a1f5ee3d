"""Errors that say what a provider lacks: another one may have the model, or room for the prompt."""

from contextlib import suppress
from typing import Final, Literal

from fuseboard_producer.call import list_own_names

Shortfall = Literal["no_model", "context_exceeded"]

_NAMES: Final[dict[str, Shortfall]] = {
    "context_length_exceeded": "context_exceeded",
    "contextwindowexceedederror": "context_exceeded",
    "contextlengthexceeded": "context_exceeded",
    "string_above_max_length": "context_exceeded",
    "request_too_large": "context_exceeded",
    "exceed_context_size_error": "context_exceeded",
    "model_not_found": "no_model",
    "modelnotfounderror": "no_model",
    "model_not_available": "no_model",
}
# for providers that have no name of their own for it
_CONTEXT_PHRASES: Final = (
    "prompt is too long",
    "maximum context length",
    "exceeds the context",
    "exceed the context",
    "exceeds the available context",
)
_MISSING_PHRASES: Final = ("not found", "does not exist", "not_found_error")
MESSAGE_MAX_CHARACTERS: Final = 2000


def find_shortfall(error: Exception, error_type: object) -> Shortfall | None:
    """Find what the provider of a neutral error lacks, by the event's error_type, the error's own names and its words.

    None is a mistake of the request itself, which is the same everywhere.
    """
    classes = [kind.__name__ for kind in type(error).__mro__]
    for name in (error_type, *classes, *list_own_names(error)):
        if isinstance(name, str) and name.lower() in _NAMES:
            return _NAMES[name.lower()]
    # foreign code, which must not replace the error that it belongs to
    with suppress(Exception):
        return _read_words(str(error)[:MESSAGE_MAX_CHARACTERS].lower())
    return None


def _read_words(words: str) -> Shortfall | None:
    if any(phrase in words for phrase in _CONTEXT_PHRASES):
        return "context_exceeded"
    is_missing = any(phrase in words for phrase in _MISSING_PHRASES)
    return "no_model" if is_missing and "model" in words else None
