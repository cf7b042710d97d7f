"""Reading takes the newest whole checkpoint, and says of each that is not why."""

import json
import os
import shutil
from pathlib import Path

import pytest

from rooflight.core.errors import ConfigError, DataError
from rooflight.train.checkpoint.folder import DOCUMENT, FILES, LATEST, MANIFEST, MODEL, TRAINING
from rooflight.train.checkpoint.read import read_checkpoint, read_state
from tests.train.stored import saved


def step_and_sentences(run: Path) -> tuple[int, list[str]]:
    """Of a whole state."""
    told: list[str] = []
    found = read_state(run, notify=told.append)
    assert found is not None
    assert found.skipped == len(told)
    return found.checkpoint.step, told


@pytest.mark.parametrize("file", [*FILES, MANIFEST])
def test_a_flipped_byte_anywhere_is_found(tmp_path: Path, file: str) -> None:
    _, newest = saved(tmp_path, 1, 2)
    whole = (newest / file).read_bytes()
    for place in sorted({len(whole) * part // 50 for part in range(50)} | {len(whole) - 1}):
        content = bytearray(whole)
        content[place] ^= 0x40
        (newest / file).write_bytes(content)
        step, told = step_and_sentences(tmp_path)
        if step == 2:  # the only bytes that may differ are a manifest's blanks
            assert json.loads(content) == json.loads(whole)
        else:
            assert len(told) == 1
            assert "step-00000002 is skipped: " in told[0]
    (newest / file).write_bytes(whole)
    assert step_and_sentences(tmp_path) == (2, [])


@pytest.mark.parametrize("file", [*FILES, MANIFEST])
def test_a_cut_tail_is_found(tmp_path: Path, file: str) -> None:
    _, newest = saved(tmp_path, 1, 2)
    whole = (newest / file).read_bytes()
    for part in range(50):
        (newest / file).write_bytes(whole[: len(whole) * part // 50])
        assert step_and_sentences(tmp_path)[0] == 1


@pytest.mark.parametrize("file", [*FILES, MANIFEST])
def test_a_missing_file_is_said(tmp_path: Path, file: str) -> None:
    _, newest = saved(tmp_path, 1, 2)
    (newest / file).unlink()
    step, told = step_and_sentences(tmp_path)
    assert step == 1
    assert f"{file} is missing" in told[0]


def test_prediction_needs_no_optimizer(tmp_path: Path) -> None:
    (folder,) = saved(tmp_path, 1)
    content = bytearray((folder / TRAINING).read_bytes())
    content[-1] ^= 1
    (folder / TRAINING).write_bytes(content)
    assert read_checkpoint(tmp_path)[0].step == 1
    with pytest.raises(DataError, match="no whole checkpoint: 1 found, the last of them step-00000001: training"):
        read_state(tmp_path)


def test_a_newer_version_is_skipped_and_said(tmp_path: Path) -> None:
    _, newest = saved(tmp_path, 1, 2)
    (newest / MANIFEST).write_text(json.dumps({"format": 2, "of another form": True}))
    step, told = step_and_sentences(tmp_path)
    assert step == 1
    assert "it has format 2, and this Rooflight reads up to 1: update Rooflight" in told[0]


@pytest.mark.parametrize(
    "files", [{}, {"../../secret": None}, {MODEL: None, TRAINING: None, "/etc/passwd": None}], ids=str
)
def test_a_manifest_that_lists_other_files_is_refused(tmp_path: Path, files: dict[str, None]) -> None:
    _, newest = saved(tmp_path, 1, 2)
    manifest = json.loads((newest / MANIFEST).read_text())
    entry = manifest["files"][MODEL]
    manifest["files"] = dict.fromkeys(files, entry)
    (newest / MANIFEST).write_text(json.dumps(manifest))
    assert step_and_sentences(tmp_path)[0] == 1


@pytest.mark.parametrize("manifest", ["[]", "7", '{"format": true, "files": {}}', "{" * 10_000, '{"format": 1}'])
def test_a_manifest_of_another_form_is_damaged(tmp_path: Path, manifest: str) -> None:
    _, newest = saved(tmp_path, 1, 2)
    (newest / MANIFEST).write_text(manifest)
    step, told = step_and_sentences(tmp_path)
    assert step == 1
    assert f"{MANIFEST} is damaged" in told[0]


@pytest.mark.parametrize("name", [MODEL, DOCUMENT, MANIFEST])
def test_a_link_to_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    _, newest = saved(tmp_path, 1, 2)
    shutil.move(newest / name, tmp_path / "elsewhere")
    (newest / name).symlink_to(tmp_path / "elsewhere")
    assert step_and_sentences(tmp_path)[0] == 1


def test_a_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    _, newest = saved(tmp_path / "run", 1, 2)
    shutil.move(newest, tmp_path / "elsewhere")
    newest.symlink_to(tmp_path / "elsewhere")
    step, told = step_and_sentences(tmp_path / "run")
    assert step == 1
    assert "it is no folder of the run's own" in told[0]


@pytest.mark.parametrize("latest", ["", "step-1", "../../step-00000001", "step-00000009", "\xff" * 100])
def test_latest_that_names_none_of_them_is_passed_over(tmp_path: Path, latest: str) -> None:
    saved(tmp_path, 1, 2)
    (tmp_path / "checkpoints" / LATEST).write_text(latest)
    told: list[str] = []
    assert read_checkpoint(tmp_path, notify=told.append)[0].step == 2
    assert "`latest` names no checkpoint that is there" in told[0]


def test_latest_comes_first(tmp_path: Path) -> None:
    saved(tmp_path, 1, 2)
    (tmp_path / "checkpoints" / LATEST).write_text("step-00000001\n")
    assert step_and_sentences(tmp_path) == (1, [])


def test_what_a_save_left_unfinished_is_no_checkpoint(tmp_path: Path) -> None:
    (folder,) = saved(tmp_path, 1)
    shutil.copytree(folder, folder.with_name(".step-00000002.partial"))
    os.remove(folder.with_name(".step-00000002.partial") / MANIFEST)
    assert step_and_sentences(tmp_path) == (1, [])


def test_none_left_is_said_with_the_last_reason(tmp_path: Path) -> None:
    for folder in saved(tmp_path, 1, 2):
        (folder / DOCUMENT).write_bytes(b"")
    with pytest.raises(DataError, match=r"has no whole checkpoint: 2 found, the last .* checkpoint.json has 0 bytes"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize(("make", "sentence"), [(False, "no such run folder"), (True, "holds no finished checkpoint")])
def test_no_run_is_said(tmp_path: Path, make: bool, sentence: str) -> None:
    run = tmp_path / "run"
    if make:
        run.mkdir()
    with pytest.raises(ConfigError, match=sentence):
        read_checkpoint(run)
    if make:
        assert read_state(run) is None
