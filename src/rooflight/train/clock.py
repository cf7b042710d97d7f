"""Times training steps, and leaves out evaluation, saving and what else happens between them."""

import time

import torch


class Clock:
    """Seconds of an epoch's steps, and since the run's beginning."""

    def __init__(self, device: torch.device, *, before: float = 0.0) -> None:
        """before: seconds that the run took before it was resumed."""
        self.device, self.before = device, before
        self.begin = time.perf_counter()
        self.first_step_seconds = 0.0
        self.start_epoch()

    def start_epoch(self) -> None:
        """Its first step comes."""
        self._spent, self._samples = 0.0, 0
        self._since = time.perf_counter()

    def step(self, samples: int) -> None:
        """A step is issued."""
        self._samples += samples
        if not self.first_step_seconds:
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)  # once in a run
            self.first_step_seconds = time.perf_counter() - self.begin

    def pause(self) -> None:
        """Something else than training begins."""
        self._spent += time.perf_counter() - self._since

    def go_on(self) -> None:
        """It is over."""
        self._since = time.perf_counter()

    def epoch(self) -> tuple[float, int]:
        """Seconds and samples of the epoch's steps, of those that this process ran."""
        return self._spent + time.perf_counter() - self._since, self._samples

    def elapsed(self) -> float:
        """Seconds since the run's first step."""
        return self.before + time.perf_counter() - self.begin
