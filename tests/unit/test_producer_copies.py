"""A copy of a producer or a router, in this process or another one, works on its own."""

import copy
import pickle
from pathlib import Path

import pytest

from fuseboard_producer import Producer, Router
from producer_tools import read_spool, run_script
from router_tools import NOWHERE, answer


def test_a_copy_has_the_same_arguments_and_events_of_its_own(tmp_path: Path) -> None:
    with Producer(NOWHERE, spool_dir=tmp_path, namespace="mine", linger_seconds=0.01) as producer:
        producer.record("original", "m")
        with copy.deepcopy({"producer": producer})["producer"] as copied:
            copied.record("copy", "m")

    assert copied.options == producer.options
    assert (producer.counters.recorded, copied.counters.recorded) == (1, 1)
    assert sorted(event["provider"] for event in read_spool(tmp_path / "mine")) == ["copy", "original"]


def test_a_copied_router_chooses_by_itself(tmp_path: Path) -> None:
    with (
        Producer(NOWHERE, spool_dir=tmp_path) as producer,
        Router(producer, providers=["ollama", "claude"], first_snapshot_wait_seconds=0) as router,
        pickle.loads(pickle.dumps(router)) as copied,  # noqa: S301 - of this test
    ):
        assert copied.call(None, {"claude": answer, "ollama": answer}) == "ollama"


def test_the_environments_url_stays_out_of_a_pickle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://:hidden-word@127.0.0.1:1")

    pickled = pickle.dumps(Producer(spool_dir=tmp_path))

    assert b"hidden-word" not in pickled
    assert pickle.loads(pickled).options.redis_url.endswith("hidden-word@127.0.0.1:1")  # noqa: S301 - of this test


HAND_ON = """
import multiprocessing, runpy, sys
from fuseboard_producer import Producer

def work(producer):
    producer.record("child", "m")

if __name__ == "__main__":
    producer = Producer("unix:///nonexistent/redis.sock", spool_dir=sys.argv[1], linger_seconds=60)
    process = multiprocessing.get_context("spawn").Process(target=work, args=[producer])
    process.start()
    process.join()
    assert process.exitcode == 0
"""


def test_a_producer_may_be_passed_to_a_spawned_process(tmp_path: Path) -> None:
    (tmp_path / "hand_on.py").write_text(HAND_ON)

    run_script("import runpy, sys; runpy.run_path(sys.argv[2], run_name='__main__')", tmp_path, tmp_path / "hand_on.py")

    assert len(read_spool(tmp_path / "fuseboard")) == 1
