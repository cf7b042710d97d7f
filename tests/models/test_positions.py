"""Texts longer than a model of transformers has positions for."""

from pathlib import Path

import pytest

from rooflight.core.errors import ConfigError
from rooflight.core.plans import Plan, PlanConfig
from rooflight.flows.plan import plan
from rooflight.models.resolve import resolve

LLAMA = (
    '{"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 32, "intermediate_size": 64, '
    '"num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 100, "max_position_embeddings": 64}'
)


@pytest.mark.parametrize(
    ("name", "positions"),
    [("gpt2", 1024), ("bert-base-uncased", 512), ("roberta-base", 512), ("facebook/opt-125m", 2048)],
)
def test_a_learned_table_of_positions_is_an_end(name: str, positions: int) -> None:
    pytest.importorskip("transformers")
    resolve(f"hf:{name}", (positions,)).build()
    with pytest.raises(ConfigError, match=f"learnt {positions:,} positions.*Try --seq-len {positions}"):
        resolve(f"hf:{name}", (positions + 1,)).build()


def test_rotated_positions_go_on_and_it_is_said(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    (tmp_path / "config.json").write_text(LLAMA)
    for tokens, said in ((64, False), (65, True)):
        config = PlanConfig(model=f"hf:{tmp_path}", seq_len=tokens, batch=2, gpu=("T4",), dtype="float16")
        answer = plan(config).answer
        assert isinstance(answer, Plan)
        assert any("more than the 64 that the configuration" in words for words in answer.assumptions) == said
