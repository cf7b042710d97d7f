"""What the cells of a row mean: precision, software, batch and shape, by rules that hold for every source."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Literal

from benchmarks.accuracy.cases import NotPredictedError, Recipe
from benchmarks.accuracy.rows import Row
from rooflight.estimate.setting import Setting

Tf32 = Literal["none", "convolutions", "all"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """What a run computes in and what it keeps.

    dtype    of the products in the trace; weights: of the parameters, autocast is on where they differ
    bits     of one weight, where a dtype of the trace cannot say it
    product  dtype that products are multiplied in, where it is not the trace's
    tf32     float32 products were meant to run in TensorFloat-32
    """

    dtype: str
    weights: str
    bits: float | None = None
    product: str | None = None
    tf32: bool = False


# A block of 32 values shares a scale of 8 bits (MX formats), one of 16 values (NVFP4), of 64 (NF4), of 128 (GPTQ, AWQ)
# one of 16.
MX_BITS, NV_BITS, NF_BITS, GROUP_BITS = 4 + 8 / 32, 4 + 8 / 16, 4 + 16 / 64, 4 + 16 / 128

HALF = ("float16", "float16")
BRAIN = ("bfloat16", "bfloat16")


def _of(dtypes: tuple[str, str], **more: float | str | bool | None) -> Precision:
    return Precision(dtype=dtypes[0], weights=dtypes[1], **more)  # type: ignore[arg-type]


PRECISIONS: Mapping[str, Precision] = {
    "fp32": _of(("float32", "float32")),
    "tf32": _of(("float32", "float32"), tf32=True),
    "fp16": _of(HALF),
    "bf16": _of(BRAIN),
    "ampfp16": _of(("float16", "float32")),
    "ampbf16": _of(("bfloat16", "float32")),
    "fp8": _of(BRAIN, bits=8, product="float8"),
    "int8": _of(HALF, bits=8, product="int8"),
    "fp4": _of(BRAIN, bits=NV_BITS, product="float4"),
    # Weights alone: products run in 16 bits.
    "w8a16": _of(BRAIN, bits=8),
    "w4a16": _of(BRAIN, bits=GROUP_BITS),
    "nf4": _of(BRAIN, bits=NF_BITS),
    "mxfp4": _of(BRAIN, bits=MX_BITS),
}
ALIASES: Mapping[str, str] = {
    **dict.fromkeys(("float32", "float", "single", "f32", "32", "full"), "fp32"),
    **dict.fromkeys(("float16", "half", "f16", "16"), "fp16"),
    **dict.fromkeys(("bfloat16", "bf16true"), "bf16"),
    **dict.fromkeys(("amp", "mixed", "fp16mixed", "16mixed", "mixedfp16", "fp16amp", "autocast"), "ampfp16"),
    **dict.fromkeys(("bf16mixed", "mixedbf16", "bf16amp", "ampbfloat16"), "ampbf16"),
    **dict.fromkeys(("float8", "fp8e4m3", "f8", "w8a8fp8"), "fp8"),
    **dict.fromkeys(("w8a8", "int8w8a8"), "int8"),
    **dict.fromkeys(("nvfp4", "float4", "f4"), "fp4"),
    **dict.fromkeys(("gptqint8", "int8weight", "w8"), "w8a16"),
    **dict.fromkeys(("int4", "gptq", "gptqint4", "awq", "w4", "int4weight"), "w4a16"),
    **dict.fromkeys(("bnbnf4", "bnbnf4dq"), "nf4"),
}  # fmt: skip


def precision(row: Row, *, usual: str | None = None) -> Precision:
    """What the row's precision means; usual is what an empty cell stands for.

    raises  NotPredictedError for one that is not known
    """
    given = row.precision or usual
    name = re.sub(r"[^a-z0-9]", "", (given or "").lower())
    name = ALIASES.get(name, name)
    if name not in PRECISIONS:
        raise NotPredictedError(f"precision {given or 'not given'} is not known")
    return PRECISIONS[name]


def image_recipe(row: Row, model: str, *, optimizer: str | None, shape: tuple[int, ...] | None = None) -> Recipe:
    """A model that takes images, of the row's shape or the one given."""
    kept = precision(row, usual="fp32")
    return Recipe(
        model=model,
        task=task(row),
        dtype=kept.dtype,
        weights=kept.weights,
        input_shape=shape or image_shape(row) or (3, 224, 224),
        optimizer=optimizer if task(row) == "train" else None,
        fused_attention=torch_version(row) >= (2, 0),
    )


