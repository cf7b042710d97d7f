"""A trace on several GPUs: the form's tables, its step, and what each GPU holds."""

from dataclasses import dataclass, replace

from rooflight.core.parallel import Parallel
from rooflight.core.types import GpuSpec, Trace
from rooflight.estimate.device import device
from rooflight.estimate.fabric import Fabric, fabric
from rooflight.estimate.layout import Layout, layout
from rooflight.estimate.pace import pace
from rooflight.estimate.parallel import Shared, Weights, shared_step
from rooflight.estimate.setting import Setting
from rooflight.estimate.shares import Shares
from rooflight.estimate.step import Step, step
from rooflight.estimate.table import ITEM_BYTES, OpTable
from rooflight.estimate.tensor import Exchange, check_tensor, exchanges, split


@dataclass(frozen=True, slots=True, kw_only=True)
class Several:
    """One rank's step as it were alone, and the step of all."""

    table: OpTable
    own: Step
    shared: Shared


def weights_of(trace: Trace) -> Weights:
    """Weights are gathered in the dtype of the products, gradients added up in their own, as FSDP's usual policy."""
    reduced = sum(block.bytes for block in trace.lifetimes if block.role == "gradient")
    item = ITEM_BYTES.get(trace.workload.dtype, 4)
    return Weights(gathered=trace.parameters * item, reduced=reduced, parameters=trace.parameters)


def exchanged(table: OpTable, found: Layout, form: Parallel, setting: Setting) -> tuple[Exchange, Exchange]:
    """What a micro-batch's ranks exchange forward and backward; a stage's neighbours hand over one such message."""
    if form.tensor == form.pipeline == 1:
        nothing = Exchange(count=0, message_bytes=0.0)
        return nothing, nothing
    forward, backward = (exchanges(table, found, phase) for phase in ("forward", "backward"))
    again = forward.count if setting.recomputes else 0
    return forward, replace(backward, count=backward.count + again)


def several(
    table: OpTable,
    weights: Weights,
    form: Parallel,
    spec: GpuSpec,
    setting: Setting,
    shares: Shares,
    *,
    found: Layout | None = None,
    joined: Fabric | None = None,
) -> Several:
    """The step of a form.

    table   of one micro-batch of one replica, whole
    raises  ConfigError if the model cannot be cut so, SpecError if the GPU lacks what it computes in
    """
    found = found or layout(table)
    joined = joined or fabric(spec)
    check_tensor(table, found, form)
    part = split(table, found, form)
    gpu = device(spec, shares)
    own = step(part, gpu, setting, shares)
    if form.gpus == 1 and form.micro_batches == 1:
        alone = Shared(seconds=own.seconds, working=own.seconds, waiting={}, sent_bytes=0.0, between_bytes=0.0)
        return Several(table=part, own=own, shared=alone)
    forward, backward = exchanged(table, found, form, setting)
    shared = shared_step(
        pace(part, gpu, setting, shares, parameters=weights.parameters),
        form,
        joined,
        weights,
        found=found,
        forward=forward,
        backward=backward,
        memory_bytes_per_second=spec.bytes_per_second,
    )
    return Several(table=part, own=own, shared=shared)
