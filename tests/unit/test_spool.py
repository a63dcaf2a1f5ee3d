"""The spool keeps order, bounds and everything but the torn end of what a crash interrupted."""

import errno
import json
import os
import stat
import time
from pathlib import Path

import pytest

from fuseboard_producer.encoding import Entry
from fuseboard_producer.spool import Drained, Spool
from producer_tools import read_spool, start_script

MEGABYTE = 1_000_000


def make_entry(number: int, *, events: int = 1, padding: int = 0) -> Entry:
    made = [
        {"event_id": f"{number}.{index}", "occurred_at": f"2026-11-01T12:{number % 60:02d}:00Z", "pad": "x" * padding}
        for index in range(events)
    ]
    return Entry(json.dumps(made, separators=(",", ":")).encode(), events)


class Sink:
    """Take entries as Redis would, up to a number."""

    def __init__(self, capacity: int = 1_000_000) -> None:
        self.capacity = capacity
        self.entries: list[Entry] = []

    def __call__(self, entry: Entry) -> bool:
        if len(self.entries) >= self.capacity:
            return False
        self.entries.append(entry)
        return True

    def list_ids(self) -> list[str]:
        return [event["event_id"] for entry in self.entries for event in json.loads(entry.payload)]


def drain_all(spool: Spool) -> Sink:
    sink = Sink()
    assert spool.drain(sink, 1_000_000).is_done
    return sink


