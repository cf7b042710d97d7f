"""Control groups, versions 1 and 2, in a fake file system."""

from pathlib import Path

import pytest

from rooflight.hardware.limits import cpu_quota, memory_limit, usable_cpus


def _write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_version_2_takes_the_tightest_level(tmp_path: Path) -> None:
    _write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/system.slice/job\n",
            "sys/fs/cgroup/system.slice/memory.max": "4000\n",
            "sys/fs/cgroup/system.slice/cpu.max": "300000 100000\n",
            "sys/fs/cgroup/system.slice/job/memory.max": "9000\n",
            "sys/fs/cgroup/system.slice/job/cpu.max": "400000 100000\n",
        },
    )
    assert memory_limit(tmp_path) == 4000
    assert cpu_quota(tmp_path) == 3.0


def test_version_1_in_a_container_whose_path_exists_only_outside(tmp_path: Path) -> None:
    _write(
        tmp_path,
        {
            "proc/self/cgroup": "9:name=systemd:/\n4:memory:/docker/abc\n2:cpu,cpuacct:/docker/abc\n0::/\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "1000000\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "150000\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        },
    )
    assert memory_limit(tmp_path) == 1_000_000
    assert cpu_quota(tmp_path) == 1.5
    assert usable_cpus(1, tmp_path) == 1
    assert usable_cpus(10_000, tmp_path) <= 2


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n", "sys/fs/cgroup/cpu.max": "max 100000\n"},
        {
            "proc/self/cgroup": "4:memory:/\n2:cpu:/\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        },
        {"proc/self/cgroup": "garbage\n::::\n", "sys/fs/cgroup/memory.max": "12\n"},
        {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "", "sys/fs/cgroup/cpu.max": "100 0\n"},
    ],
)
def test_no_limit(tmp_path: Path, files: dict[str, str]) -> None:
    _write(tmp_path, files)
    assert memory_limit(tmp_path) is None
    assert cpu_quota(tmp_path) is None
