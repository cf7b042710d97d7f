"""Denoisers of diffusion models, one step of the sampler: transformers over the patches of an image or a clip.

source  Black Forest Labs, FLUX.1 (transformer/config.json); Esser et al., arXiv 2403.03206 (Stable Diffusion 3); Chen
        et al., arXiv 2403.04692 (PixArt-Sigma); Li et al., arXiv 2405.08748 (Hunyuan-DiT); Wan, arXiv 2503.20314;
        Kong et al., arXiv 2412.03603 (HunyuanVideo); Yang et al., arXiv 2408.06072 (CogVideoX); the defaults of their
        pipelines in diffusers
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rooflight.core.types import Workload
from rooflight.trace.inputs import DTYPES


@dataclass(frozen=True, slots=True, kw_only=True)
class Denoising:
    """One denoiser.

    joint      blocks in which text and image have weights of their own and attend to each other
    dual       of the first of them, those in which the image attends to itself besides (MMDiT-X)
    single     blocks in which they share them, attention and feed-forward side by side
    shared     blocks in which text and image are one sequence with the same weights
    crossed    blocks in which the image attends to itself, then to the text
    patch      pixels of one token: frames (of the latents' first dimension), height and width
    shape      of one sample, (frames, height, width), where a row does not say: the pipeline's default
    guided     two samples for each image, with the prompt and without (classifier-free guidance)
    """

    width: int
    heads: int
    hidden: int
    text: int
    joint: int = 0
    dual: int = 0
    single: int = 0
    shared: int = 0
    crossed: int = 0
    patch: tuple[int, int, int] = (1, 16, 16)
    frames_per_latent: int = 1
    shape: tuple[int, int, int] = (1, 1024, 1024)
    guided: bool = True
    steps: int = 50

    def tokens(self, frames: int, height: int, width: int) -> int:
        """Patches of one sample. The first frame of a clip has a latent of its own."""
        latents = 1 + (frames - 1) // self.frames_per_latent
        return -(-latents // self.patch[0]) * (height // self.patch[1]) * (width // self.patch[2])


def _wan(layers: int, width: int, heads: int, hidden: int) -> Denoising:
    shape = (81, 480, 832)
    return Denoising(
        width=width, heads=heads, hidden=hidden, text=512, crossed=layers, frames_per_latent=4, shape=shape
    )


DENOISERS: Mapping[str, Denoising] = {
    "flux1dev": Denoising(width=3072, heads=24, hidden=12288, text=512, joint=19, single=38, guided=False),
    "flux1schnell": Denoising(width=3072, heads=24, hidden=12288, text=256, joint=19, single=38, guided=False, steps=4),
    "stablediffusion35large": Denoising(width=2432, heads=38, hidden=9728, text=333, joint=38, steps=28),
    "stablediffusion35medium": Denoising(width=1536, heads=24, hidden=6144, text=333, joint=24, dual=13, steps=28),
    "stablediffusion3medium": Denoising(width=1536, heads=24, hidden=6144, text=333, joint=24, steps=28),
    "pixartsigmaxl21024ms": Denoising(width=1152, heads=16, hidden=4608, text=300, crossed=28, steps=20),
    "pixartalphaxl21024ms": Denoising(width=1152, heads=16, hidden=4608, text=120, crossed=28, steps=20),
    "hunyuanditv12": Denoising(width=1408, heads=16, hidden=6144, text=333, crossed=40),
    "wan21t2v13b": _wan(30, 1536, 12, 8960),
    "wan21t2v14b": _wan(40, 5120, 40, 13824),
    "hunyuanvideo": Denoising(
        width=3072, heads=24, hidden=12288, text=256, joint=20, single=40, frames_per_latent=4,
        shape=(129, 720, 1280), guided=False,
    ),
    "cogvideox2b": Denoising(
        width=1920, heads=30, hidden=7680, text=226, shared=30, frames_per_latent=4, shape=(49, 480, 720)
    ),
    "cogvideox5b": Denoising(
        width=3072, heads=48, hidden=12288, text=226, shared=42, frames_per_latent=4, shape=(49, 480, 720)
    ),
    "cogvideox155b": Denoising(
        width=3072, heads=48, hidden=12288, text=224, shared=42, patch=(2, 16, 16), frames_per_latent=4,
        shape=(81, 768, 1360),
    ),
}  # fmt: skip


def latents(of: Denoising, workload: Workload) -> tuple[Tensor, Tensor]:
    """A batch of image tokens (N, T, D) and of text tokens (N, text, D). The input shape is (frames, height, width)."""
    dtype = DTYPES[workload.parameter_dtype]
    frames, height, width = workload.input_shape
    patches = torch.empty(workload.batch, of.tokens(frames, height, width), of.width, dtype=dtype)
    return patches, torch.empty(workload.batch, of.text, of.width, dtype=dtype)


class Denoiser(nn.Module):
    """(N, T, D), (N, text, D) → (N, T, D). Embeddings at either end are a thousandth of the work, and left out."""

    def __init__(self, of: Denoising) -> None:
        super().__init__()
        self.joint = nn.ModuleList(Joint(of, dual=number < of.dual) for number in range(of.joint))
        self.single = nn.ModuleList(Single(of) for _ in range(of.single))
        self.shared = nn.ModuleList(Shared(of) for _ in range(of.shared))
        self.crossed = nn.ModuleList(Crossed(of) for _ in range(of.crossed))

    def forward(self, image: Tensor, text: Tensor) -> Tensor:
        time = image[:, 0]
        for block in self.joint:
            image, text = block(image, text, time)
        both = torch.cat((text, image), dim=1) if self.single or self.shared else image
        for block in (*self.single, *self.shared):
            both = block(both, time)
        for block in self.crossed:
            both = block(both, text, time)
        return both


class Stream(nn.Module):
    """What one kind of token has of its own in a block: modulation by the time, projections, feed-forward."""

    def __init__(self, of: Denoising) -> None:
        super().__init__()
        self.heads = of.heads
        self.modulation = nn.Linear(of.width, 6 * of.width)
        self.norms = nn.ModuleList(nn.LayerNorm(of.width, elementwise_affine=False) for _ in range(2))
        self.qkv, self.out = nn.Linear(of.width, 3 * of.width), nn.Linear(of.width, of.width)
        self.of_heads = nn.ModuleList(nn.RMSNorm(of.width // of.heads) for _ in range(2))
        self.up, self.down = nn.Linear(of.width, of.hidden), nn.Linear(of.hidden, of.width)

    def parts(self, time: Tensor) -> tuple[Tensor, ...]:
        return F.silu(self.modulation(time)).unsqueeze(1).chunk(6, dim=-1)

    def heads_of(self, x: Tensor, shift: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, (N, heads, T, D / heads), rotated by their places."""
        x = self.norms[0](x) * (1 + scale) + shift
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2).contiguous() for part in self.qkv(x).chunk(3, dim=-1)
        )
        return _rotated(self.of_heads[0](q)), _rotated(self.of_heads[1](k)), v

    def after(self, x: Tensor, mixed: Tensor, gates: tuple[Tensor, ...]) -> Tensor:
        gate, shift, scale, last = gates
        x = x + gate * self.out(mixed)
        inner: Tensor = self.norms[1](x) * (1 + scale) + shift
        out: Tensor = x + last * self.down(F.gelu(self.up(inner), approximate="tanh"))
        return out


