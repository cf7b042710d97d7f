"""`rooflight prove`: a training that is killed and resumed is the one that was left alone, bit for bit."""

from __future__ import annotations

import random
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rooflight.core.codec import from_plain, to_json, to_plain
from rooflight.core.console import Console, Silent
from rooflight.core.errors import ConfigError
from rooflight.core.files import new_folder, refuse_taken
from rooflight.core.proofs import Kill, Proof
from rooflight.core.tables import Report, Table
from rooflight.core.training import TrainConfig
from rooflight.core.units import show_seconds
from rooflight.flows.checkpoint import read_result
from rooflight.flows.prove_child import SAMPLES
from rooflight.flows.prove_compare import compare_states, differences, read_samples
from rooflight.flows.prove_kills import Life, Moment, Processes, draw_moment

DEFAULTS = {"epochs": 2, "checkpoint_every": 10}  # a run of seconds, with a save every few steps
ALL = 2**32 - 1  # checkpoints that the uninterrupted run keeps
SHOWN = 5
SPAN = 2  # a process is killed within so many times --checkpoint-every steps


def prove(
    given: dict[str, Any],
    *,
    kills: int = 10,
    out: Path | None = None,
    console: Console | None = None,
) -> Report:
    """Train once undisturbed, then again and again with kills, and compare.

    given   settings of the training; its seed draws the moments of the kills, too
    out     where the runs are left; None: a folder that is removed
    raises  ConfigError for what cannot be trained, before anything starts
    """
    if not 1 <= kills <= 10_000:
        raise ConfigError(f"--kills {kills}: it must be 1 to 10,000.")
    config = from_plain(TrainConfig, to_plain({**DEFAULTS, **given}), what="the configuration")
    console = console or Silent()
    with ExitStack() as stack:
        if out is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rooflight-prove-")))
        else:
            refuse_taken(out)
            folder = stack.enter_context(new_folder(out, keep=lambda: True))
        proof = _prove(config, kills, folder, console)
    notes = [f"differs: {line}" for line in proof.differences[:SHOWN]]
    notes.append(f"runs: {out}" if out else "the runs are removed; --out FOLDER keeps them")
    return Report(answer=proof, tables=(_table(proof),), notes=tuple(notes), exit_code=0 if proof.proven else 1)


@dataclass(slots=True)
class _Found:
    """What the killed runs have shown so far."""

    kills: list[Kill] = field(default_factory=list)
    runs: list[Path] = field(default_factory=list)  # those that came to their end
    wrong: dict[str, list[str]] = field(default_factory=dict)  # by what is compared: what differs


def _prove(config: TrainConfig, kills: int, folder: Path, console: Console) -> Proof:
    begin, processes = time.perf_counter(), Processes()
    reference = folder / "uninterrupted"
    console.say("a run that is left alone")
    alone = processes.run(reference, to_json(replace(config, keep=ALL)))
    generator, found = random.Random(config.seed), _Found()
    with console.bar("kills", kills, "kills") as advance:
        while len(found.kills) < kills:
            before = len(found.kills)
            _kill_one_run(
                folder / f"killed-{len(found.runs) + 1}", reference, config, processes, generator, kills, found
            )
            advance(len(found.kills) - before, f"{len(found.kills)} of {kills} kills, {len(found.runs)} runs finished")
    return Proof(
        config=config,
        seed=config.seed,
        kills=tuple(found.kills),
        kills_in_saves=sum(kill.in_save for kill in found.kills),
        runs=len(found.runs),
        steps=alone.steps,
        steps_repeated=sum(read_samples(run / SAMPLES).repeated for run in found.runs),
        fell_back=sum(kill.fell_back > 0 for kill in found.kills),
        checkpoints_equal=sum(kill.equal is True for kill in found.kills),
        checkpoints_compared=sum(kill.equal is not None for kill in found.kills),
        equal={name: not wrong for name, wrong in found.wrong.items()},
        differences=tuple(f"{name}: {line}" for name, wrong in found.wrong.items() for line in wrong),
        seconds=time.perf_counter() - begin,
        environment=read_result(reference).environment,
    )


def _kill_one_run(
    run: Path,
    reference: Path,
    config: TrainConfig,
    processes: Processes,
    generator: random.Random,
    kills: int,
    found: _Found,
) -> None:
    """From its beginning to its end, through as many kills as come before it or are left."""
    document, span = to_json(config), SPAN * max(1, config.checkpoint_every)
    while True:
        number = len(found.kills)
        moment = draw_moment(generator, span, in_save=number % 2 == 1) if number < kills else None
        life = processes.run(run, document, moment)
        if moment is None or not life.killed:
            break
        found.kills.append(_after_kill(run, reference, moment, life, number=len(found.runs) + 1))
    found.runs.append(run)
    for name, wrong in differences(run, reference).items():
        found.wrong.setdefault(name, []).extend(f"{run.name}: {line}" for line in wrong)


def _after_kill(run: Path, reference: Path, moment: Moment, life: Life, *, number: int) -> Kill:
    """What the next process will go on from, beside the uninterrupted run at the same step."""
    from rooflight.train.checkpoint.folder import is_finished
    from rooflight.train.checkpoint.read import read_folder, read_state

    skipped: list[str] = []
    state = read_state(run, notify=skipped.append) if run.is_dir() else None
    step, equal = 0, None
    if state is not None:
        step, other = state.checkpoint.step, reference / "checkpoints" / state.folder.name
        if is_finished(other):
            equal = not any(compare_states(state, read_folder(other)).values())
    return Kill(
        run=number,
        moment=moment.kind,
        in_save=life.in_save,
        logged_steps=life.steps,
        resumed_step=step,
        fell_back=state.skipped if state else 0,
        equal=equal,
    )


def _table(proof: Proof) -> Table:
    kills, saves = len(proof.kills), proof.kills_in_saves
    rows: tuple[tuple[str, str], ...] = (
        ("kills", f"{kills}, of which {saves} during saves, in {proof.runs} runs of {proof.steps:,} steps"),
        ("steps repeated", f"{proof.steps_repeated:,}"),
        ("resumes that fell back", f"{proof.fell_back} (past a checkpoint that was not whole)"),
        ("checkpoints gone on from", f"{proof.checkpoints_equal} of {proof.checkpoints_compared} compared are equal"),
        *((name, "equal, bit for bit" if equal else "DIFFERS") for name, equal in proof.equal.items()),
        ("took", show_seconds(proof.seconds)),
    )
    return Table(columns=(f"{proof.config.model}, killed and resumed", ""), rows=rows)
