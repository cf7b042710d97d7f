"""Language models that transformers has no class for, or one that does other work than the model: as another's sizes.

source  config.json of each; Qwen, arXiv 2309.16609; Meta, Llama 4 (config.json: 48 layers of 5120, every second one
        with a shared expert and one of 128 or 16, 8192 wide; the others 16384)
"""

from collections.abc import Mapping

from rooflight.models.configuration import Configuration, llama


def _qwen(hidden: int, inner: int, layers: int, heads: int, vocab: int = 152064) -> Configuration:
    """Qwen's first generation: a Llama whose queries, keys and values have a bias, as Qwen 2 has it."""
    return llama(
        hidden, inner, layers, heads, heads, vocab, kind="qwen2", architecture="Qwen2ForCausalLM", positions=32768
    )


def _llama4(experts: int, every: int) -> Configuration:
    """transformers multiplies every expert with every token; a mixture with a shared expert does the model's work."""
    return llama(
        5120, 16384, 48, 40, 8, 202048,
        kind="qwen2_moe", architecture="Qwen2MoeForCausalLM", positions=131072, num_experts=experts,
        num_experts_per_tok=1, moe_intermediate_size=8192, shared_expert_intermediate_size=8192,
        decoder_sparse_step=every,
    )  # fmt: skip


STAND_INS: Mapping[str, Configuration] = {
    "Qwen/Qwen-1.8B": _qwen(2048, 5504, 24, 16, 151936),
    "Qwen/Qwen-7B": _qwen(4096, 11008, 32, 32, 151936),
    "Qwen/Qwen-14B": _qwen(5120, 13696, 40, 40),
    "Qwen/Qwen-72B": _qwen(8192, 24576, 80, 64),
    "meta-llama/Llama-4-Scout-17B-16E": _llama4(16, 1),
    "meta-llama/Llama-4-Maverick-17B-128E": _llama4(128, 2),
}
