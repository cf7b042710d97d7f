"""Units for people. Elsewhere a number is in bytes, seconds or FLOPs; only this file knows GiB, ms and TFLOP/s."""

_BINARY = ("B", "KiB", "MiB", "GiB", "TiB")
_DECIMAL = ("", "K", "M", "G", "T", "P")


def show_bytes(count: float | None) -> str:
    """`1536` → "1.5 KiB"; None → "unknown"."""
    return _scaled(count, 1024.0, _BINARY, "")


def show_count(count: float | None) -> str:
    """`93322` → "93.3 K"."""
    return _scaled(count, 1000.0, _DECIMAL, "").rstrip()


def show_flops(flops: float | None) -> str:
    """`2.1e9` → "2.1 GFLOP"."""
    return _scaled(flops, 1000.0, _DECIMAL, "FLOP")


def show_flops_per_second(rate: float | None) -> str:
    """`9.89e14` → "989 TFLOP/s"."""
    return _scaled(rate, 1000.0, _DECIMAL, "FLOP/s")


def show_bytes_per_second(rate: float | None) -> str:
    """`3.35e12` → "3.35 TB/s": bandwidth is quoted in powers of ten, as on a data sheet."""
    return _scaled(rate, 1000.0, _DECIMAL, "B/s")


def show_seconds(seconds: float | None) -> str:
    """`0.0213` → "21.3 ms"; `200` → "3 min 20 s"."""
    if seconds is None:
        return "unknown"
    if seconds >= 90:
        minutes, rest = divmod(round(seconds), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= scale:
            return f"{_digits(seconds / scale)} {unit}"
    return f"{_digits(seconds / 1e-9)} ns"


def show_percent(share: float | None, *, signed: bool = False) -> str:
    """`0.914` → "91.4 %"; with a sign for errors."""
    if share is None:
        return "unknown"
    shown = round(share * 100, 1) + 0.0  # −0.0 is shown as 0.0
    return f"{shown:+.1f} %" if signed and shown else f"{shown:.1f} %"


def show_rate(per_second: float | None, what: str = "samples") -> str:
    """`5312.4` → "5,312 samples/s"."""
    if per_second is None:
        return "unknown"
    return f"{per_second:,.0f} {what}/s" if per_second >= 100 else f"{_digits(per_second)} {what}/s"


def show_tera(rate: float | None) -> str:
    """`9.89e14` → "989", for a column whose head says TFLOP/s or TB/s; "" for None."""
    return "" if rate is None else _digits(rate / 1e12)


def show_gibibytes(count: float | None) -> str:
    """`85899345920` → "80", for a column whose head says GiB; "" for None."""
    return "" if count is None else f"{count / 2**30:.3g}"


def _scaled(value: float | None, step: float, prefixes: tuple[str, ...], unit: str) -> str:
    if value is None:
        return "unknown"
    scaled, index = float(value), 0
    # 999.5 would be rounded to "1000": step on while the printed number would have four digits.
    while abs(scaled) >= step * 0.9995 and index < len(prefixes) - 1:
        scaled /= step
        index += 1
    if index == 0 and scaled == int(scaled):
        return f"{int(scaled)} {prefixes[0]}{unit}"
    return f"{_digits(scaled)} {prefixes[index]}{unit}"


def _digits(value: float) -> str:
    """Three significant digits, without an exponent."""
    size = abs(value)
    if size >= 99.95:
        return f"{value:.0f}"
    return f"{value:.1f}" if size >= 9.995 else f"{value:.2f}"
