"""A folder belongs to one process."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rooflight.core.errors import ConfigError
from rooflight.core.lock import hold

HOLDS = """
import sys, time
from pathlib import Path
from rooflight.core.lock import hold
with hold(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_another_process_is_named_and_nothing_is_touched(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDS, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        before = (tmp_path / ".lock").read_bytes()
        with pytest.raises(ConfigError, match=rf"is in use by process {process.pid} on "), hold(tmp_path):
            pass
        assert (tmp_path / ".lock").read_bytes() == before
        process.send_signal(signal.SIGKILL)
        process.wait()
        with hold(tmp_path):  # the kernel has let go of it
            pass


def test_it_is_free_again_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), hold(tmp_path):
        raise RuntimeError
    with hold(tmp_path), pytest.raises(ConfigError, match="in use"), hold(tmp_path):
        pass


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("precious")
    (tmp_path / ".lock").symlink_to(tmp_path / "other")
    with pytest.raises(OSError), hold(tmp_path):  # noqa: PT011
        pass
    assert (tmp_path / "other").read_text() == "precious"
