"""What `bench` finds of a device: its measured limits beside the published ones, operators, and a calibration."""

from dataclasses import dataclass
from typing import Literal

from rooflight.core.types import Environment, GpuSpec, Measurement, TimedKernels

MOST_OF_PEAK = 1.02  # a rate above 102 % of a dense peak is a fault: of the measurement, or of the peak


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRate:
    """FLOP/s of one engine in one dtype. The burst's name tells the kernel and the shape."""

    engine: Literal["vector", "matrix"]
    dtype: str
    burst: Measurement  # a few tenths of a second, from rest
    sustained: Measurement | None = (
        None  # the later half of some seconds without a pause; None: no time was left for it
    )
    flops_per_joule: float | None = None  # of the sustained run; None: no meter
    peak_flops_per_second: float | None = None  # dense; None: not known
    share: float | None = None  # the faster of burst and sustained / peak
    above_peak: bool = False  # more than MOST_OF_PEAK: not to be believed


@dataclass(frozen=True, slots=True, kw_only=True)
class Bandwidth:
    """Bytes per second of one pattern over one working set."""

    level: Literal["memory", "cache"]  # where the working set lies
    pattern: str  # "copy": 1 read and 1 write; "triad": 2 reads and 1 write; "read"
    set_bytes: int
    burst: Measurement
    sustained: Measurement | None = None
    bytes_per_joule: float | None = None
    peak_bytes_per_second: float | None = None
    share: float | None = None
    above_peak: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """Bytes per second between host and device."""

    direction: Literal["host to device", "device to host"]
    pinned: bool  # the host's memory is page-locked
    bytes: int
    measured: Measurement


@dataclass(frozen=True, slots=True, kw_only=True)
class Roofs:
    """What `bench roofs --json` prints."""

    device: str
    environment: Environment
    peaks: str | None  # where the dense peaks come from; None: there are none for this device
    meter: str  # what read the power, or why nothing did
    engines: tuple[EngineRate, ...]
    bandwidths: tuple[Bandwidth, ...]
    transfers: tuple[Transfer, ...]
    launch: Measurement  # host seconds to issue one operator
    notes: tuple[str, ...] = ()  # how the dtypes were chosen, what was skipped and why
    faults: tuple[str, ...] = ()  # figures above MOST_OF_PEAK, a sentence each


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorRate:
    """One operator at one size in one variant, and its place under the roof."""

    operator: str  # "convolution"
    size: str  # "ResNet-50 stage 2, 3×3: 8×64×56×56"
    variant: str  # "float32", "bfloat16", "oneDNN off", …
    device: str
    dtype: str
    measured: Measurement  # seconds
    speedup: float  # against the first variant of the same operator and size: the median over rounds that ran both
    flops: int
    bytes: int  # each tensor moved once
    flops_per_second: float
    bytes_per_second: float
    bound_by: Literal["compute", "memory", "cache", "launch"] | None  # None: the roof of that device was not measured
    share: float | None  # the roof's least time / the measured time


@dataclass(frozen=True, slots=True, kw_only=True)
class Operators:
    """What `bench ops --json` prints."""

    device: str
    environment: Environment
    roof: GpuSpec  # what the shares are of
    cache_bytes: int | None  # operators that move less than this are held against the cache's bandwidth
    cache_bytes_per_second: float | None
    rows: tuple[OperatorRate, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A device's measured roof, kept in a file for later predictions."""

    device: str
    torch_version: str
    environment: Environment  # its date, and its threads
    roof: GpuSpec
    timed: TimedKernels | None = None  # None: a calibration of the roof alone
    notes: tuple[str, ...] = ()  # which operators joined the roof and which did not, and why
