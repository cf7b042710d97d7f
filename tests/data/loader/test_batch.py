"""Memory that is used again, and arrays that become a batch."""

import numpy as np
import torch

from rooflight.data.loader.batch import Arena, as_images


def test_an_arena_grows_and_is_used_again() -> None:
    arena = Arena()
    arena.restart()
    first = [arena.empty((2, 3, 3)) for _ in range(4)]
    assert arena.together(first) is None  # it had no memory yet
    arena.restart()
    second = [arena.empty((2, 3, 3)) for _ in range(4)]
    for number, array in enumerate(second):
        array[:] = number
    together = arena.together(second)
    assert together is not None
    assert together.base is not None
    assert together[:, 0, 0, 0].tolist() == [0, 1, 2, 3]
    arena.restart()
    assert arena.empty((2, 3, 3)).ctypes.data == second[0].ctypes.data


def test_what_lies_apart_is_copied() -> None:
    arena = Arena()
    arena.empty((100,))
    arena.restart()
    one, _, three = (arena.empty((2, 3, 3)) for _ in range(3))
    one[:], three[:] = 1, 3
    assert arena.together([one, three]) is None
    images = as_images([one, three], arena)
    assert isinstance(images, torch.Tensor)
    assert images.shape == (2, 3, 2, 3)
    assert images[:, 0, 0, 0].tolist() == [1, 3]
    apart = as_images([one, np.zeros((4, 3, 3), np.uint8)], arena)
    assert [tuple(image.shape) for image in apart] == [(3, 2, 3), (3, 4, 3)]
