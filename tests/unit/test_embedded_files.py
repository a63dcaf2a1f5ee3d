"""The files beside the embedded servers' data."""

import stat
import tempfile
from pathlib import Path

import pytest

from fuseboard_cli.embedded_error import EmbeddedError
from fuseboard_cli.embedded_files import LOG_MAX_BYTES, check_data_folder, make_socket_folder, open_log, read_log_tail


def test_a_long_log_is_moved_aside_and_only_one_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "postgres.log"
    for round_number in (1, 2):
        path.write_bytes(b"%d" % round_number * (LOG_MAX_BYTES + 1))
        with open_log(path) as log:
            log.write(b"new")

    assert path.read_bytes() == b"new"
    assert (tmp_path / "postgres.log.1").read_bytes()[:1] == b"2"
    assert len(list(tmp_path.iterdir())) == 2


def test_a_short_log_is_continued(tmp_path: Path) -> None:
    path = tmp_path / "postgres.log"
    path.write_bytes(b"old ")
    with open_log(path) as log:
        log.write(b"new")

    assert read_log_tail(path) == "old new"


def test_sockets_live_in_the_data_directory_where_its_path_is_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()

    assert make_socket_folder(Path("data")) == Path("data/run")


@pytest.mark.parametrize("name", ["long" * 30, "with,comma", "with space", "with=sign"])
def test_sockets_live_elsewhere_where_the_path_will_not_do(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    other = tmp_path / (name[:100] + "2" * 100)
    (tmp_path / name).mkdir()
    other.mkdir()
    folder = make_socket_folder(tmp_path / name)

    assert folder.parent == tmp_path
    assert folder == make_socket_folder(tmp_path / name)
    assert folder != make_socket_folder(other)


def spoil(folder: Path, how: str) -> None:
    """Make a folder one that others can enter."""
    if how == "mode":
        folder.chmod(0o755)
        return
    folder.rmdir()
    elsewhere = folder.with_name("elsewhere")
    elsewhere.mkdir(mode=0o700)
    folder.symlink_to(elsewhere)


@pytest.mark.parametrize("how", ["mode", "link"])
def test_a_socket_folder_that_others_can_enter_is_refused(
    tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spoil(make_socket_folder(Path()), how)

    with pytest.raises(EmbeddedError, match="0700"):
        make_socket_folder(Path())


@pytest.mark.parametrize("how", ["mode", "link"])
def test_a_socket_folder_elsewhere_that_others_can_enter_is_left_for_a_new_one(
    tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    root = tmp_path / "a,b"
    root.mkdir()
    spoiled = make_socket_folder(root)
    spoil(spoiled, how)

    folder = make_socket_folder(root)

    assert folder != spoiled
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_data_directory_that_others_can_write_to_is_refused(tmp_path: Path) -> None:
    check_data_folder(tmp_path)
    tmp_path.chmod(0o777)

    with pytest.raises(EmbeddedError, match="not writable by others"):
        check_data_folder(tmp_path)
