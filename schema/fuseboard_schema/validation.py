"""What pydantic found wrong, in one line that names every field."""

from pydantic import ValidationError

from fuseboard_schema.mending import locate_error


def describe_validation_error(error: ValidationError, whole: str = "") -> str:
    """Describe what is wrong, each field by its name, without what was given; `whole` names the value itself."""
    return "; ".join(
        f"{place or whole}: {item['msg']}"
        for item in error.errors(include_url=False, include_context=False, include_input=False)
        if (place := locate_error(item["loc"])) is not None
    )
