"""From a row to what is to be predicted: model, workload, setting. Each source has its own step: see sources/."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from benchmarks.accuracy.rows import Row
from rooflight.estimate.holding import Blocks
from rooflight.estimate.setting import Setting
from rooflight.estimate.table import OpTable


class NotPredictedError(Exception):
    """A row that gets no prediction; the message is the reason that is counted."""


LORA_RANK = 8  # of adapters, where a source does not say


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What is to be traced: rows that differ in batch, GPU or software alone share it.

    model       library and name: "timm:resnet50"; "decode:" and "prefill:" before a language model's of transformers
    dtype       of the products
    weights     dtype of the parameters; autocast is on where it differs from dtype
    input_shape of one sample; (T,) for tokens
    optimizer   None: forward, or forward and backward alone

    The memory format is not part of it: it changes how fast operators are and what a library copies, not which.
    """

    model: str
    task: str
    dtype: str
    weights: str
    input_shape: tuple[int, ...]
    optimizer: str | None = None
    fused_attention: bool = True
    checkpointing: bool = False
    trainable: Literal["all", "head", "lora"] = "all"
    lora_rank: int = field(default=LORA_RANK, repr=False)  # traces on disk are named after what is shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row, ready to be predicted. batch is per GPU.

    per_sample  what the metric counts in one sample: tokens of a sequence
    repeats     micro-batches, or steps of a sampler, in what the row calls a step
    change      what the run does otherwise than the trace of its recipe: weights of fewer bits, a GPU's share of them
    holding     what it keeps in memory otherwise
    exchanged   bytes of each message in which GPUs that split one step tell each other their parts
    beside      other work that comes with the step: so many steps of another case for each of this one
    """

    row: Row
    recipe: Recipe
    batch: float
    setting: Setting
    parallel: Literal["threads", "processes", "sharded", "split"] | None = None  # DataParallel,
    # DistributedDataParallel, FSDP or ZeRO-3, one step divided among all
    per_sample: float = 1.0
    repeats: float = 1.0
    change: Callable[[OpTable], OpTable] | None = None
    holding: Callable[[Blocks, OpTable], Blocks] | None = None
    exchanged: tuple[float, ...] = ()
    beside: tuple[tuple["Case", float], ...] = ()
    assumed: Mapping[str, str] = field(default_factory=dict)  # what the row does not say, and what was taken for it


def case(row: Row) -> Case:
    """What a row asks for: by the rules of its source, or by general ones where the source is not known.

    raises  NotPredictedError with the reason
    """
    from benchmarks.accuracy.sources import SOURCES  # they import what is above
    from benchmarks.accuracy.sources.general import of_any

    return SOURCES.get(row.source, of_any)(row)
