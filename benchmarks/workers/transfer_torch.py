"""Transfer learning as a plain PyTorch loop.

Variants: eager; last (channels last), also with -bfloat16 behind it (autocast); kept (channels last, and the base's
features computed once, by hand).
"""

import torch
import torch.nn.functional as F
from network import accuracy, build
from torch import Tensor
from transfer_task import IMAGES, arrays, enlarged, started, task, whole_run

from rooflight.bench.contender import LEARNING_RATE


def main() -> None:
    """Train the epochs, evaluate."""
    torch.set_num_threads(task.threads)
    x_train, y_train, x_test, y_test = arrays()
    kind, *precision = task.variant.split("-")
    layout = torch.contiguous_format if kind == "eager" else torch.channels_last
    images = torch.from_numpy(enlarged(x_train)).permute(0, 3, 1, 2).contiguous(memory_format=layout)
    labels = torch.from_numpy(y_train)
    model = build("vgg16").to(memory_format=layout)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=LEARNING_RATE)
    record = task.record(IMAGES)

    def step(network: torch.nn.Module, some: Tensor, of: Tensor) -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bool(precision)):
            loss = F.cross_entropy(network(some), of)
        loss.backward()
        optimizer.step()
        record.first_step_done()

    step(model, images[: task.batch], labels[: task.batch])
    begin = started()
    network, inputs = model, images
    if kind == "kept":
        with torch.inference_mode():
            inputs = torch.cat([model[0](some) for some in images.split(task.batch)])
        network, inputs = model[1:], inputs.clone()
    for _ in range(task.epochs):
        for chosen in torch.randperm(len(labels)).split(task.batch):
            step(network, inputs[chosen], labels[chosen])
    whole_run(record, started() - begin)
    record.finish(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        accuracy=accuracy(model, torch.from_numpy(enlarged(x_test)).permute(0, 3, 1, 2), torch.from_numpy(y_test)),
        versions={"torch": torch.__version__},
    )


main()
