"""Errors that say what a provider lacks: another one may have the model, or room for the prompt."""

from contextlib import suppress
from typing import Final, Literal

from fuseboard_producer.exceptions import list_own_names, list_related

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
    # Bedrock's
    "resourcenotfoundexception": "no_model",
}
# for providers that have no name of their own for it
_CONTEXT_PHRASES: Final = (
    "prompt is too long",
    "input is too long",
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
    related = list_related(error)
    for name in (error_type, *(name for one in related for name in _list_names(one))):
        if isinstance(name, str) and name.lower() in _NAMES:
            return _NAMES[name.lower()]
    for one in related:
        # foreign code, which must not replace the error that it belongs to
        with suppress(Exception):
            found = _read_words(str(one)[:MESSAGE_MAX_CHARACTERS].lower())
            if found is not None:
                return found
    return None


def _list_names(error: BaseException) -> list[str]:
    return [*(kind.__name__ for kind in type(error).__mro__), *list_own_names(error)]


def _read_words(words: str) -> Shortfall | None:
    if any(phrase in words for phrase in _CONTEXT_PHRASES):
        return "context_exceeded"
    is_missing = any(phrase in words for phrase in _MISSING_PHRASES)
    return "no_model" if is_missing and "model" in words else None
