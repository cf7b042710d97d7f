"""What simpler methods predict of the same cases: the bar to clear."""

import numpy as np

from benchmarks.accuracy.cases import Case
from rooflight.core.types import GpuSpec
from rooflight.estimate.table import OpTable


def plain_roofline(case: Case, table: OpTable, spec: GpuSpec) -> float | None:
    """Seconds of a step if every operator took the longer of FLOPs over peak and bytes over bandwidth.

    source  Williams, Waterman, Patterson, "Roofline", CACM 52(4), 2009
    returns None if the data sheet lacks a dtype that the step computes in
    """
    compute = np.zeros(len(table))
    for kind in sorted(set(table.kinds)):
        for dtype in table.dtypes_of(kind):
            chosen = table.kind(kind) & table.dtype(dtype)
            used = case.setting.product_dtype(kind, dtype)
            rate = spec.flops_per_second.get(used) or spec.flops_per_second.get("float32")
            if rate is None:
                return None
            compute[chosen] = table.flops[chosen] / rate
    return float(np.maximum(compute, table.bytes / spec.bytes_per_second).sum())


# Data sheets inside torch (torch._inductor.analysis.device_info), by our names. It has ten devices.
TORCH_DEVICES = {
    "A100 SXM4 40GB": "NVIDIA A100",
    "A100 SXM4 80GB": "NVIDIA A100",
    "A100 PCIe 40GB": "NVIDIA A100",
    "A100 PCIe 80GB": "NVIDIA A100",
    "H100 SXM5 80GB": "NVIDIA H100",
    "L4": "NVIDIA L4",
    "Instinct MI210 64GB": "AMD MI210X",
    "Instinct MI300X 192GB": "AMD MI300X",
}


def torch_estimator(case: Case, spec: GpuSpec) -> float | None:
    """Seconds of a step as torch's own RuntimeEstimator sums them up, forward and backward; None: not a device of its.

    It needs no GPU, and runs the model on fake tensors at the batch asked for.
    """
    if spec.name not in TORCH_DEVICES:
        return None
    from contextlib import redirect_stdout
    from io import StringIO
    from unittest.mock import patch

    import torch
    from torch.distributed._tools.runtime_estimator import RuntimeEstimator

    from benchmarks.accuracy.models import built, first_loss
    from rooflight.core.types import Workload
    from rooflight.trace.inputs import DTYPES, class_indices
    from rooflight.trace.shapes import Shapes, without_memory

    recipe = case.recipe
    model = built(recipe)
    workload = Workload(
        model=recipe.model, task="infer", batch=round(case.batch), input_shape=recipe.input_shape, dtype=recipe.dtype
    )
    whole = recipe.weights == recipe.dtype
    estimator = RuntimeEstimator(gpu_type=TORCH_DEVICES[spec.name])
    mode = Shapes(allow_non_fake_inputs=True)
    module = without_memory(model.build, mode, DTYPES[recipe.weights], False).train(recipe.task == "train")
    with mode:
        x = model.make_input(workload)
        x = x.to(DTYPES[recipe.weights]) if x.is_floating_point() else x
        with (
            # It asks for a GPU before it looks into its table, and takes nothing from it.
            patch("torch.cuda.is_available", return_value=True),
            redirect_stdout(StringIO()),  # it prints its sum
            estimator(estimate_mode_type="operator-level-cost-model"),
            torch.autocast("cpu", dtype=DTYPES[recipe.dtype], enabled=not whole),
            torch.set_grad_enabled(recipe.task == "train"),
        ):
            scores = module(x)
            if recipe.task == "train":
                first_loss(scores, class_indices(scores)).backward()
    return float(estimator.total_runtime) / 1000.0
