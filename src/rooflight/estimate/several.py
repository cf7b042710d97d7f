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
    nothing = Exchange(count=0, message_bytes=0.0)
    if form.gpus == 1 and form.micro_batches == 1:
        alone = Shared(seconds=own.seconds, working=own.seconds, waiting={}, sent_bytes=0.0, between_bytes=0.0)
        return Several(table=part, own=own, shared=alone)
    talking = form.tensor > 1 or form.pipeline > 1
    forward = exchanges(table, found, "forward") if talking else nothing
    backward = exchanges(table, found, "backward") if talking else nothing
    if setting.recomputes:
        backward = replace(backward, count=backward.count + forward.count)
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
