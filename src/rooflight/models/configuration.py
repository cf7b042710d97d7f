"""Configurations of transformers models, by family, from the sizes in which the members differ."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What config.json says. The architecture is the class that the published weights belong to."""

    kind: str  # transformers' model_type
    architecture: str
    fields: Mapping[str, Any]
    parameters: int | None = None  # of the architecture, tied weights once


def bert(hidden: int, layers: int, heads: int, parameters: int | None = None, **more: Any) -> Configuration:
    fields = encoder(hidden, layers, heads) | {"vocab_size": 30522} | more
    return Configuration(kind="bert", architecture="BertForMaskedLM", fields=fields, parameters=parameters)


def roberta(
    hidden: int, layers: int, heads: int, parameters: int | None = None, *, kind: str = "roberta", vocab: int = 50265
) -> Configuration:
    more = {"vocab_size": vocab, "max_position_embeddings": 514, "type_vocab_size": 1, "layer_norm_eps": 1e-5}
    name = {"roberta": "RobertaForMaskedLM", "xlm-roberta": "XLMRobertaForMaskedLM"}[kind]
    fields = encoder(hidden, layers, heads) | more
    return Configuration(kind=kind, architecture=name, fields=fields, parameters=parameters)


def encoder(hidden: int, layers: int, heads: int) -> dict[str, Any]:
    return {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": 4 * hidden,
    }


def gpt2(embed: int, layers: int, heads: int, parameters: int | None = None) -> Configuration:
    fields = {"n_embd": embed, "n_layer": layers, "n_head": heads, "n_positions": 1024, "vocab_size": 50257}
    return Configuration(kind="gpt2", architecture="GPT2LMHeadModel", fields=fields, parameters=parameters)


def opt(hidden: int, layers: int, heads: int, parameters: int | None = None, **more: Any) -> Configuration:
    fields = {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "ffn_dim": 4 * hidden,
        "vocab_size": 50272,
        "max_position_embeddings": 2048,
        "word_embed_proj_dim": hidden,
    }
    return Configuration(kind="opt", architecture="OPTForCausalLM", fields=fields | more, parameters=parameters)


def neox(hidden: int, layers: int, heads: int, vocab: int = 50304, parameters: int | None = None) -> Configuration:
    fields = encoder(hidden, layers, heads) | {"vocab_size": vocab, "max_position_embeddings": 2048}
    return Configuration(
        kind="gpt_neox", architecture="GPTNeoXForCausalLM", fields=fields | {"rotary_pct": 0.25}, parameters=parameters
    )


def bloom(hidden: int, layers: int, heads: int, parameters: int | None = None) -> Configuration:
    fields = {"hidden_size": hidden, "n_layer": layers, "n_head": heads, "vocab_size": 250880}
    return Configuration(kind="bloom", architecture="BloomForCausalLM", fields=fields, parameters=parameters)


def llama(
    hidden: int,
    inner: int,
    layers: int,
    heads: int,
    groups: int,
    vocab: int,
    *,
    kind: str = "llama",
    architecture: str = "LlamaForCausalLM",
    parameters: int | None = None,
    positions: int = 4096,
    **more: Any,
) -> Configuration:
    """The family of Llama: gated MLP, rotary positions, RMS norm, `groups` heads of keys and values."""
    fields = {
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": groups,
        "vocab_size": vocab,
        "max_position_embeddings": positions,
        "tie_word_embeddings": False,
    }
    return Configuration(kind=kind, architecture=architecture, fields=fields | more, parameters=parameters)


def _named(kind: str, architecture: str, **usual: Any) -> Callable[..., Configuration]:
    """Llama's family under another name, with what is usual there."""

    def build(*sizes: int, **changes: Any) -> Configuration:
        return llama(*sizes, **({"kind": kind, "architecture": architecture} | usual | changes))

    return build


mistral = _named("mistral", "MistralForCausalLM", positions=32768, sliding_window=4096)
qwen2 = _named("qwen2", "Qwen2ForCausalLM", positions=32768)
qwen3 = _named("qwen3", "Qwen3ForCausalLM", positions=40960, head_dim=128)


