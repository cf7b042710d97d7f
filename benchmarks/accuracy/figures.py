"""The figures that are fitted: what is known of each beforehand, and what it means."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure to fit: what it is known to be about, how far it may stray (a factor), and what it means."""

    about: float
    within: float
    meaning: str


FIGURES: Mapping[str, Figure] = {
    "matrix": Figure(
        about=0.93, within=1.06, meaning="share of the matrix engines' dense peak that long products reach"
    ),
    "vector": Figure(about=0.88, within=1.1, meaning="the same of the ordinary lanes"),
    "narrow": Figure(about=0.85, within=1.1, meaning="what float8 and float4 reach of that"),
    "matrix_early": Figure(about=0.85, within=1.2, meaning="what Tensor Cores before Ampere reach of that"),
    "shared_lanes": Figure(
        about=0.8, within=1.15, meaning="what is left of float32 lanes, half of which do the integers too"
    ),
    "convolution": Figure(about=0.9, within=1.2, meaning="what a convolution reaches of that"),
    "input_gradient": Figure(about=0.85, within=1.3, meaning="its input's gradient against it, on matrix engines"),
    "weight_gradient": Figure(about=0.75, within=1.3, meaning="its weight's gradient against it, on matrix engines"),
    "lanes_input_gradient": Figure(about=0.9, within=1.2, meaning="its input's gradient against it, on the lanes"),
    "lanes_weight_gradient": Figure(about=0.75, within=1.3, meaning="its weight's gradient against it, on the lanes"),
    "backward_old": Figure(
        about=0.85, within=1.2, meaning="gradients on matrix engines with the cuDNN of torch before 1.8"
    ),
    "grouped": Figure(about=0.7, within=1.5, meaning="a grouped convolution against one without groups"),
    "grouped_last": Figure(
        about=0.9, within=1.4, meaning="a grouped convolution in channels last against the plain layout"
    ),
    "attention": Figure(about=0.6, within=1.3, meaning="what fused attention reaches of that"),
    "attention_backward": Figure(about=0.75, within=1.3, meaning="the gradients of fused attention against it"),
    "misaligned": Figure(
        about=0.8, within=1.2, meaning="what each halving of the 16 bytes loaded at once leaves of a product"
    ),
    "widened": Figure(about=0.9, within=1.2, meaning="what is left where float16 is widened to float32 on the way in"),
    "recurrent": Figure(about=0.5, within=1.5, meaning="what a recurrent layer's products reach of that"),
    "depthwise": Figure(about=0.25, within=2.0, meaning="share of the lanes' peak in a depthwise convolution"),
    "depthwise_backward": Figure(about=0.12, within=2.0, meaning="the same for its gradients"),
    "depthwise_last": Figure(
        about=0.9, within=1.3, meaning="a depthwise one in channels last against the plain layout"
    ),
    "fill": Figure(about=32.0, within=2.0, meaning="multiply-adds per element that starting and ending a tile cost"),
    "l2": Figure(about=0.42, within=1.2, meaning="share of L2's rate (64 bytes per unit and clock)"),
    "memory_elementwise": Figure(about=0.9, within=1.06, meaning="share of the memory's rate: elementwise operators"),
    "memory_normalization": Figure(about=0.85, within=1.15, meaning="norms"),
    "memory_reduction": Figure(about=0.75, within=1.3, meaning="reductions, softmax"),
    "memory_pool": Figure(about=0.6, within=1.4, meaning="pooling"),
    "memory_copy": Figure(about=0.8, within=1.2, meaning="copies"),
    "memory_cat": Figure(about=0.6, within=1.4, meaning="concatenations"),
    "memory_product": Figure(about=0.85, within=1.1, meaning="products"),
    "memory_depthwise": Figure(about=0.6, within=1.4, meaning="depthwise convolutions"),
    "amd_memory": Figure(about=0.88, within=1.1, meaning="what AMD's cards reach of these"),
    "overlap": Figure(
        about=3.0, within=1.3, meaning="exponent that joins arithmetic and memory: 1 adds, infinity overlaps"
    ),
    "turned": Figure(
        about=0.7, within=1.5, meaning="how much of a convolution's tensors is turned to channels last and back"
    ),
    "turned_old": Figure(
        about=1.15, within=1.2, meaning="the same with the cuDNN of torch before 1.13, against later ones"
    ),
    "kernel_seconds": Figure(about=2.0e-6, within=1.4, meaning="start and end of a kernel on the GPU"),
    "geforce_clock": Figure(
        about=1.08, within=1.03, meaning="clock under load over the published one: GeForce and TITAN"
    ),
    "winograd": Figure(
        about=1.8, within=1.2, meaning="what 3 × 3 convolutions gain by Winograd's algorithm on the lanes"
    ),
    "amd": Figure(about=0.75, within=1.2, meaning="what AMD's libraries reach of what NVIDIA's do"),
    "amd_reference": Figure(
        about=0.2, within=2.0, meaning="what MIOpen's reference kernels (RDNA 1, float16) reach of that"
    ),
    "amd_reference_backward": Figure(about=0.5, within=2.0, meaning="the same for gradients, against it"),
    "issue_module": Figure(about=40e-6, within=1.5, meaning="host: seconds per operator with weights, forward"),
    "issue_function": Figure(about=15e-6, within=1.5, meaning="host: seconds per other operator, forward"),
    "issue_grad": Figure(about=1.5, within=1.4, meaning="host: forward with gradients over forward without"),
    "issue_backward": Figure(about=1.5, within=1.5, meaning="host: backward over forward without gradients"),
    "issue_waiting": Figure(
        about=1e-3, within=2.0, meaning="host: seconds to begin and end a pass in a loop that waits for every step"
    ),
    "host_copy": Figure(about=4e9, within=2.0, meaning="bytes per second of a batch from ordinary host memory"),
}

# No row of the calibration runs these: they stay what is known of them.
FIXED: Mapping[str, Figure] = {
    "issue_pass": Figure(
        about=2e-4, within=1.0, meaning="host: seconds to begin and end a pass in a loop that does not wait"
    ),
    "issue_compiled": Figure(about=5e-6, within=1.0, meaning="host: seconds per kernel of a compiled step"),
}
