"""What the database says of itself: everything that people may read is explained with COMMENT ON."""

from typing import Final

from psycopg import Connection
from psycopg.rows import TupleRow

# partitions are explained by their table, and what came with an extension by that
UNEXPLAINED: Final = b"""
    WITH own AS (
        SELECT oid, classid
        FROM (
            SELECT oid, tableoid AS classid FROM pg_class
            WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT relispartition
            UNION ALL
            SELECT oid, tableoid FROM pg_proc WHERE pronamespace = 'public'::regnamespace
            UNION ALL
            SELECT oid, tableoid FROM pg_type WHERE typnamespace = 'public'::regnamespace AND typtype IN ('d', 'e')
        ) AS objects
        WHERE NOT EXISTS (
            SELECT FROM pg_depend
            WHERE pg_depend.classid = objects.classid AND objid = objects.oid AND deptype = 'e'
        )
    ), parts AS (
        SELECT classid, oid, 0 AS attnum FROM own
        UNION ALL
        SELECT classid, oid, attnum FROM own JOIN pg_attribute ON classid = 'pg_class'::regclass AND attrelid = oid
        WHERE attnum > 0 AND NOT attisdropped
    )
    SELECT described.type || ' ' || described.identity
    FROM parts
    CROSS JOIN pg_identify_object(parts.classid, parts.oid, parts.attnum) AS described
    LEFT JOIN pg_description ON classoid = parts.classid AND objoid = parts.oid AND objsubid = parts.attnum
    WHERE coalesce(description, '') = ''
    ORDER BY 1"""


def list_unexplained(connection: Connection[TupleRow]) -> list[str]:
    return [name for (name,) in connection.execute(UNEXPLAINED)]


def test_every_relation_column_and_function_is_explained(connection: Connection[TupleRow]) -> None:
    assert list_unexplained(connection) == []


def test_what_a_migration_forgets_to_explain_is_found(connection: Connection[TupleRow]) -> None:
    connection.execute(b"CREATE VIEW llm_new AS SELECT 1 AS id")
    connection.execute(b"ALTER TABLE llm_requests ADD COLUMN colour text")
    connection.execute(b"CREATE FUNCTION llm_one() RETURNS integer LANGUAGE sql AS 'SELECT 1'")
    connection.execute(b"CREATE DOMAIN llm_rate AS numeric")
    connection.execute(b"SELECT ensure_request_partition('2026-03-10')")

    assert list_unexplained(connection) == [
        "function public.llm_one()",
        "table column public.llm_requests.colour",
        "type public.llm_rate",
        "view column public.llm_new.id",
        "view public.llm_new",
    ]
