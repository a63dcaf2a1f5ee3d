"""SQL files: one statement each, loaded once."""

from functools import cache
from importlib.resources import files


@cache
def load_sql(package: str, name: str) -> bytes:
    """Read `sql/<name>.sql` of a package.

    Bytes, because psycopg takes them as a query that no user input was mixed into.
    """
    return (files(package) / "sql" / f"{name}.sql").read_bytes()
