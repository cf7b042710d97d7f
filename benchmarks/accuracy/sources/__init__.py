"""What a step is, by source: one small function each, for those whose rows do not say it themselves."""

from collections.abc import Callable, Mapping

from benchmarks.accuracy.cases import Case
from benchmarks.accuracy.rows import Row
from benchmarks.accuracy.sources import detection, examples, finetuning, pretraining, products, serving, vision

SOURCES: Mapping[str, Callable[[Row], Case]] = {
    "huggingface/pytorch-image-models": vision.timm_benchmark,
    "ryujaehun/pytorch-gpu-benchmark": vision.data_parallel,
    "lamikr/pytorch-gpu-benchmark": vision.data_parallel,
    "u39kun/deep-learning-benchmark": vision.u39kun,
    "microsoft/Swin-Transformer": vision.swin,
    "facebookresearch/detectron2": detection.detectron2,
    "NVIDIA/DeepLearningExamples": examples.examples,
    "lambdal/deeplearning-benchmark": examples.examples,
    "sitar-lab/NeuSight": pretraining.neusight,
    "mosaicml/llm-foundry": pretraining.foundry,
    "pytorch/torchtitan": pretraining.torchtitan,
    "Lightning-AI/litgpt": finetuning.litgpt,
    "QwenLM/Qwen": finetuning.qwen,
    "QwenLM/Qwen2.5": serving.speed_table,
    "QwenLM/Qwen3": serving.speed_table,
    "pytorch/torchtune": finetuning.torchtune,
    "ml-energy/leaderboard": serving.ml_energy,
    "stas00/ml-engineering": products.matmul,
}
