"""Memory of a case: peaks in the unit of the row, and labels of which batches fit."""

import re

from benchmarks.accuracy.cases import Case, NotPredictedError
from benchmarks.accuracy.predict import case_table, gpu_spec
from benchmarks.accuracy.several import form_of, weights_of
from benchmarks.accuracy.traces import Traced
from rooflight.estimate.footprint import Footprint, footprint, keeps_gradients
from rooflight.estimate.holding import Blocks, held
from rooflight.estimate.layout import layout

GIB = 2**30

# What each source read: torch's allocator, in tensors or in segments, or the driver's count of the process.
ALLOCATOR = ("facebookresearch/detectron2", "Lightning-AI/litgpt", "pytorch/torchtune", "QwenLM/Qwen")
SUMMED = ("QwenLM/Qwen",)  # over the GPUs


def case_footprint(case: Case, traced: Traced, *, batch: float) -> Footprint:
    """
    raises  NotPredictedError if the run saves activations in a way that its trace does not show
    """
    if case.setting.recomputes and not case.recipe.checkpointing:
        raise NotPredictedError("memory with activation checkpointing is not traced")
    table = case_table(case, traced, batch=batch)
    alive = _alive(case, traced, batch)
    last = len(table) - 1
    trains = case.recipe.optimizer is not None
    keeps = trains and keeps_gradients(case.setting)
    blocks = [
        (int(size), 0, last) if keeps and role == "gradient" else (int(size), int(first), min(int(end), last))
        for size, first, end, role in zip(alive.bytes, alive.first, alive.last, alive.roles, strict=True)
        if first <= last and (trains or role != "optimizer_state")
    ]
    return footprint(table, blocks, gpu_spec(case.row.gpu), case.setting)


def _alive(case: Case, traced: Traced, batch: float) -> Blocks:
    """The blocks of one GPU, as its run keeps them."""
    known, whole = traced.blocks_at(batch), traced.at(batch)
    blocks = Blocks(bytes=known.bytes, first=known.first, last=known.last, roles=known.roles)
    if case.holding is not None:
        blocks = case.holding(blocks, whole)
    if case.row.gpus == 1 or case.parallel not in ("processes", "sharded"):
        return blocks
    return held(blocks, whole, layout(whole), form_of(case), weights_of(case, traced.parameters))


def peak(case: Case, traced: Traced) -> float:
    """GiB at the peak, as the row's source counts them: of one GPU, or of all together.

    raises  NotPredictedError for a source whose figures are labels, not truths
    """
    if case.row.source not in ALLOCATOR:
        raise NotPredictedError("memory as nvidia-smi tells it, with the cache: counted as a label")
    found = case_footprint(case, traced, batch=case.batch)
    return found.allocated_bytes / GIB * (case.row.gpus if case.row.source in SUMMED else 1)


def labels(case: Case, traced: Traced) -> list[tuple[bool, bool]]:
    """(did it run, is it predicted to fit) of the batches that a row tells of."""
    told = [(case.batch, True)]
    if larger := re.search(r"the next larger batch (\d+)", case.row.notes):
        told.append((int(larger[1]), False))
    return [(ran, case_footprint(case, traced, batch=batch).fits) for batch, ran in told]
