"""A GPU with round figures and a step of a few operators, for tests of the fitted model."""

from dataclasses import replace

from rooflight.core.types import GpuSpec, Lifetime, Op, Rate, Trace, Workload

GPU = GpuSpec(
    name="round",
    memory_bytes=16 * 2**30,
    bytes_per_second=1e12,
    flops_per_second={"float32": 1e13, "float16": 1e14},
    rates=(
        Rate(engine="vector", dtype="float32", accumulate="float32", flops_per_second=1e13),
        Rate(engine="matrix", dtype="float16", accumulate="float32", flops_per_second=1e14),
    ),
    units=100,
    clock_hz=1e9,
    l2_bytes=10 * 2**20,
    vendor="nvidia",
    source="round numbers, for tests",
)


def product(m: int, n: int, k: int, *, batch: int = 1, dtype: str = "float16", phase: str = "forward") -> Op:
    """One matrix product; backward does it twice."""
    copies = 2 if phase == "backward" else 1
    return Op(
        name="aten.mm.default" if copies == 1 else "aten.mm_backward",
        kind="matmul",
        phase=phase,  # type: ignore[arg-type]
        dtype=dtype,
        flops=2 * batch * m * n * k * copies,
        bytes_read=2 * batch * (m * k + k * n),
        bytes_written=2 * batch * m * n,
        product=(batch, m, n, k),
    )


def pointwise(size: int, *, source: int | None = None, phase: str = "forward") -> Op:
    """One elementwise operator over so many bytes in and out."""
    return Op(
        name="aten.relu.default",
        kind="elementwise",
        phase=phase,  # type: ignore[arg-type]
        dtype="float16",
        flops=size // 2,
        bytes_read=size,
        bytes_written=size,
        inputs=((source, size),) if source is not None else (),
    )


def step_of(*ops: Op, task: str = "infer", batch: int = 8) -> Trace:
    """A trace of these operators, each of which leaves what it wrote until the next one is done."""
    lifetimes = tuple(
        Lifetime(bytes=op.bytes_written, first_op=index, last_op=min(index + 1, len(ops) - 1), role="activation")
        for index, op in enumerate(ops)
    )
    workload = Workload(model="toy", task=task, batch=batch, input_shape=(1,), dtype="float16")  # type: ignore[arg-type]
    return Trace(
        workload=replace(workload, optimizer="sgd") if task == "train" else workload,
        parameters=0,
        parameter_bytes=0,
        flops=sum(op.flops for op in ops),
        bytes=sum(op.bytes_read + op.bytes_written for op in ops),
        peak_bytes=0,
        ops=ops,
        lifetimes=lifetimes,
    )
