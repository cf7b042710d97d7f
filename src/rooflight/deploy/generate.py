"""Text from a recurrent model, token by token, many streams at once.

The state is carried: a token costs one step, however long the text is, and the whole text since the prompt is read.
A model trained on windows of 20 tokens saw only states that are at most 20 steps old, so this is not the same function
as reading the last 20 tokens anew for each one; it is the same as reading the whole text anew.
"""

import importlib.util
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

RESERVED = 2  # token ids of padding and of unknown words: never written

Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """A recurrent model made ready for one token at a time. G is 4·H of an LSTM, 3·H of a GRU; float32."""

    cell: Literal["lstm", "gru"]
    table: Tensor  # (V, G): what each token adds to the first layer's gates: embedding × input weights + bias
    inputs: Tensor  # (layers − 1, H, G): of the layers above the first
    input_bias: Tensor  # (layers − 1, G)
    states: Tensor  # (layers, H, G)
    state_bias: Tensor  # (layers, G)
    head: Tensor  # (H, V)
    head_bias: Tensor  # (V,); −∞ for the reserved tokens

    @property
    def layers(self) -> int:
        """How many."""
        return len(self.states)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What was generated."""

    ids: Ids  # (streams, tokens)
    seconds: float  # from the prompt's first token to the last one's
    how: str


def fold(state: Mapping[str, Tensor], *, cell: Literal["lstm", "gru"], layers: int, device: torch.device) -> Folded:
    """Of the state dict of an `Lstm`: the product of embedding and input weights is made once, for all tokens."""
    state = {name: value.detach().to(device, torch.float32) for name, value in state.items()}

    def weights(name: str, first: int) -> list[Tensor]:
        return [state[f"recurrent.{name}_l{layer}"] for layer in range(first, layers)]

    states = torch.stack([weight.t() for weight in weights("weight_hh", 0)]).contiguous()
    none = states.new_empty(0, *states.shape[1:])
    head_bias = state["head.bias"].clone()
    head_bias[:RESERVED] = -torch.inf
    return Folded(
        cell=cell,
        table=state["embedding.weight"] @ weights("weight_ih", 0)[0].t() + weights("bias_ih", 0)[0],
        inputs=torch.stack([weight.t() for weight in weights("weight_ih", 1)]).contiguous() if layers > 1 else none,
        input_bias=torch.stack(weights("bias_ih", 1)) if layers > 1 else none[:, 0],
        states=states,
        state_bias=torch.stack(weights("bias_hh", 0)),
        head=state["head.weight"].t().contiguous(),
        head_bias=head_bias,
    )


def generate(
    model: Folded, prompt: Sequence[int], *, tokens: int, temperature: float, streams: int, seed: int
) -> Written:
    """`streams` texts after the prompt, each of its own random numbers: none depends on how many others there are.

    prompt       token ids, at least one
    temperature  of the softmax; 0: always the most probable token
    """
    draws = np.stack([_uniform(seed, stream, tokens) for stream in range(streams)])
    compiled = model.table.device.type == "cpu" and importlib.util.find_spec("numba") is not None
    if compiled:
        _compiled(model, prompt[:1], draws[:1, :1], temperature)  # compiling, or reading it from disk, is not timed
    begin = time.perf_counter()
    if model.table.device.type == "cpu":
        if compiled:
            ids, how = _compiled(model, prompt, draws, temperature)
        else:
            ids = _plain(model, prompt, draws, temperature)
            how = "by PyTorch: numba is not installed; try: pip install 'rooflight[augment]' for a faster way"
    else:
        ids, how = _plain(model, prompt, draws, temperature), f"by PyTorch on {model.table.device}"
    return Written(ids=ids, seconds=time.perf_counter() - begin, how=how)


def _uniform(seed: int, stream: int, count: int) -> NDArray[np.float64]:
    """Numbers in [0, 1) of a stream: Philox words, which NumPy keeps the same between versions."""
    words = np.random.Philox(key=np.array([seed, stream], np.uint64)).random_raw(count)
    found: NDArray[np.float64] = (words >> np.uint64(11)) * np.float64(2.0**-53)
    return found


def _compiled(model: Folded, prompt: Sequence[int], draws: NDArray[np.float64], temperature: float) -> tuple[Ids, str]:
    """Every core writes some of the streams from beginning to end; nobody waits for anybody."""
    from rooflight.deploy.generate_kernels import write_streams

    tensors = (model.table, model.inputs, model.input_bias, model.states, model.state_bias, model.head, model.head_bias)
    arrays = [tensor.numpy() for tensor in tensors]
    ids = np.empty(draws.shape, np.int64)
    given = np.array(prompt, np.int64)
    inverse = 0.0 if temperature == 0 else 1.0 / temperature
    parts = np.array_split(np.arange(len(draws)), min(torch.get_num_threads(), len(draws)))

    def write(part: NDArray[np.int64]) -> None:
        mine = slice(part[0], part[-1] + 1)
        write_streams(model.cell == "lstm", *arrays, given, draws[mine], np.float32(inverse), ids[mine])

    if len(parts) == 1:
        write(parts[0])
    else:
        with ThreadPoolExecutor(len(parts)) as pool:
            list(pool.map(write, parts))
    return ids, f"by numba on {len(parts)} core{'s' if len(parts) > 1 else ''}"


@torch.inference_mode()
def _plain(model: Folded, prompt: Sequence[int], draws: NDArray[np.float64], temperature: float) -> Ids:
    """All streams a step at a time, by PyTorch's operators."""
    device, streams = model.table.device, len(draws)
    uniform = torch.from_numpy(draws.T.copy()).to(device)
    state = torch.zeros(model.layers, streams, model.head.shape[0], device=device)
    cells = state.clone()
    token = torch.empty(streams, dtype=torch.int64, device=device)
    for given in prompt:
        top = _step(model, token.fill_(given), state, cells)
    ids = torch.empty(draws.shape[1], streams, dtype=torch.int64, device=device)
    for place, draw in enumerate(uniform):
        scores = torch.addmm(model.head_bias, top, model.head)
        token = choose(scores, draw, temperature)
        ids[place] = token
        top = _step(model, token, state, cells)
    return ids.t().cpu().numpy()


