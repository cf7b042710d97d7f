"""Arrays that are no images: samples of any shape, with labels or with numbers to come near to."""

import hashlib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rooflight.core.errors import ConfigError, DataError
from rooflight.core.runs import DataInfo
from rooflight.core.tables import printable
from rooflight.data.loader.order import check_ranks, rank_slices, shuffled

KEYS = ("x_train", "y_train", "x_test", "y_test")
TEST_SHARE = 0.2  # where an archive or a pair has no test samples of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class ArraySet:
    """A set in memory. x is (N, …); y is int64 labels (N,), or float32 targets (N,) or (N, …)."""

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor
    info: DataInfo  # no classes: y is numbers


def read_arrays(path: Path, dtype: Literal["float32", "int64"]) -> ArraySet:
    """x_train, y_train, x_test, y_test of an .npz file, or x and y, of which a fifth is held out.

    dtype   of the samples, as the model takes them
    raises  ConfigError if there is no such file; DataError for what cannot be used
    """
    if not path.is_file():
        raise ConfigError(f"--data {path}: no such file. Try an .npz file of x_train, y_train, x_test and y_test.")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            found = {key: np.asarray(archive[key]) for key in archive.files}
    except Exception as error:  # numpy and zipfile raise a dozen kinds for a file that is not what it says
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"{path} is not a readable .npz file ({reason}). Try writing it again with numpy.savez."
        ) from None
    if not {"x", "y"} <= set(found) and not set(KEYS) <= set(found):
        raise DataError(f"{path} has {', '.join(found) or 'nothing'}. Try the keys {', '.join(KEYS)}, or x and y.")
    whole = set(KEYS) <= set(found)
    train = (found["x_train"], found["y_train"]) if whole else (found["x"], found["y"])
    test = (found["x_test"], found["y_test"]) if whole else None
    names = tuple(printable(str(name)) for name in found["classes"].reshape(-1)) if "classes" in found else ()
    return array_set(train, test, dtype=dtype, name=path.name, source=str(path), classes=names)


def read_rows(path: Path) -> NDArray[Any]:
    """Samples to predict: a .npy file, or x_test or x of an .npz file. raises DataError for what is neither"""
    try:
        with path.open("rb") as file:
            found = np.load(file, allow_pickle=False)
            if isinstance(found, np.ndarray):
                return found
            key = next((key for key in ("x_test", "x") if key in found.files), None)
            if key is None:
                raise DataError(f"{path} has {', '.join(found.files)}. Try x_test or x, or a .npy file.")
            return np.asarray(found[key])
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path} is no readable .npy or .npz file ({reason}). Try numpy.save.") from None


