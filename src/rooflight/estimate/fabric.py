"""What joins GPUs: the links inside a machine, the adapters between machines, from a data sheet and what is usual."""

from dataclasses import dataclass

from rooflight.core.types import GpuSpec, Link

NODE = 8  # GPUs that share a host where no link says otherwise, as such machines are sold

# Adapters of machines as they are sold, bytes per second, GPU and direction, by what kernels are compiled for: DGX-1
# (4 × 100 Gbit/s for 8 GPUs) and DGX-2 (8 for 16), DGX A100 (8 × 200 Gbit/s), DGX H100, B200 and
# MI300X platforms (8 × 400 Gbit/s), DGX B300 (8 × 800 Gbit/s); their data sheets, recalled.
ADAPTERS = {
    "6.0": 6.25e9,
    "7.0": 6.25e9,
    "8.0": 25e9,
    "9.0": 50e9,
    "10.0": 50e9,
    "10.3": 100e9,
    "gfx90a": 25e9,
    "gfx942": 50e9,
    "gfx950": 50e9,
}
ONE_ADAPTER = 25e9  # of a machine of PCIe cards, which its GPUs share: 200 Gbit/s

# GeForce cards from Turing on do not reach each other's memory over PCIe, so that everything goes through the host's:
# "CANNOT Access Peer Device" of a 2080 Ti (NVIDIA/nccl-tests issue 117) and a 3090 (NVIDIA/nccl issue 1127).
WITHOUT_PEERS = ("7.5", "8.6", "8.9", "12.0")

UNKNOWN_LINK = 6e9  # where a data sheet names no link at all: below PCIe 3.0 x8


@dataclass(frozen=True, slots=True, kw_only=True)
class Fabric:
    """Bytes per second are one GPU's, one direction, as published.

    kind      "nvlink", "mesh" (xGMI: a link for each pair), "pcie", "host" (PCIe, through the host's memory)
    name      of the link, with its generation: "NVLink 4, 18 links"
    node      GPUs that reach each other so
    pair      of the link between two GPUs of a mesh
    adds      the switch can add up: NVLS
    network   of one GPU's part of the machine's adapters
    """

    kind: str
    name: str
    node: int
    bytes_per_second: float
    pair: float | None = None
    adds: bool = False
    network: float

    def within(self, ranks: int) -> float:
        """Bytes per second of a GPU's links when so many in one machine take part."""
        return self.bytes_per_second if self.pair is None else min(self.bytes_per_second, (ranks - 1) * self.pair)


def fabric(spec: GpuSpec, *, network_bytes_per_second: float | None = None) -> Fabric:
    """The links of a data sheet, and the adapters that such GPUs are sold with unless they are given.

    A bridge between two cards is sold apart: it is not taken to be there.
    """
    network = network_bytes_per_second or ADAPTERS.get(spec.target or "")
    joined = [link for link in spec.links if (link.devices or 0) > 2 and "bridge" not in link.name]
    if joined and spec.form_factor != "PCIe":
        best = max(joined, key=lambda link: link.bytes_per_second)
        return _wired(best, network or ONE_ADAPTER / NODE)
    hosts = [link for link in spec.links if link.devices is None and "C2C" not in link.name]
    best_host = max(hosts, key=lambda link: link.bytes_per_second, default=None)
    shared = network_bytes_per_second or ONE_ADAPTER / NODE
    if best_host is None:
        return Fabric(kind="pcie", name="unknown", node=NODE, bytes_per_second=UNKNOWN_LINK, network=shared)
    peers = spec.family not in ("GeForce", "TITAN") or spec.target not in WITHOUT_PEERS
    return Fabric(
        kind="pcie" if peers else "host",
        name=best_host.name,
        node=NODE,
        bytes_per_second=best_host.bytes_per_second,
        network=shared,
    )


def _wired(link: Link, network: float) -> Fabric:
    node = link.devices or NODE
    mesh = "xGMI" in link.name or "Infinity Fabric" in link.name
    return Fabric(
        kind="mesh" if mesh else "nvlink",
        name=link.name,
        node=node,
        bytes_per_second=link.bytes_per_second,
        pair=link.bytes_per_second / (node - 1) if mesh else None,
        adds="NVLS" in link.source,
        network=network,
    )