def choose(scores: Tensor, draw: Tensor, temperature: float) -> Tensor:
    """The first token at which the running sum of probabilities exceeds the draw.

    scores  (streams, V); draw: (streams,), in [0, 1)
    """
    if temperature == 0:
        return scores.argmax(1)
    sums = ((scores - scores.amax(1, keepdim=True)) / temperature).exp().double().cumsum(1)
    return (sums <= draw[:, None] * sums[:, -1:]).sum(1).clamp(max=scores.shape[1] - 1)


def _step(model: Folded, token: Tensor, state: Tensor, cells: Tensor) -> Tensor:
    """Read one token in every stream: state and cells (layers, streams, H) are written; returns the top one's state."""
    share = model.table[token]
    for layer in range(model.layers):
        product = torch.addmm(model.state_bias[layer], state[layer], model.states[layer])
        if model.cell == "lstm":
            i, f, g, o = (share + product).chunk(4, 1)
            cells[layer] = f.sigmoid() * cells[layer] + i.sigmoid() * g.tanh()
            state[layer] = o.sigmoid() * cells[layer].tanh()
        else:
            (r, z, n), (product_r, product_z, product_n) = share.chunk(3, 1), product.chunk(3, 1)
            fresh = (n + (r + product_r).sigmoid() * product_n).tanh()
            kept = (z + product_z).sigmoid()
            state[layer] = fresh + kept * (state[layer] - fresh)
        if layer + 1 < model.layers:
            share = torch.addmm(model.input_bias[layer], state[layer], model.inputs[layer])
    return state[-1]
