from pathlib import Path

from chaos.links import run_links
from chaos.observer import find_socket
from consumers import consumers, count_pending
from events import add_entry, make_event
from fuseboard_schema.database import connect_database
from fuseboard_schema.redis_client import connect_redis
from private_servers import PrivateServers
from queries import fetch_value
from waiting import wait_until

NAMESPACE = "cutoff"
# one that waits for as long as this for a connection keeps nobody else waiting
CONNECT_SECONDS = 60


def test_a_consumer_that_no_reply_of_postgresql_reaches_leaves_its_batch_to_another_while_it_waits_for_a_connection(
    private_servers: PrivateServers, tmp_path: Path
) -> None:
    database_url, redis_url = private_servers.database_url, private_servers.redis_url
    with (
        run_links({"cut off": (find_socket(database_url), "127.0.0.1")}, tmp_path / "links.log") as links,
        connect_database(database_url, application_name="tests") as connection,
        connect_redis(redis_url) as redis,
    ):
        port = links.ports["cut off"]
        linked_url = f"postgresql://postgres@127.0.0.1:{port}/postgres?connect_timeout={CONNECT_SECONDS}"

        def is_stored(count: int) -> bool:
            return bool(fetch_value(connection, "SELECT count(*) FROM llm_requests") == count)

        with consumers(1, tmp_path, linked_url, redis_url, NAMESPACE):
            add_entry(redis, NAMESPACE, [make_event()])
            wait_until(lambda: is_stored(1) and count_pending(redis, NAMESPACE) == 0)
            links.turn("cut off", "stall")
            add_entry(redis, NAMESPACE, [make_event()])
            wait_until(lambda: count_pending(redis, NAMESPACE) == 1)
            with consumers(1, tmp_path, database_url, redis_url, NAMESPACE):
                wait_until(lambda: is_stored(2))
