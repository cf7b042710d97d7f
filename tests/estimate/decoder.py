"""A decoder of round sizes as a trace: every block's operators forward, backward and in the optimizer."""

from dataclasses import replace

from rooflight.core.types import GpuSpec, Lifetime, Link, Op, Rate, Trace, Workload
from tests.estimate.gpus import GPU

WIDTH, HEADS, VOCABULARY, LENGTH = 512, 8, 4096, 128

LINKED: GpuSpec = replace(
    GPU,
    memory_bytes=80 * 2**30,
    tdp_watts=400.0,
    target="8.0",
    form_factor="SXM4",
    links=(Link(name="NVLink 3, 12 links", bytes_per_second=3e11, devices=8, source="NVSwitch"),),
    rates=(*GPU.rates, Rate(engine="matrix", dtype="bfloat16", accumulate="float32", flops_per_second=1e14)),
)


def decoder(layers: int = 4, batch: int = 4, *, task: str = "train") -> Trace:
    """(N, T) tokens through `layers` blocks of attention and a feed-forward part, and a head; in float16."""
    rows = batch * LENGTH
    ops = [_moved("aten.embedding.default", "copy", rows * WIDTH)]
    for _ in range(layers):
        ops += _block(rows, batch)
    ops += [_product(rows, VOCABULARY, WIDTH), _moved("aten._log_softmax.default", "reduction", rows * VOCABULARY)]
    forward = len(ops)
    if task == "train":
        loss = _moved("aten._log_softmax_backward_data.default", "reduction", rows * VOCABULARY)
        ops += [replace(loss, phase="backward"), *_gradients(rows, VOCABULARY, WIDTH)]
        for _ in range(layers):
            ops += _block_backward(rows, batch)
    parameters = layers * 12 * WIDTH**2 + 2 * VOCABULARY * WIDTH
    if task == "train":
        update = _moved("aten._fused_adamw_.default", "optimizer", 6 * parameters)
        ops.append(replace(update, phase="optimizer", dtype="float32"))
    last = len(ops) - 1
    workload = Workload(model="decoder", task=task, batch=batch, input_shape=(LENGTH,), dtype="float16")  # type: ignore[arg-type]
    states = [Lifetime(bytes=4 * parameters, first_op=0, last_op=last, role="parameter")]
    if task == "train":
        states.append(Lifetime(bytes=4 * parameters, first_op=forward, last_op=last, role="gradient"))
        states.append(Lifetime(bytes=8 * parameters, first_op=0, last_op=last, role="optimizer_state"))
    saved = [
        Lifetime(bytes=op.bytes_written, first_op=index, last_op=max(index, 2 * forward - index - 2), role="activation")
        for index, op in enumerate(ops[:forward])
    ]
    alive = [replace(block, last_op=min(block.last_op, last)) for block in saved]
    return Trace(
        workload=replace(workload, optimizer="adamw") if task == "train" else workload,
        parameters=parameters,
        parameter_bytes=4 * parameters,
        flops=sum(op.flops for op in ops),
        bytes=sum(op.bytes_read + op.bytes_written for op in ops),
        peak_bytes=0,
        ops=tuple(ops),
        lifetimes=(*states, *alive),
    )


def _block(rows: int, batch: int) -> list[Op]:
    return [
        _moved("aten.native_layer_norm.default", "normalization", rows * WIDTH),
        _product(rows, 3 * WIDTH, WIDTH),
        _attention(rows, batch),
        _product(rows, WIDTH, WIDTH),
        _moved("aten.add.Tensor", "elementwise", rows * WIDTH),
        _moved("aten.native_layer_norm.default", "normalization", rows * WIDTH),
        _product(rows, 4 * WIDTH, WIDTH),
        _moved("aten.gelu.default", "elementwise", 4 * rows * WIDTH),
        _product(rows, WIDTH, 4 * WIDTH),
        _moved("aten.add.Tensor", "elementwise", rows * WIDTH),
    ]


def _block_backward(rows: int, batch: int) -> list[Op]:
    attention = replace(_attention(rows, batch), name="aten._scaled_dot_product_flash_attention_backward.default")
    ops = [
        *_gradients(rows, WIDTH, 4 * WIDTH),
        _moved("aten.gelu_backward.default", "elementwise", 4 * rows * WIDTH),
        *_gradients(rows, 4 * WIDTH, WIDTH),
        _moved("aten.native_layer_norm_backward.default", "normalization", rows * WIDTH),
        *_gradients(rows, WIDTH, WIDTH),
        replace(attention, flops=2 * attention.flops),
        *_gradients(rows, 3 * WIDTH, WIDTH),
        _moved("aten.native_layer_norm_backward.default", "normalization", rows * WIDTH),
    ]
    return [replace(op, phase="backward") for op in ops]


def _gradients(rows: int, across: int, depth: int) -> list[Op]:
    """Of a product's weight, then of its input."""
    found = (_product(across, depth, rows), _product(rows, depth, across))
    return [replace(op, phase="backward") for op in found]


def _product(rows: int, across: int, depth: int) -> Op:
    return Op(
        name="aten.mm.default",
        kind="matmul",
        phase="forward",
        dtype="float16",
        flops=2 * rows * across * depth,
        bytes_read=2 * depth * (rows + across),
        bytes_written=2 * rows * across,
        product=(1, rows, across, depth),
    )


def _attention(rows: int, batch: int) -> Op:
    head = WIDTH // HEADS
    return Op(
        name="aten._scaled_dot_product_flash_attention.default",
        kind="attention",
        phase="forward",
        dtype="float16",
        flops=4 * batch * HEADS * LENGTH**2 * head,
        bytes_read=2 * 3 * rows * WIDTH,
        bytes_written=2 * rows * WIDTH,
        product=(batch * HEADS, LENGTH, LENGTH, head),
    )


def _moved(name: str, kind: str, elements: int) -> Op:
    return Op(
        name=name,
        kind=kind,
        phase="forward",
        dtype="float16",
        flops=elements,
        bytes_read=2 * elements,
        bytes_written=2 * elements,
    )
