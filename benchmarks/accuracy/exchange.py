"""What GPUs that split one step tell each other: short messages, one after the other, that nothing hides."""

from benchmarks.accuracy.cases import Case
from rooflight.core.types import GpuSpec

# Shares of a wire that collectives of a few megabytes reach, and what each costs before its first byte: the kernel and
# the handshake of all peers. catalogue/collectives.csv has NCCL's and the direct forms' latencies, 8 to 15 µs.
NVLINK_SHARE, PCIE_SHARE, START_SECONDS = 0.6, 0.4, 10e-6
NO_LINK_BYTES_PER_SECOND = 6e9


def exchange_seconds(case: Case, spec: GpuSpec) -> float:
    """Seconds of all messages of a step, over the fastest link that joins so many of these GPUs."""
    joined = [NVLINK_SHARE * link.bytes_per_second for link in spec.links if (link.devices or 0) >= case.row.gpus]
    hosts = [PCIE_SHARE * link.bytes_per_second for link in spec.links if link.devices is None]
    rate = max(joined + hosts, default=NO_LINK_BYTES_PER_SECOND)
    return sum(sent / rate + START_SECONDS for sent in case.exchanged)
