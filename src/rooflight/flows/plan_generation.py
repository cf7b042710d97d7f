"""A language model's prefill and decode in tokens: what a server that batches continuously could give at most."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rooflight.core.types import Workload
from rooflight.core.units import show_rate, show_seconds

if TYPE_CHECKING:
    from rooflight.estimate.sweep import Swept


def tokens_per_second(work: Workload, samples_per_second: float) -> float:
    """A decode step gives a token to each stream, a prefill reads the whole prompt of each; other samples stay such."""
    return samples_per_second * (work.input_shape[0] if work.generation == "prefill" else 1)


def generation_lines(work: Workload, swept: Swept) -> list[str]:
    """Sentences on one GPU's generation; none where nothing is generated.

    A server keeps the streams of a decode step full (continuous batching) and captures it in a CUDA graph, which takes
    the host out: then the GPU's own time is left, and what its ranks tell each other.
    """
    if work.generation is None:
        return []
    found, name = swept.estimate, swept.spec.name
    rate = tokens_per_second(work, found.samples_per_second)
    if work.generation == "prefill":
        return [
            f"{name}: {show_rate(rate, 'tokens')} of prompts; the first token after {show_seconds(found.step_seconds)}."
        ]
    share = work.parallel.micro_batches / work.parallel.pipeline
    waits = sum(swept.shared.waiting.values()) if swept.shared else 0.0
    graph = min(found.step_seconds, share * swept.step.gpu_seconds + waits)
    faster = show_rate(rate * found.step_seconds / graph, "tokens")
    return [
        f"{name}: {show_rate(rate, 'tokens')} over {work.batch} streams, a token of each every "
        f"{show_seconds(found.step_seconds)}; captured in a CUDA graph, as servers run it, {faster}, every "
        f"{show_seconds(graph)}."
    ]
