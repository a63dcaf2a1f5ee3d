"""Cost by tag: what workers say of a call besides provider and model, such as the team it is for."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Query

from fuseboard_api import answers
from fuseboard_api.authentication import require
from fuseboard_api.exact_json import ExactJson
from fuseboard_api.parameters import DAYS_DEFAULT, NO_NUL, Days
from fuseboard_api.problems import Problem, declare_problems
from fuseboard_api.read_store import select_tag_costs, select_tag_keys
from fuseboard_api.reads import Held
from fuseboard_schema.database import begin_snapshot
from fuseboard_schema.event import TAG_KEY_MAX_LENGTH

VALUES_MAX: Final = 1000

router = APIRouter(prefix="/api/llm/tags", tags=["reads"], dependencies=[Depends(require("read"))])
TagKeyPath = Annotated[
    str,
    Path(
        min_length=1, max_length=TAG_KEY_MAX_LENGTH, pattern=NO_NUL,
        description="The tag's key.",
    ),
]  # fmt: skip


@router.get("", response_model=answers.TagKeys)
def list_tags(held: Held) -> ExactJson:
    """List the tags whose cost is kept as a sum."""
    with held.pool.connection() as connection:
        return ExactJson(answers.TagKeys(select_tag_keys(connection)))


@router.get("/{tag_key:path}", response_model=answers.TagCosts, responses=declare_problems(404))
def show_tag_costs(
    held: Held,
    tag_key: TagKeyPath,
    days: Days = DAYS_DEFAULT,
    limit: Annotated[int, Query(ge=1, le=VALUES_MAX, description="At most so many values.")] = 100,
) -> ExactJson:
    """Show what each value of a tag cost, the most expensive first; `tag_value` null is what has no such tag."""
    with held.pool.connection() as connection, connection.transaction():
        begin_snapshot(connection)
        kept = {tag.tag_key: tag.whole_from for tag in select_tag_keys(connection)}
        whole_from = kept.get(tag_key)
        if whole_from is None:
            raise Problem(404, "cost by this tag is not kept: see /api/llm/tags, and `fuseboard tags add`")
        found = select_tag_costs(connection, tag_key, days, limit + 1)
    return ExactJson(answers.TagCosts(tag_key, days, whole_from, found[:limit], len(found) > limit))