def _rotated(x: Tensor) -> Tensor:
    """Rotary positions; ones stand for sines and cosines, only the work counts."""
    table = torch.ones(x.shape[-2], x.shape[-1], dtype=x.dtype, device=x.device)
    low, high = x.chunk(2, dim=-1)
    return x * table + torch.cat((-high, low), dim=-1) * table


def _attended(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


class Joint(nn.Module):
    """Text and image, each with its weights, in one attention (MM-DiT)."""

    def __init__(self, of: Denoising, *, dual: bool) -> None:
        super().__init__()
        self.image, self.text = Stream(of), Stream(of)
        self.alone = Stream(of) if dual else None  # its feed-forward is not used

    def forward(self, image: Tensor, text: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        shift, scale, *gates = self.image.parts(time)
        text_shift, text_scale, *text_gates = self.text.parts(time)
        of_image = self.image.heads_of(image, shift, scale)
        of_text = self.text.heads_of(text, text_shift, text_scale)
        mixed = _attended(*(torch.cat(pair, dim=2) for pair in zip(of_text, of_image, strict=True)))
        words = text.shape[1]
        if self.alone is not None:
            image = image + self.alone.out(_attended(*self.alone.heads_of(image, shift, scale)))
        text = self.text.after(text, mixed[:, :words], tuple(text_gates))
        return self.image.after(image, mixed[:, words:], tuple(gates)), text


class Single(nn.Module):
    """Attention and feed-forward side by side, from one projection and into one."""

    def __init__(self, of: Denoising) -> None:
        super().__init__()
        self.of = of
        self.modulation = nn.Linear(of.width, 3 * of.width)
        self.norm = nn.LayerNorm(of.width, elementwise_affine=False)
        self.inner = nn.Linear(of.width, 3 * of.width + of.hidden)
        self.out = nn.Linear(of.width + of.hidden, of.width)
        self.of_heads = nn.ModuleList(nn.RMSNorm(of.width // of.heads) for _ in range(2))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        shift, scale, gate = F.silu(self.modulation(time)).unsqueeze(1).chunk(3, dim=-1)
        inner = self.inner(self.norm(x) * (1 + scale) + shift)
        qkv, hidden = inner.split((3 * self.of.width, self.of.hidden), dim=-1)
        q, k, v = (part.unflatten(-1, (self.of.heads, -1)).transpose(1, 2) for part in qkv.chunk(3, dim=-1))
        mixed = _attended(_rotated(self.of_heads[0](q)), _rotated(self.of_heads[1](k)), v)
        out: Tensor = x + gate * self.out(torch.cat((mixed, F.gelu(hidden, approximate="tanh")), dim=-1))
        return out


class Shared(nn.Module):
    """One sequence of text and image: attention, then feed-forward."""

    def __init__(self, of: Denoising) -> None:
        super().__init__()
        self.own = Stream(of)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        shift, scale, *gates = self.own.parts(time)
        return self.own.after(x, _attended(*self.own.heads_of(x, shift, scale)), tuple(gates))


class Crossed(nn.Module):
    """Attention among the patches, then to the text, then feed-forward."""

    def __init__(self, of: Denoising) -> None:
        super().__init__()
        self.own, self.heads = Stream(of), of.heads
        self.norm = nn.LayerNorm(of.width)
        self.query, self.key_value = nn.Linear(of.width, of.width), nn.Linear(of.width, 2 * of.width)
        self.out = nn.Linear(of.width, of.width)

    def forward(self, x: Tensor, text: Tensor, time: Tensor) -> Tensor:
        shift, scale, gate, *rest = self.own.parts(time)
        x = x + gate * self.own.out(_attended(*self.own.heads_of(x, shift, scale)))
        q = self.query(self.norm(x)).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.key_value(text).chunk(2, dim=-1))
        x = x + self.out(_attended(q, k, v))
        inner = self.own.norms[1](x) * (1 + rest[1]) + rest[0]
        out: Tensor = x + rest[2] * self.own.down(F.gelu(self.own.up(inner), approximate="tanh"))
        return out
