"""One Runner for every runtime: what is checked, timed and served is the same call."""

from typing import Protocol

import torch

from rooflight.core.errors import BackendError, ShapeError
from rooflight.deploy.quiet import first_line


class Runner(Protocol):
    """A model ready to answer, whatever runs it."""

    @property
    def name(self) -> str:
        """The runtime, its version and its device: "onnxruntime 1.20.0 (cpu)"."""
        ...

    def run(self, batch: torch.Tensor) -> torch.Tensor:
        """Class scores of a batch.

        batch    (N, C, H, W), normalised, on any device
        returns  (N, K) float32 on the CPU: the call ends when the scores are there, so a clock around it is right
        raises   BackendError if the runtime refuses the batch
        """
        ...


class TorchRunner:
    """A module, run by PyTorch as it is."""

    def __init__(self, model: torch.nn.Module, device: torch.device) -> None:
        self.name = f"torch {torch.__version__} ({device})"
        self._model = model
        self._device = device

    def run(self, batch: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return scores_of(self._model(batch.to(self._device)))


class ProgramRunner:
    """A torch.export program, run by PyTorch without the model's source."""

    def __init__(self, program: torch.export.ExportedProgram, device: torch.device) -> None:
        self.name = f"torch {torch.__version__} ({device})"
        self._module = program.module()
        self._device = device

    def run(self, batch: torch.Tensor) -> torch.Tensor:
        try:
            with torch.inference_mode():
                return scores_of(self._module(batch.to(self._device)))
        except (RuntimeError, AssertionError) as error:  # a guard on the input's shape is one or the other
            raise BackendError(
                f"the exported program refuses a batch of shape {tuple(batch.shape)}: {first_line(error)}."
            ) from error


def torch_runner(model: torch.nn.Module, device: str | torch.device = "cpu") -> Runner:
    """The model itself as a Runner. It is moved to the device and put in evaluation mode."""
    place = torch.device(device)
    return TorchRunner(model.to(place).eval(), place)


def scores_of(output: object) -> torch.Tensor:
    """The output as (N, K) float32 on the CPU; raises ShapeError for anything else than one matrix of scores."""
    if not isinstance(output, torch.Tensor) or output.ndim != 2:
        found = f"shape {tuple(output.shape)}" if isinstance(output, torch.Tensor) else type(output).__name__
        raise ShapeError(
            f"the model must return one tensor of class scores (N, K), it returned {found}. "
            "Try wrapping it in a module that returns the scores alone."
        )
    return output.detach().to("cpu", torch.float32)
