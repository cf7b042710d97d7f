"""The commands under `rooflight bench`: each takes its flags and calls its flow."""

from collections.abc import Callable
from typing import Any

BENCH: tuple[Callable[..., Any], ...] = ()