def list_files(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.spool"))


def test_what_was_spooled_is_drained_in_order_by_whoever_comes(tmp_path: Path) -> None:
    spool = Spool(tmp_path, MEGABYTE)
    for number in range(1000):
        spool.append(make_entry(number, events=3))

    sink = drain_all(Spool(tmp_path, MEGABYTE))

    assert sink.list_ids() == [f"{number}.{index}" for number in range(1000) for index in range(3)]
    assert sum(entry.events for entry in sink.entries) == 3000
    assert list_files(tmp_path) == []


def test_small_entries_are_joined_up_to_the_bounds_of_one_entry(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 100 * MEGABYTE)
    for number in range(1000):
        spool.append(make_entry(number))
    for number in range(5):
        spool.append(make_entry(number, padding=300_000))

    sizes = [entry.events for entry in drain_all(spool).entries]

    assert sizes == [500, 500, 3, 2]


def test_files_belong_to_this_user_alone(tmp_path: Path) -> None:
    directory = tmp_path / "spool" / "fuseboard"
    before = os.umask(0)
    try:
        Spool(directory, MEGABYTE).append(make_entry(0))
    finally:
        os.umask(before)

    modes = [stat.S_IMODE(path.stat().st_mode) for path in (directory.parent, directory, *list_files(directory))]
    assert modes == [0o700, 0o700, 0o600]


def test_a_refusal_keeps_the_rest_and_nothing_is_sent_twice(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 100 * MEGABYTE)
    for number in range(10):
        spool.append(make_entry(number, events=500))

    first = Sink(capacity=4)
    assert spool.drain(first, 1000) == Drained(events=2000, damaged_events=0, is_done=False)
    second = drain_all(Spool(tmp_path, MEGABYTE))

    assert first.list_ids() + second.list_ids() == [f"{number}.{index}" for number in range(10) for index in range(500)]


def test_one_call_drains_no_more_than_it_is_told(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 100 * MEGABYTE)
    for number in range(10):
        spool.append(make_entry(number, events=500))

    sink = Sink()
    assert spool.drain(sink, 3) == Drained(events=1500, damaged_events=0, is_done=False)
    assert len(sink.entries) == 3


@pytest.mark.parametrize("torn", [1, 2, 20, 200])
def test_a_torn_end_costs_only_itself(tmp_path: Path, torn: int) -> None:
    spool = Spool(tmp_path, MEGABYTE)
    spool.append(make_entry(0))
    spool.append(make_entry(1))
    spool.append(make_entry(2, events=10))
    (path,) = list_files(tmp_path)
    os.truncate(path, path.stat().st_size - torn)
    time.sleep(0.002)  # segments of two processes are in the order of their milliseconds
    Spool(tmp_path, MEGABYTE).append(make_entry(3))

    sink = Sink()
    drained = Spool(tmp_path, MEGABYTE).drain(sink, 100)

    assert sink.list_ids() == ["0.0", "1.0", "3.0"]
    assert drained.is_done
    assert drained.damaged_events > 0
    assert list_files(tmp_path) == []


def test_a_damaged_middle_costs_only_itself(tmp_path: Path) -> None:
    spool = Spool(tmp_path, MEGABYTE)
    for number in range(3):
        spool.append(make_entry(number))
    (path,) = list_files(tmp_path)
    path.write_bytes(path.read_bytes().replace(b'"1.0"', b'"1.9"'))

    sink = Sink()

    assert spool.drain(sink, 100) == Drained(events=2, damaged_events=1, is_done=True)
    assert sink.list_ids() == ["0.0", "2.0"]


def test_garbage_and_empty_segments_block_nothing(tmp_path: Path) -> None:
    (tmp_path / "0000000000001-aaaaaaaa.spool").write_bytes(os.urandom(5000))
    (tmp_path / "0000000000002-aaaaaaaa.spool").touch()
    (tmp_path / "notes.txt").write_text("not a segment")
    spool = Spool(tmp_path, MEGABYTE)
    spool.append(make_entry(0))

    assert drain_all(spool).list_ids() == ["0.0"]
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_full_spool_drops_its_oldest_segments_and_says_which(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 160_000)
    dropped = [spool.append(make_entry(number, padding=1000)) for number in range(200)]

    kept = [int(event["event_id"].partition(".")[0]) for event in read_spool(tmp_path)]
    lost = sum(drop.events for drop in dropped)
    assert 0 < lost < 200
    assert kept == list(range(lost, 200))
    first = next(drop for drop in dropped if drop.events)
    assert (first.earliest, first.latest) == ("2026-11-01T12:00:00Z", f"2026-11-01T12:{first.events - 1:02d}:00Z")
    assert spool.measure() <= 160_000


def test_what_was_sent_already_does_not_count_as_dropped(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1_600_000)
    for number in range(2):
        spool.append(make_entry(number, events=300))
    assert len(list_files(tmp_path)) == 1
    assert spool.drain(Sink(capacity=1), 10).events == 300

    dropped = spool.append(make_entry(2, padding=1_590_000))

    assert dropped.events == 300
    assert [event["event_id"] for event in read_spool(tmp_path)] == ["2.0"]


def test_an_entry_larger_than_the_spool_is_refused_and_costs_nothing_else(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 5000)
    spool.append(make_entry(0))

    with pytest.raises(OSError, match="spool_max_bytes"):
        spool.append(make_entry(1, padding=6000))
    assert len(read_spool(tmp_path)) == 1


def test_a_spool_of_no_bytes_is_switched_off(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="spool_max_bytes"):
        Spool(tmp_path / "none", 0).append(make_entry(0))

    assert not (tmp_path / "none").exists()


def test_a_full_disk_leaves_what_was_there_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path, MEGABYTE)
    spool.append(make_entry(0))
    real_pwrite = os.pwrite

    def write_a_piece_then_fail(descriptor: int, data: bytes, offset: int) -> int:
        if len(data) < 50:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real_pwrite(descriptor, data[: len(data) // 2], offset)

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", write_a_piece_then_fail)
        for number in range(1, 4):
            with pytest.raises(OSError, match="No space"):
                spool.append(make_entry(number, events=5))
        assert len(list_files(tmp_path)) == 1
    spool.append(make_entry(4))

    assert drain_all(spool).list_ids() == ["0.0", "4.0"]


def test_a_directory_that_cannot_be_written_is_an_error_and_not_a_loop(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    spool = Spool(tmp_path / "spool", MEGABYTE)

    with pytest.raises(OSError, match="Not a directory"):
        Spool(tmp_path / "file" / "spool", MEGABYTE).append(make_entry(0))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Spool, "_make_directory", lambda _spool: None)
        with pytest.raises(FileNotFoundError):
            spool.append(make_entry(0))
    spool.append(make_entry(1))

    assert drain_all(spool).list_ids() == ["1.0"]


def test_a_segment_of_another_user_holds_nothing_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path, MEGABYTE)
    (tmp_path / "0000000000001-aaaaaaaa.spool").write_text("not ours")
    real_open = os.open

    def open_ours(path: Path, flags: int, mode: int = 0o777) -> int:
        if "aaaaaaaa" in str(path):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real_open(path, flags, mode)

    monkeypatch.setattr(os, "open", open_ours)
    spool.append(make_entry(0))

    assert drain_all(spool).list_ids() == ["0.0"]


def test_a_segment_that_is_being_drained_is_not_written_to(tmp_path: Path) -> None:
    spool = Spool(tmp_path, MEGABYTE)
    spool.append(make_entry(0))

    def write_meanwhile(_: Entry) -> bool:
        spool.append(make_entry(1))
        return True

    assert Spool(tmp_path, MEGABYTE).drain(write_meanwhile, 1).events == 1
    assert [event["event_id"] for event in read_spool(tmp_path)] == ["1.0"]


def test_order_survives_a_clock_that_is_set_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter(range(10**12, 0, -(10**11)))
    monkeypatch.setattr("fuseboard_producer.spool.time.time_ns", lambda: next(times) * 1_000_000)
    spool = Spool(tmp_path, 16)
    spool._max_bytes = MEGABYTE
    for number in range(5):
        spool.append(make_entry(number))

    assert len(list_files(tmp_path)) == 5
    assert drain_all(spool).list_ids() == [f"{number}.0" for number in range(5)]


APPEND_AND_DRAIN = """
import json, sys
from pathlib import Path
from fuseboard_producer.encoding import Entry
from fuseboard_producer.spool import Spool

def send(entry):
    for event in json.loads(entry.payload):
        print(event["event_id"])
    return True

number, spool = int(sys.argv[2]), Spool(Path(sys.argv[1]), 10_000_000)
for index in range(60):
    spool.append(Entry(b'[{"event_id":"%d"}]' % (number * 1000 + index), 1))
    if index % 10 == 9:
        spool.drain(send, 5)
"""


def test_many_processes_write_and_drain_one_directory_without_losing_or_repeating(tmp_path: Path) -> None:
    processes = [start_script(APPEND_AND_DRAIN, tmp_path, number) for number in range(4)]
    outputs = [process.communicate(timeout=60) for process in processes]

    assert [errors for _, errors in outputs] == [""] * 4
    ids = [line for output, _ in outputs for line in output.splitlines()]
    ids += drain_all(Spool(tmp_path, MEGABYTE)).list_ids()
    assert sorted(map(int, ids)) == [number * 1000 + index for number in range(4) for index in range(60)]
