"""Train the CNN on the bundled images, look at what was predicted and measured, and name a picture.

python examples/train_and_use.py [EPOCHS] [RUN]
"""

import sys
from pathlib import Path

from PIL import Image

from rooflight.core.tables import text
from rooflight.core.training import TrainConfig
from rooflight.data.images import load_images
from rooflight.flows.predict import predict
from rooflight.flows.train import default_out, train


def main(epochs: int = 1, run: Path | None = None) -> None:
    """A run, its report, and a prediction for one test picture."""
    run = run or default_out("example")
    print(text(train(TrainConfig(epochs=epochs), out=run)))

    images = load_images("bundled", channels=1, height=28, width=28)
    picture = run / "picture.png"
    Image.fromarray(images.test_images[0, 0].numpy()).save(picture)
    print(text(predict(run, [picture])))
    print("it is:", images.info.classes[int(images.test_labels[0])])


if __name__ == "__main__":
    main(*(int(epochs) for epochs in sys.argv[1:2]), *(Path(run) for run in sys.argv[2:3]))
