"""What Linux tells of a device on the PCI bus in small files, whatever its driver."""

import re
from collections.abc import Iterator
from pathlib import Path

from rooflight.core.types import PcieLink
from rooflight.hardware.limits import read

# Transfer rate of one lane, in GT/s, as the kernel writes it → PCIe generation.
GENERATIONS = {"2.5": 1, "5.0": 2, "8.0": 3, "16.0": 4, "32.0": 5, "64.0": 6}


BRIDGE_CLASS = "0x0604"


def graphics_cards(drm: Path, vendor: str) -> list[Path]:
    """The PCI devices of one vendor that have a graphics driver, in the order of their cards.

    drm     /sys/class/drm
    vendor  "0x1002" is AMD, "0x8086" Intel
    """
    cards = (card for card in drm.glob("card[0-9]*") if card.name[4:].isdecimal())  # not card0-HDMI-A-1
    devices = [card / "device" for card in sorted(cards, key=lambda card: int(card.name[4:]))]
    return [device for device in devices if read(device / "vendor").lower() == vendor]


def pci_address(device: Path) -> str | None:
    """`0000:03:00.0`."""
    found = re.search(r"^PCI_SLOT_NAME=(\S+)$", read(device / "uevent"), re.MULTILINE)
    return found.group(1) if found else None


def number(path: Path) -> int | None:
    """The file's whole number; None if there is no such file, or something else in it."""
    text = read(path)
    return int(text) if re.fullmatch(r"-?\d+", text) else None


def sensor(device: Path, *names: str) -> int | None:
    """The first of these files that the device's sensors (hwmon) have."""
    return next((value for value in _sensors(device, names) if value is not None), None)


def watts(microwatts: int | None) -> float | None:
    """0 stands for "no limit" or "no sensor"."""
    return microwatts / 1e6 if microwatts else None


def celsius(millidegrees: int | None) -> float | None:
    """`47000` → 47.0."""
    return None if millidegrees is None else millidegrees / 1000


def slot_link(device: Path, vendor: str) -> PcieLink | None:
    """The link of a card to the host, as trained now and as both of its ends could.

    Between the slot and the GPU of a Radeon or an Arc lies a switch of the same maker on the card; the link behind it
    says nothing (Arc's claims 2.5 GT/s and one lane). The processor's port, the other end, may be of that maker too.
    """
    outer = device.resolve()
    while _is_bridge(outer.parent, vendor) and (outer.parent.parent / "vendor").is_file():
        outer = outer.parent
    link = PcieLink(
        generation=_generation(read(outer / "current_link_speed")),
        lanes=number(outer / "current_link_width"),
        max_generation=_generation(read(outer / "max_link_speed")),
        max_lanes=number(outer / "max_link_width"),
    )
    return link if link.lanes and link.generation else None


def _is_bridge(device: Path, vendor: str) -> bool:
    return read(device / "vendor").lower() == vendor and read(device / "class").startswith(BRIDGE_CLASS)


def _sensors(device: Path, names: tuple[str, ...]) -> Iterator[int | None]:
    folders = sorted(device.glob("hwmon/hwmon*"))
    return (number(folder / name) for name in names for folder in folders)


def _generation(speed: str) -> int | None:
    """`16.0 GT/s PCIe` → 4."""
    return GENERATIONS.get(speed.partition(" ")[0])
