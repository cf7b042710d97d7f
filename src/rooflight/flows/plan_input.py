"""What feeds the GPUs of a plan: from flags to a rate, and what is to be said of it."""

from __future__ import annotations

from math import ceil

from rooflight.core.errors import ConfigError
from rooflight.core.plans import DECODED, DECODED_WORDS, PlanConfig
from rooflight.core.types import Estimate, Feed, Workload
from rooflight.core.units import show_rate


def feed_of(config: PlanConfig, workload: Workload) -> Feed | None:
    """The loader of one machine; None: nothing is said of it, and it is not charged.

    raises  ConfigError for cores of which it is not known how fast they make such samples
    """
    if config.input_rate is not None:
        return Feed(samples_per_second=config.input_rate, words=f"a loader of {show_rate(config.input_rate)}, as given")
    if config.cores is None:
        return None
    if config.decode_rate is None and len(workload.input_shape) != 3:
        raise ConfigError(
            f"--cores {config.cores}: how fast a core makes samples of {workload.input_shape} is not known. Add "
            "--decode-rate, or give --input-rate."
        )
    each, why = (DECODED, DECODED_WORDS) if config.decode_rate is None else (config.decode_rate, "as given")
    return Feed(
        samples_per_second=config.cores * each,
        words=f"{config.cores} cores of a machine, each {show_rate(each)} ({why})",
        cores=config.cores,
    )


def input_sentence(row: Estimate, feed: Feed) -> str:
    """Which stage limits the step, and by how much; or how much the loader could give."""
    stages = row.fed
    assert stages is not None, row
    loader, copied, taken = (
        stages.loader_samples_per_second, stages.copy_samples_per_second, stages.gpu_samples_per_second,
    )  # fmt: skip
    several = "" if stages.machines == 1 else f" in each of {stages.machines} machines"
    whose = f"the loader{several} gives" if feed.cores is None else f"{feed.cores} cores{several} decode"
    if row.bound_by != "input":
        return f"{row.gpu}: its input keeps up: {whose} up to {show_rate(loader)}, and {show_rate(taken)} are taken."
    could = f"and {show_rate(taken)} could be taken"
    if copied is not None and copied < loader:
        return f"{row.gpu}: bound by its input: the link to the GPUs carries {show_rate(copied)}, {could}."
    enough = "" if feed.cores is None else f": {ceil(feed.cores * taken / loader)} would keep up"
    return f"{row.gpu}: bound by its input: {whose} {show_rate(loader)}, {could}{enough}."
