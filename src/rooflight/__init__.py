"""Rooflight: from a GPU's spec sheet to a deployed model, at the hardware's limit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rooflight.core.training import TrainConfig
    from rooflight.flows.fit import Fitted

__version__ = "0.1.0"


def fit(
    model: Any,
    data: Any,
    config: TrainConfig | None = None,
    *,
    out: str | Path | None = None,
    progress: bool = True,
    **settings: Any,
) -> Fitted:
    """Train a PyTorch or Keras model on arrays or a Dataset: see rooflight.flows.fit.

    progress  on stderr, in a notebook too
    """
    from rooflight.cli.console import TerminalConsole
    from rooflight.flows.fit import fit as run

    return run(model, data, config, out=out, console=TerminalConsole() if progress else None, **settings)
