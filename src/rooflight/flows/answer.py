"""A bench's answer in the file that `--out` names, without losing it where that file cannot be written."""

from dataclasses import replace
from pathlib import Path

from rooflight.core.codec import to_json
from rooflight.core.errors import ConfigError
from rooflight.core.files import write_file
from rooflight.core.tables import Report


def keep_answer(report: Report, out: Path | None) -> Report:
    """The report, once its answer is in `out`; if that fails, with a note that says why, and exit code 2."""
    if out is None:
        return report
    try:
        write_file(out, to_json(report.answer) + "\n")
    except (OSError, ConfigError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        note = f"! {out} was not written: {reason.rstrip('.')}. The answer stands here alone."
        return replace(report, notes=(*report.notes, note), exit_code=2)
    return report
