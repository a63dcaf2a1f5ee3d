import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from fuseboard_consumer.entries import Entry, EntryReader
from fuseboard_schema.redis_client import connect_redis
from fuseboard_schema.stream import CONSUMER_GROUP, name_event_stream
from redis_refusals import REFUSALS
from redis_versions import VERSIONS, find_program, run_redis

STREAM = name_event_stream("versions")
CLAIM_IDLE_SECONDS = 0.2


@pytest.fixture(scope="module", params=VERSIONS)
def redis_url_of_version(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with run_redis(find_program(request.param), tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def redis(redis_url_of_version: str) -> Iterator[Redis]:
    with connect_redis(redis_url_of_version) as client:
        client.flushall()
        client.xgroup_create(STREAM, CONSUMER_GROUP, id="0", mkstream=True)
        yield client


def make_reader(redis: Redis, name: str) -> EntryReader:
    return EntryReader(redis, "versions", name, CLAIM_IDLE_SECONDS)


def add(redis: Redis, count: int = 1) -> None:
    for _ in range(count):
        redis.xadd(STREAM, {"events": "[]"})


def count_pending(redis: Redis) -> int:
    return int(redis.xpending(STREAM, CONSUMER_GROUP)["pending"])


def claim(reader: EntryReader, count: int) -> list[Entry]:
    return reader.read_own(count) or reader.claim(count)


@pytest.mark.parametrize("trimmed", [4, 300])
def test_entries_that_were_trimmed_while_pending_do_not_hide_those_behind_them(redis: Redis, trimmed: int) -> None:
    add(redis, trimmed)
    make_reader(redis, "dead-1").read(1000, 1)
    redis.xtrim(STREAM, maxlen=0, approximate=False)
    add(redis)
    behind = make_reader(redis, "dead-2").read(1000, 1)
    time.sleep(CLAIM_IDLE_SECONDS + 0.1)
    reader = make_reader(redis, "live")

    assert claim(reader, 1) == behind

    reader.acknowledge([entry.entry_id for entry in behind])
    assert claim(reader, 1) == []
    assert count_pending(redis) == 0


def test_entries_of_the_living_do_not_hide_those_of_the_dead_behind_them(redis: Redis) -> None:
    add(redis, 200)
    living = make_reader(redis, "living")
    living.read(200, 1)
    add(redis)
    dead = make_reader(redis, "dead").read(1, 1)
    time.sleep(CLAIM_IDLE_SECONDS + 0.1)
    living.hold()

    assert make_reader(redis, "live").claim(1) == dead


def test_what_is_held_is_not_claimed_and_what_is_released_is_claimed_at_once(redis: Redis) -> None:
    add(redis, 3)
    reader, other = make_reader(redis, "one"), make_reader(redis, "other")
    entries = reader.read(3, 1)
    time.sleep(CLAIM_IDLE_SECONDS + 0.1)

    reader.hold()
    assert other.claim(3) == []

    reader.release()
    assert other.claim(3) == entries
    # what another has by now is neither held nor taken back
    reader.hold()
    assert claim(reader, 3) == []


def test_entries_whose_reply_was_lost_are_read_again_by_their_consumer(redis: Redis) -> None:
    add(redis, 2)
    reader = make_reader(redis, "one")
    entries = reader.read(2, 1)

    assert reader.read_own(10) == entries


def test_a_consumer_that_finds_nothing_is_seen_to_be_here(redis: Redis) -> None:
    add(redis)
    gone, idle = make_reader(redis, "gone"), make_reader(redis, "idle")
    for reader in (gone, idle):
        for entry in reader.read(1, 1):
            reader.acknowledge([entry.entry_id])
        reader.read_own(1)

    time.sleep(0.3)
    idle.read_own(1)
    members = {member["name"]: member["idle"] for member in redis.xinfo_consumers(STREAM, CONSUMER_GROUP)}
    assert members[b"idle"] < members[b"gone"]
    time.sleep(0.3)
    idle.show_presence()
    later = {member["name"]: member["idle"] for member in redis.xinfo_consumers(STREAM, CONSUMER_GROUP)}
    assert later[b"idle"] < 250 <= later[b"gone"]


def test_at_the_limit_of_memory_the_group_is_made_and_entries_are_read_and_deleted(redis: Redis) -> None:
    redis.delete(STREAM)
    add(redis, 3)
    with REFUSALS["OOM"](redis):
        reader = make_reader(redis, "first")
        assert reader.read(3, 1) == []
        entries = reader.read(3, 1)
        reader.hold()
        reader.acknowledge([entry.entry_id for entry in entries])
    assert len(entries) == 3
    assert redis.xlen(STREAM) == count_pending(redis) == 0


@pytest.mark.parametrize("version", VERSIONS)
def test_a_server_of_redis_cluster_is_refused_in_one_line(database_url: str, tmp_path: Path, version: str) -> None:
    with run_redis(find_program(version), tmp_path, "--cluster-enabled", "yes") as url:
        variables = os.environ | {"DATABASE_URL": database_url, "REDIS_URL": url}
        doctor, consumer = (
            subprocess.run(
                [Path(sys.executable).parent / "fuseboard", command],
                check=False,
                env=variables,
                capture_output=True,
                text=True,
            )
            for command in ("doctor", "consumer")
        )
    assert (doctor.returncode, consumer.returncode) == (1, 1)
    assert "Redis Cluster" in doctor.stdout
    assert "REDIS_URL leads to Redis Cluster" in consumer.stderr
    assert "without cluster mode" in consumer.stderr
    assert "Traceback" not in consumer.stderr + doctor.stderr
