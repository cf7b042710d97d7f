"""`bench frameworks`, `bench mlperf` and `bench links` as a person types them."""

import pytest

from rooflight.cli.main import run


def test_help_names_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("frameworks", "mlperf", "links"))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["frameworks", "--model", "cnn", "cnm"], "no model 'cnm'. Did you mean 'cnn'"),
        (["frameworks", "--model", "cnn,lstn"], "no model 'lstn'. Did you mean 'lstm'"),
        (["frameworks", "--frameworks", "keras"], "no framework 'keras'. Did you mean 'keras-"),
        (["frameworks", "--dtype", "int8"], "int8"),
        (["frameworks", "--seconds", "0"], "--seconds 0"),
        (["mlperf", "cmn"], "no model 'cmn'. Did you mean 'cnn'"),
        (["mlperf", "--scenario", "Offline", "Servr"], "no scenario 'Servr'. Did you mean 'Server'"),
        (["mlperf", "lstm", "--runtime", "onnx"], "takes token ids"),
        (["mlperf", "--target-latency-ms", "0"], "--target-latency-ms 0"),
        (["links", "--gpus", "1"], "--gpus 1"),
        (["links", "--sizes", "1KiB,big"], "--sizes big"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_a_mistake_is_one_sentence_and_exit_2(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["bench", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    last = captured.err.strip().splitlines()[-1]
    assert last.startswith("rooflight: ")
    assert sentence in last
