"""Workers that answer, crash, hang and leave children behind."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from rooflight.bench.processes import Ended, run_process

SETTINGS = {"PATH": os.environ["PATH"]}


def python(code: str, seconds: float = 20.0, grace: float = 5.0) -> Ended:
    command = [sys.executable, "-c", code]
    return run_process(command, environment=SETTINGS, seconds=seconds, grace_seconds=grace)


def test_the_answer_is_the_last_line_of_stdout() -> None:
    assert python("print('talk'); print('{\"a\": 1}')").answer == '{"a": 1}'


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (
            "import sys; print('{}'); print('warning', file=sys.stderr); sys.exit('no such kernel')",
            "exit code 1: no such",
        ),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "killed by SIGKILL"),
        ("pass", "ended without an answer"),
        ("raise ValueError('a\\nb')", "exit code 1: b"),
    ],
)
def test_without_an_answer_there_is_a_reason(code: str, reason: str) -> None:
    ended = python(code)
    assert ended.answer is None
    assert ended.reason.startswith(reason)


def test_a_worker_that_hangs_is_ended_with_its_children_even_if_both_ignore_sigterm() -> None:
    code = (
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = os.fork()\n"
        "if child: print(child, flush=True)\n"
        "time.sleep(60)"
    )
    begin = time.monotonic()
    ended = python(code, seconds=1.0, grace=0.2)
    assert time.monotonic() - begin < 20
    assert (ended.code, ended.answer, ended.reason) == (None, None, "not done after 1.00 s")
    child = int(ended.stdout)
    for _ in range(100):  # a moment until init has buried it
        if not alive(child):
            return
        time.sleep(0.05)
    raise AssertionError(f"{child} is still there")


def alive(process: int) -> bool:
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().split(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_nothing_of_the_shell_is_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert python("import os; print(os.environ.get('KERAS_BACKEND'))").answer == "None"


def test_an_interrupted_call_takes_its_worker_along(tmp_path: Path) -> None:
    note = tmp_path / "process"

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 3.0)
    try:
        with pytest.raises(KeyboardInterrupt):
            python(f"import os, time; open({str(note)!r}, 'w').write(str(os.getpid())); time.sleep(60)")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert not alive(int(note.read_text()))
