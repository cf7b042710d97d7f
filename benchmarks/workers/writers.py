"""One way to write text with the tutorial's LSTM, token by token, always the most probable one.

    python writers.py VARIANT WEIGHTS.npz STREAMS TOKENS THREADS

Prints one line of JSON: tokens/s of all streams together, and what was written. WEIGHTS.npz holds PyTorch's weights by
name and the prompt's token ids. The state is carried from token to token, unless the variant's name ends in -whole
(the whole text is read anew for each token: the same function) or -window (the last 20 tokens are: the tutorial's own
loop, and another function).
"""

import json
import os
import sys
import time
from collections.abc import Callable

import numpy as np

VARIANT, FILE = sys.argv[1:3]
STREAMS, TOKENS, THREADS = map(int, sys.argv[3:])
WINDOW = 20
WEIGHTS = dict(np.load(FILE, allow_pickle=False))
PROMPT: list[int] = WEIGHTS.pop("prompt").tolist()
Step = Callable[[np.ndarray, object], tuple[np.ndarray, object]]  # ids (S, T), state → scores (S, V), state


def carried(step: Step, start: Callable[[], object], tokens: int) -> np.ndarray:
    """ids (S, tokens), each token read once."""
    state = start()
    for given in PROMPT:
        scores, state = step(np.full((STREAMS, 1), given), state)
    written = []
    for _ in range(tokens):
        written.append(scores.argmax(1))
        scores, state = step(written[-1][:, None], state)
    return np.stack(written, axis=1)


def anew(step: Step, tokens: int, last: int | None) -> np.ndarray:
    """ids (S, tokens), with the whole text, or its last tokens, read for each."""
    text = np.tile(np.array(PROMPT), (STREAMS, 1))
    for _ in range(tokens):
        scores, _ = step(text if last is None else text[:, -last:], None)
        text = np.concatenate((text, scores.argmax(1)[:, None]), axis=1)
    return text[:, len(PROMPT) :]


def rooflight(temperature: float) -> Callable[[int], np.ndarray]:
    import torch

    from rooflight.deploy.generate import fold, generate

    torch.set_num_threads(THREADS)
    state = {name: torch.from_numpy(value) for name, value in WEIGHTS.items()}
    model = fold(state, cell="lstm", layers=1, device=torch.device("cpu"))

    def write(tokens: int) -> np.ndarray:
        return generate(model, PROMPT, tokens=tokens, temperature=temperature, streams=STREAMS, seed=0).ids

    return write


def pytorch(how: str) -> Callable[[int], np.ndarray]:
    import torch

    from rooflight.bench.torch_worker import TextModel

    torch.set_num_threads(THREADS)
    model = TextModel().eval()
    model.load_state_dict(
        {name.replace("recurrent.", "lstm.").replace("head.", "dense."): torch.from_numpy(value)
         for name, value in WEIGHTS.items()}
    )  # fmt: skip

    @torch.inference_mode()
    def step(ids: np.ndarray, state: object) -> tuple[np.ndarray, object]:
        states, state = model.lstm(model.embedding(torch.from_numpy(ids)), state)
        return model.dense(states[:, -1]).numpy(), state

    if how == "carried":
        return lambda tokens: carried(step, lambda: None, tokens)
    return lambda tokens: anew(step, tokens, WINDOW if how == "window" else None)


def keras_model(backend: str, call: str) -> Callable[[int], np.ndarray]:
    os.environ.update(KERAS_BACKEND=backend, TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="")
    import keras

    if backend == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    elif backend == "torch":
        import torch

        torch.set_num_threads(THREADS)
    layers, units = keras.layers, WEIGHTS["head.weight"].shape[1]
    words = keras.Input((WINDOW if call == "window" else 1,), dtype="int32")
    states = [keras.Input((units,)), keras.Input((units,))]
    embedding, lstm = layers.Embedding(*WEIGHTS["embedding.weight"].shape), layers.LSTM(units, return_state=True)
    dense = layers.Dense(len(WEIGHTS["head.bias"]))
    if call == "window":
        model = keras.Model(words, dense(lstm(embedding(words))[0]))
    else:
        out, h, c = lstm(embedding(words), initial_state=states)
        model = keras.Model([words, *states], [dense(out), h, c])
    embedding.set_weights([WEIGHTS["embedding.weight"]])
    bias = WEIGHTS["recurrent.bias_ih_l0"] + WEIGHTS["recurrent.bias_hh_l0"]
    lstm.set_weights([WEIGHTS["recurrent.weight_ih_l0"].T, WEIGHTS["recurrent.weight_hh_l0"].T, bias])
    dense.set_weights([WEIGHTS["head.weight"].T, WEIGHTS["head.bias"]])
    if call == "window":
        # As the tutorial pads: zeros in front of a text that is shorter than the window.
        def padded(ids: np.ndarray, _: object) -> tuple[np.ndarray, object]:
            full = np.concatenate((np.zeros((STREAMS, WINDOW), np.int32), ids.astype(np.int32)), axis=1)[:, -WINDOW:]
            return model.predict(full, verbose=0, batch_size=STREAMS), None

        return lambda tokens: anew(padded, tokens, WINDOW)
    asked = model
    if call == "function":
        import tensorflow as tf

        asked = tf.function(model)

    def step(ids: np.ndarray, state: object) -> tuple[np.ndarray, object]:
        given = [ids.astype(np.int32), *state]  # type: ignore[misc]
        if call == "predict":
            scores, *state = model.predict(given, verbose=0, batch_size=STREAMS)
        elif call == "batch":
            scores, *state = model.predict_on_batch(given)
        else:
            scores, *state = asked([keras.ops.convert_to_tensor(value) for value in given])
        return keras.ops.convert_to_numpy(scores), state

    return lambda tokens: carried(step, lambda: [np.zeros((STREAMS, units), np.float32)] * 2, tokens)


def main() -> None:
    """Write a little, to compile and to warm up; then write, timed."""
    kind, *rest = VARIANT.split("-")
    if kind == "rooflight":
        write = rooflight(0.8 if rest else 0.0)
    elif kind == "torch":
        write = pytorch(rest[0])
    else:
        write = keras_model(*rest)
    write(5)
    begin = time.perf_counter()
    written = write(TOKENS)
    seconds = time.perf_counter() - begin
    print(json.dumps({"tokens_per_second": STREAMS * TOKENS / seconds, "first": written[0].tolist()}), flush=True)


main()
