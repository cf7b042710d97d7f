"""Our event files, read by TensorBoard itself."""

from pathlib import Path

import pytest

from rooflight.train.events import EventWriter, _masked_crc


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_reads_what_is_written(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    writer = EventWriter(tmp_path)
    writer.scalars(1, {"loss/train": 0.5, "정확도": 0.25})
    writer.scalars(300, {"loss/train": 0.125})
    events = list(EventFileLoader(str(writer.path)).Load())
    assert events[0].file_version == "brain.Event:2"
    found = [
        (event.step, value.tag, value.tensor.float_val[0]) for event in events[1:] for value in event.summary.value
    ]
    assert found == [(1, "loss/train", 0.5), (1, "정확도", 0.25), (300, "loss/train", 0.125)]


def test_crc_by_the_published_vector() -> None:
    # RFC 3720, B.4: CRC-32C of 32 zero bytes is 0x8A9136AA; masking is rotate right by 15, add 0xA282EAD8.
    crc = 0x8A9136AA
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    assert _masked_crc(bytes(32)) == masked.to_bytes(4, "little")