def token_recipe(row: Row, model: str, *, optimizer: str | None, length: int | None = None) -> Recipe:
    """A model that takes tokens, of the row's length or the one given."""
    kept = precision(row, usual="bf16")
    return Recipe(
        model=model,
        task=task(row),
        dtype=kept.dtype,
        weights=kept.weights,
        input_shape=(row.seq_len or length or 512,),
        optimizer=optimizer if task(row) == "train" else None,
    )


def setting(row: Row, *, tf32: Tf32) -> Setting:
    """How the row's step is run, as far as every source says it alike."""
    return Setting(
        waits=True,  # scripts that publish figures time every step, or copy every batch
        channels_last=(row.memory_format or "").lower() in ("nhwc", "channels_last"),
        tf32=tf32,
        compiled=row.compiled,
        torch_version=torch_version(row) if row.version else None,
    )


def task(row: Row) -> str:
    """ "train" or "infer"; raises NotPredictedError for anything else."""
    names = {"training": "train", "finetune": "train", "inference": "infer", "eval": "infer", "serve": "infer"}
    found = names.get(row.task, row.task)
    if found not in ("train", "infer"):
        raise NotPredictedError(f"task {row.task or 'not given'} is not known")
    return found


def batch(row: Row) -> int:
    """raises  NotPredictedError where none is given"""
    if row.batch is None or row.batch < 1:
        raise NotPredictedError("no batch is given")
    return round(row.batch)


def sequence(row: Row) -> float:
    """raises  NotPredictedError where none is given"""
    if not row.seq_len:
        raise NotPredictedError("no sequence length is given")
    return float(row.seq_len)


def image_shape(row: Row) -> tuple[int, ...] | None:
    """(C, H, W), or with depth or frames (C, T, H, W), of "3x224x224", "224x224" or "224"; None: not said."""
    sizes = [int(size) for size in re.findall(r"\d+", row.input_shape or "")]
    match len(sizes):
        case 1:
            return (3, sizes[0], sizes[0])
        case 2:
            return (3, *sizes)
        case 3 | 4:
            return tuple(sizes)
    return None


def elements(shape: tuple[int, ...]) -> int:
    return prod(shape)


def torch_version(row: Row) -> tuple[int, int]:
    """(major, minor) of torch, as far as the row says; of NVIDIA's containers by their date."""
    # "1.4 (A100: NGC 20.10)" stands in rows of every card: the container is the A100's alone.
    text = re.sub(r"\((\w+): [^)]*\)", lambda other: other[0] if other[1] in row.gpu else "", row.version or "")
    container = re.search(r"(?:NGC|nvcr\S*|Release) ?(\d\d)\.(\d\d)", f"{text} {row.framework}")
    if container:
        return _of_container(int(container[1]), int(container[2]))
    found = re.search(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (1, 13)


def _of_container(year: int, month: int) -> tuple[int, int]:
    """torch in NVIDIA's container of a month, from its release notes."""
    released = (
        (25, 1, (2, 6)), (24, 6, (2, 4)), (24, 1, (2, 2)), (23, 8, (2, 1)), (23, 2, (2, 0)), (22, 6, (1, 13)),
        (21, 11, (1, 11)), (21, 2, (1, 8)), (20, 8, (1, 7)), (20, 1, (1, 4)),
    )  # fmt: skip
    return next((torch for y, m, torch in released if (year, month) >= (y, m)), (1, 3))
