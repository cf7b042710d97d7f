"""What a training run tells while it goes on, and what its speed is held against. All of it is JSON."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Yardstick:
    """What one sample asks of a device, and what the device could do at best; None: not known."""

    flops_per_sample: float | None = None  # of the products of a training step: forward and backward
    bytes_per_sample: float | None = None  # that its operators move, caches or not
    flops_per_second: float | None = None  # dense peak of the dtype, of one device
    bytes_per_second: float | None = None  # of one device's memory
    devices: int = 1  # that share a step
    source: str = ""  # where the peaks come from, or why there are none

    def mfu(self, samples_per_second: float) -> float | None:
        """Model FLOPs utilisation: the products' FLOP/s over the dense peak. Source: PaLM, arXiv 2204.02311, B."""
        return _share(samples_per_second, self.flops_per_sample, self.flops_per_second, self.devices)

    def memory_share(self, samples_per_second: float) -> float | None:
        """Bytes that operators move per second over the memory's rate; above 1, caches serve a part of them."""
        return _share(samples_per_second, self.bytes_per_sample, self.bytes_per_second, self.devices)


def _share(rate: float, each: float | None, most: float | None, devices: int) -> float | None:
    return rate * each / (most * devices) if each is not None and most else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast some steps went; None: not known."""

    samples_per_second: float | None = None  # with the making of batches; without evaluation and saving
    step_seconds: float | None = None  # of a step alone: forward, loss, backward, update; the mean
    data_wait_share: float | None = None  # of the time that goes into steps and batches, what is waiting for batches
    mfu: float | None = None
    memory_share: float | None = None
    watts: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """One line of steps.jsonl: a step, and how fast those since the line before were."""

    step: int  # counted from 1
    epoch: int
    loss: float | None  # of that step's samples; None: it was not finite
    lr: float
    samples_per_second: float | None
    step_seconds: float | None
    mfu: float | None
    memory_share: float | None
    data_wait_share: float | None
    watts: float | None  # of the device, over half a second or more
    peak_bytes: int | None  # that tensors took on a GPU; on a CPU, that the process did
