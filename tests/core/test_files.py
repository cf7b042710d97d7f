"""Files and folders that are whole or not there."""

import os
from pathlib import Path

import pytest

from rooflight.core.errors import ConfigError
from rooflight.core.files import fill_file, new_folder, sha256, write_file


def test_write_replaces_and_leaves_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_file(path, "old")
    write_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]
    assert sha256(path) == "11507a0e2f5e69d5dfa40a62a1bd7b6ee57e6bcd85c67c9b8431b36fff21c437"


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_file(path, "old")

    def disk_full(partial: Path) -> None:
        partial.write_text("ha")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        fill_file(path, disk_full)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_folder_is_removed_with_the_parents_made_for_it(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), new_folder(tmp_path / "a/b/run") as run:  # noqa: PT012
        (run / "sub").mkdir()
        (run / "sub/file").write_text("x")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_failed_folder_with_something_whole_is_kept(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt), new_folder(run, keep=(run / "checkpoint").is_file):  # noqa: PT012
        (run / "checkpoint").write_text("whole")
        raise KeyboardInterrupt
    assert (run / "checkpoint").is_file()


def test_an_existing_folder_with_files_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    with pytest.raises(ConfigError, match="not an empty folder"), new_folder(tmp_path):
        pass
    assert (tmp_path / "mine").read_text() == "x"


def test_an_empty_folder_of_the_users_is_used_and_emptied_again_but_not_removed(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), new_folder(tmp_path) as run:  # noqa: PT012
        (run / "half").write_text("x")
        raise RuntimeError
    assert tmp_path.is_dir()
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_regular_file_is_left_alone(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path / "none" / "a.json"):
        with pytest.raises(ConfigError):
            write_file(path, "x")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_file(tmp_path / "link", "x")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "x"


def test_a_name_that_is_too_long_leaves_no_parent(tmp_path: Path) -> None:
    path = tmp_path / "a/b" / ("x" * 300)
    with pytest.raises(OSError, match="too long"), new_folder(path, keep=(path / "f").is_file):
        pass
    assert list(tmp_path.iterdir()) == []
