"""How GPUs share one step: the form of parallelism, as numbers that multiply to the number of GPUs."""

from dataclasses import dataclass
from typing import Literal

from rooflight.core.errors import ConfigError

Sharding = Literal["none", "optimizer", "gradients", "parameters"]
# What data-parallel ranks keep a part of only: ZeRO's stages 0 to 3; "parameters" is FSDP's FULL_SHARD too.
# source  Rajbhandari et al., "ZeRO: Memory Optimizations Toward Training Trillion Parameter Models", SC 2020


@dataclass(frozen=True, slots=True, kw_only=True)
class Parallel:
    """The form. Ranks are numbered with tensor innermost, then data, then pipeline, as Megatron-LM does.

    data          replicas that each have a batch of their own
    tensor        GPUs that share every product of a block: columns first, then rows
    pipeline      stages, each with some of the blocks
    sharding      what a data-parallel rank keeps only its part of
    shard_group   ranks that hold one whole copy together (hybrid sharding); None: all of `data`
    micro_batches that a step's batch goes through in, one after the other
    interleave    pieces of the model that each pipeline stage has, far apart (Megatron's virtual stages)
    sequence      norms and residuals between the split products are split along the text (sequence parallel)
    """

    data: int = 1
    tensor: int = 1
    pipeline: int = 1
    sharding: Sharding = "none"
    shard_group: int | None = None
    micro_batches: int = 1
    interleave: int = 1
    sequence: bool = False

    @property
    def gpus(self) -> int:
        """How many share the step."""
        return self.data * self.tensor * self.pipeline

    @property
    def shards(self) -> int:
        """Into how many parts the sharded state is cut."""
        return 1 if self.sharding == "none" else self.shard_group or self.data

    def __post_init__(self) -> None:
        for name in ("data", "tensor", "pipeline", "micro_batches", "interleave"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} {getattr(self, name)}: a form of parallelism needs 1 or more.")
        if self.shard_group is not None and (self.shard_group < 1 or self.data % self.shard_group):
            raise ConfigError(
                f"a shard group of {self.shard_group} does not divide {self.data} data-parallel ranks. Try a divisor."
            )
        if self.interleave > 1 and self.pipeline == 1:
            raise ConfigError(f"interleave {self.interleave} is for a pipeline, and there is one stage. Try 1.")
        if self.pipeline > 1 and self.sharding in ("gradients", "parameters"):
            raise ConfigError(
                f"a pipeline with sharded {self.sharding} is not predicted: every micro-batch would gather or reduce "
                "again. Try sharding of the optimizer, or no pipeline."
            )


STAGES = {"none": "", "optimizer": "z1", "gradients": "z2", "parameters": "z3"}
LETTERS = (
    "d data, t tensor, p pipeline, i pieces of a stage; z1 the optimizer sharded, z2 gradients too, z3 parameters too; "
    "s sequence parallel"
)


def letters(form: Parallel) -> str:
    """The form for a narrow table: "d8 t4 z1"; LETTERS says what they are."""
    if form.gpus == 1:
        return "–"
    sizes = (("d", form.data), ("t", form.tensor), ("p", form.pipeline), ("i", form.interleave))
    parts = [f"{letter}{count}" for letter, count in sizes if count > 1]
    parts += [STAGES[form.sharding]] if form.data > 1 and form.sharding != "none" else []
    return " ".join([*parts, *(["s"] if form.sequence else [])])


def words(form: Parallel) -> str:
    """The form for people: "data 8 × tensor 4, optimizer sharded"."""
    if form.gpus == 1:
        return "one GPU"
    parts = [("data", form.data), ("tensor", form.tensor), ("pipeline", form.pipeline)]
    said = " × ".join(f"{name} {count}" for name, count in parts if count > 1)
    more = []
    if form.sharding != "none" and form.data > 1:
        inside = f" in groups of {form.shard_group}" if form.shard_group not in (None, form.data) else ""
        more.append(f"{form.sharding} sharded{inside}")
    if form.interleave > 1:
        more.append(f"interleaved {form.interleave} times")
    if form.micro_batches > 1:
        more.append(f"{form.micro_batches} micro-batches")
    if form.sequence:
        more.append("sequence parallel")
    return ", ".join([said, *more])
