"""detectron2's model zoo: steps on two images per GPU, and one image at inference."""

import re
from dataclasses import replace

from benchmarks.accuracy.cases import Case, NotPredictedError
from benchmarks.accuracy.reading import batch, image_recipe, setting
from benchmarks.accuracy.rows import Row

KINDS = ("cascade", "panoptic", "keypoint", "retina", "mask", "faster", "fast", "rpn")
SHAPE = (3, 800, 1216)  # the shorter side is 800, the longer at most 1,333; most photographs of COCO are 4:3 or 3:2


def detectron2(row: Row) -> Case:
    """SGD in float32 and DistributedDataParallel; at inference all that follows the network is timed too."""
    recipe = image_recipe(row, f"rcnn:{variant_name(row.model)}", optimizer="sgd-momentum", shape=SHAPE)
    return Case(
        row=row,
        recipe=replace(recipe, dtype="float32", fused_attention=True),
        batch=batch(row),
        setting=setting(row, tf32="none"),
        parallel="processes" if row.gpus > 1 else None,
    )


def variant_name(name: str) -> str:
    """ "COCO-Detection/faster_rcnn_X_101_32x8d_FPN_3x" → "faster-rcnn-x101", as zoo/rcnn.py reads it.

    raises  NotPredictedError for what is none of the family
    """
    where = name.lower()
    kind = next((kind for kind in KINDS if kind in where.rpartition("/")[2]), None)
    if kind is None:
        raise NotPredictedError(f"no builder for {name}")
    words = [
        "x101" if re.search(r"x_?101|resnext101", where) else "101" if re.search(r"r_?101|resnet101", where) else ""
    ]
    words += [word for word in ("c4", "dc5", "gn", "dconv", "lvis") if re.search(rf"(_|\b|-){word}", where)]
    words += ["bn"] if "syncbn" in where else []
    base = {"rpn": "rpn", "panoptic": "panoptic", "retina": "retina", "fast": "faster-rcnn"}.get(kind, f"{kind}-rcnn")
    return "-".join([base, *filter(None, words)])
