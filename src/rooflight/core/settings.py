"""Fields of a configuration: each is declared once, and flags, --help and checks are made from it."""

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from rooflight.core.errors import ConfigError

MOST = 2**32  # of whole numbers: seeds and counters are 32 bits wide


def setting(default: Any, help: str) -> Any:
    """A field of a configuration: its default and its help text, from which flags and --help are made."""
    return field(default=default, metadata={"help": help})


def check_counts(config: object, least: Mapping[str, int]) -> None:
    """Raise ConfigError for a whole number below its bound, or of more than 32 bits. None is not checked."""
    for name, bound in least.items():
        value, flag = getattr(config, name), name.replace("_", "-")
        if value is None:
            continue
        if value < bound:
            raise ConfigError(f"--{flag} {value}: it must be {bound} or more.")
        if value >= MOST:
            raise ConfigError(f"--{flag} {value}: it must be below 2³².")


def check_shares(config: object, names: tuple[str, ...], *, whole: bool) -> None:
    """Raise ConfigError for what is no share. whole: 1 is one too."""
    for name in names:
        value, flag = getattr(config, name), name.replace("_", "-")
        if value is None or 0 <= value < 1 or (whole and value == 1):
            continue
        until = "0 to 1" if whole else "0 up to but not including 1"
        raise ConfigError(f"--{flag} {value:g}: it is a share, {until}.")