def dtype_in(path: Path, key: str) -> str | None:
    """The dtype of an array of an .npz file, by its header alone; None if it cannot be told."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            return str(read(file)[2])
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return None


def array_set(
    train: tuple[Any, Any],
    test: tuple[Any, Any] | None,
    *,
    dtype: Literal["float32", "int64"],
    name: str,
    source: str,
    classes: tuple[str, ...] = (),
    seed: int = 0,
) -> ArraySet:
    """Checked, as tensors. Without `test`, a fifth of the samples, drawn by the seed, is held out.

    raises  DataError for numbers of samples that differ, shapes that differ, labels out of range, no number at all
    """
    train_x, train_y = _pair(*train, dtype=dtype, what="train")
    if test is None:
        order = torch.from_numpy(shuffled(len(train_x), seed=seed, epoch=0, lane=4))
        held = max(1, round(TEST_SHARE * len(order)))
        kept, out = order[held:].sort().values, order[:held].sort().values
        train_x, train_y, test_x, test_y = train_x[kept], train_y[kept], train_x[out], train_y[out]
        source = f"{source} (a fifth held out, drawn by the seed)"
    else:
        test_x, test_y = _pair(*test, dtype=dtype, what="test")
    if not len(train_x) or not len(test_x):
        raise DataError(
            f"{source}: {len(train_x)} samples to train and {len(test_x)} to test; each needs one at least."
        )
    if train_x.shape[1:] != test_x.shape[1:] or train_y.dtype != test_y.dtype or train_y.shape[1:] != test_y.shape[1:]:
        raise DataError(
            f"{source}: train samples are {tuple(train_x.shape[1:])} with {train_y.dtype} targets "
            f"{tuple(train_y.shape[1:])}, test samples {tuple(test_x.shape[1:])} with {test_y.dtype} "
            f"{tuple(test_y.shape[1:])}. Try the same for both."
        )
    if train_y.dtype == torch.int64:
        classes = classes or tuple(str(number) for number in range(int(max(train_y.max(), test_y.max())) + 1))
        for which, labels in (("train", train_y), ("test", test_y)):
            if int(labels.min()) < 0 or int(labels.max()) >= len(classes):
                raise DataError(
                    f"{source}: {which} labels go from {int(labels.min())} to {int(labels.max())}; the {len(classes)} "
                    f"classes are 0 to {len(classes) - 1}. Try renumbering the labels."
                )
    info = DataInfo(
        name=name,
        source=source,
        train_count=len(train_x),
        test_count=len(test_x),
        classes=classes if train_y.dtype == torch.int64 else (),
        sha256=_sha256(train_x, train_y, test_x, test_y),
        samples="samples",
    )
    return ArraySet(train_x=train_x, train_y=train_y, test_x=test_x, test_y=test_y, info=info)


class ArrayBatches:
    """A set of arrays on the device as mini-batches; which sample comes when depends on (seed, epoch) alone."""

    def __init__(
        self,
        x: Tensor,
        y: Tensor,
        *,
        batch: int,
        seed: int,
        device: torch.device,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        """batch: samples of all ranks together."""
        check_ranks(0, batch=batch, rank=rank, world_size=world_size, drop_last=False)
        self.x, self.y = x.to(device), y.to(device)
        self.batch, self.seed, self.rank, self.world_size = batch, seed, rank, world_size

    def __len__(self) -> int:
        """Steps in an epoch; the last one may be smaller."""
        return -(-self.samples // self.batch)

    @property
    def samples(self) -> int:
        """In an epoch, of all ranks together."""
        return len(self.y)

    def order(self, epoch: int) -> NDArray[np.int64]:
        """The samples of an epoch in the order that they are trained on, of all ranks together."""
        return shuffled(self.samples, seed=self.seed, epoch=epoch)

    def epoch(self, epoch: int, *, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """(x, y) of this rank: each sample once, from place `start` of the order on."""
        order = torch.from_numpy(self.order(epoch)).to(self.x.device)
        places = rank_slices(
            len(order), batch=self.batch, rank=self.rank, world_size=self.world_size, start=start, drop_last=False
        )
        for _, chosen in places:
            ids = order[chosen]
            yield self.x[ids], self.y[ids]


def as_samples(x: Any, dtype: Literal["float32", "int64"]) -> Tensor:
    """An array or tensor of samples in the model's dtype.

    raises  DataError for what is no array of numbers, or holds something that is no number
    """
    tensor = _tensor(x, "the samples")
    if dtype == "int64" and tensor.is_floating_point():
        raise DataError(
            "the samples are floating-point numbers, and the model takes whole ones: token ids. If it does not, try "
            'the line INPUT_DTYPE = "float32" in its file.'
        )
    tensor = tensor.to(getattr(torch, dtype)).contiguous()
    if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
        bad = int((~tensor.isfinite()).flatten(1).any(1).nonzero()[0]) if tensor.dim() > 1 else 0
        raise DataError(f"sample {bad} holds something that is no finite number. Try leaving it out.")
    return tensor


def _pair(x: Any, y: Any, *, dtype: Literal["float32", "int64"], what: str) -> tuple[Tensor, Tensor]:
    samples, targets = as_samples(x, dtype), _tensor(y, f"the {what} targets")
    if targets.dim() == 2 and targets.shape[1] == 1 and not targets.is_floating_point():
        targets = targets[:, 0]
    if not samples.dim() or not targets.dim() or len(samples) != len(targets):
        raise DataError(f"{what}: {tuple(samples.shape)} of samples with {tuple(targets.shape)} of targets.")
    if targets.is_floating_point():
        targets = targets.float()
        if not bool(targets.isfinite().all()):
            raise DataError(f"the {what} targets hold something that is no finite number. Try leaving those out.")
        return samples, targets
    if targets.dim() != 1:
        raise DataError(
            f"the {what} labels are {tuple(targets.shape)}; there is one for each sample. Try y.argmax(1) if they are "
            "one-hot, or floats if they are numbers to come near to."
        )
    return samples, targets.long()


def _tensor(values: Any, what: str) -> Tensor:
    try:
        found = values.detach().cpu() if isinstance(values, Tensor) else torch.as_tensor(np.asarray(values))
    except (TypeError, ValueError) as error:
        raise DataError(f"{what} are no array of numbers: {error}.") from None
    return found


def _sha256(*tensors: Tensor) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(str(tuple(tensor.shape)).encode())
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()