def qwen3_moe(hidden: int, expert: int, layers: int, heads: int, groups: int, vocab: int, **more: Any) -> Configuration:
    """Qwen 3 with 128 experts in every layer, of which each token takes 8; `expert` is the width inside one."""
    experts: dict[str, Any] = {
        "num_experts": 128,
        "num_experts_per_tok": 8,
        "moe_intermediate_size": expert,
        "norm_topk_prob": True,
    }
    name = "Qwen3MoeForCausalLM"
    fields = experts | {"head_dim": 128} | more
    kinds: dict[str, Any] = {"kind": "qwen3_moe", "architecture": name, "positions": 40960}
    return llama(hidden, 3 * hidden, layers, heads, groups, vocab, **kinds, **fields)


def gpt_oss(layers: int, experts: int, parameters: int | None = None) -> Configuration:
    """Each token takes 4 of the experts; every second layer looks back 128 tokens alone, as its type has it."""
    more: dict[str, Any] = {"num_local_experts": experts, "num_experts_per_tok": 4, "head_dim": 64, "positions": 131072}
    kinds: dict[str, Any] = {"kind": "gpt_oss", "architecture": "GptOssForCausalLM", "parameters": parameters}
    return llama(2880, 2880, layers, 64, 8, 201088, **kinds, **more)


def gemma(*sizes: int, head_dim: int = 256, kind: str = "gemma", parameters: int | None = None) -> Configuration:
    name = {"gemma": "GemmaForCausalLM", "gemma2": "Gemma2ForCausalLM"}[kind]
    more = {"positions": 8192, "head_dim": head_dim, "tie_word_embeddings": True}
    return llama(*sizes, kind=kind, architecture=name, parameters=parameters, **more)


def t5(model: int, inner: int, layers: int, heads: int, parameters: int | None = None, **more: Any) -> Configuration:
    fields = {"d_model": model, "d_ff": inner, "num_layers": layers, "num_decoder_layers": layers, "num_heads": heads}
    fields |= {"d_kv": 64, "vocab_size": 32128, "decoder_start_token_id": 0} | more
    return Configuration(kind="t5", architecture="T5ForConditionalGeneration", fields=fields, parameters=parameters)


def bart(model: int, layers: int, heads: int, parameters: int | None = None) -> Configuration:
    sizes = {
        f"{side}_{what}": n
        for side in ("encoder", "decoder")
        for what, n in (("layers", layers), ("attention_heads", heads), ("ffn_dim", 4 * model))
    }
    fields = sizes | {"d_model": model, "vocab_size": 50265, "max_position_embeddings": 1024}
    return Configuration(kind="bart", architecture="BartForConditionalGeneration", fields=fields, parameters=parameters)


def vit(hidden: int, layers: int, heads: int, patch: int = 16, parameters: int | None = None) -> Configuration:
    fields = encoder(hidden, layers, heads) | {"patch_size": patch, "image_size": 224, "num_labels": 1000}
    return Configuration(kind="vit", architecture="ViTForImageClassification", fields=fields, parameters=parameters)


def clip(width: int, layers: int, heads: int, patch: int, text: int, text_heads: int, joint: int) -> Configuration:
    vision = encoder(width, layers, heads) | {"patch_size": patch, "image_size": 224, "projection_dim": joint}
    words = encoder(text, 12, text_heads) | {
        "vocab_size": 49408,
        "max_position_embeddings": 77,
        "projection_dim": joint,
    }
    fields = {"vision_config": vision, "text_config": words, "projection_dim": joint}
    return Configuration(kind="clip", architecture="CLIPModel", fields=fields)


def whisper(model: int, layers: int, heads: int, parameters: int, bins: int = 80, vocab: int = 51865) -> Configuration:
    sides = ("encoder", "decoder")
    fields = {f"{side}_layers": layers for side in sides} | {f"{side}_attention_heads": heads for side in sides}
    fields |= {f"{side}_ffn_dim": 4 * model for side in sides} | {"d_model": model, "num_mel_bins": bins}
    return Configuration(
        kind="whisper",
        architecture="WhisperForConditionalGeneration",
        fields=fields | {"vocab_size": vocab},
        parameters=parameters,
    )


def mamba(hidden: int, layers: int) -> Configuration:
    fields = {"hidden_size": hidden, "num_hidden_layers": layers, "vocab_size": 50280, "state_size": 16}
    return Configuration(kind="mamba", architecture="MambaForCausalLM", fields=fields)
