"""Random networks: the same ones every time, each of them runs, and no two are alike."""

import torch

from rooflight.bench.specimens import specimen_step, specimens


def test_a_seed_draws_the_same_networks() -> None:
    first, again = (list(specimens(10)) for _ in range(2))
    assert [each.name for each in first] == [each.name for each in again]
    assert len({each.name for each in first}) == 10
    assert [each.name for each in specimens(10, seed=1)] != [each.name for each in first]


def test_a_scale_multiplies_the_batch() -> None:
    for one, four in zip(specimens(10), specimens(10, scale=4), strict=True):
        assert len(four.batch) >= len(one.batch)
    assert sum(len(each.batch) for each in specimens(10, scale=4)) > 2 * sum(len(each.batch) for each in specimens(10))


def test_a_training_step_trains_and_marks_its_phases() -> None:
    (specimen,) = list(specimens(1))
    before = [parameter.clone() for parameter in specimen.model.parameters()]
    phases: list[str] = []
    specimen_step(specimen, "train", torch.float32, torch.device("cpu"))(phases.append)
    assert phases == ["forward", "backward", "optimizer"]
    assert any(not torch.equal(old, new) for old, new in zip(before, specimen.model.parameters(), strict=True))
    specimen_step(specimen, "infer", torch.bfloat16, torch.device("cpu"))(phases.append)
    assert phases[3:] == ["forward"]
    assert all(parameter.grad is None for parameter in specimen.model.parameters())
