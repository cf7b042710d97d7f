"""The CNN of the classic tutorial, trained by Rooflight and by its peers, interleaved on one machine.

    python -m benchmarks.cnn --peers-python PEERS/bin/python --out benchmarks/results/cnn-DATE.json

benchmarks/rounds.py says how they take turns.
"""

from benchmarks.rounds import KEPT, Contest, Variant, compete, read_arguments
from rooflight.data.sources import bundled_path

VARIANTS = (
    Variant(name="rooflight", worker="rooflight_fit", argument="rooflight", peer=False),
    Variant(name="rooflight, augmented", worker="rooflight_fit", argument="rooflight-augmented", peer=False),
    Variant(name="rooflight, automatic dtype", worker="rooflight_fit", argument="rooflight-auto", peer=False),
    Variant(name="Keras on TensorFlow", worker="keras_fit", argument="keras-tensorflow"),
    Variant(name="Keras on JAX", worker="keras_fit", argument="keras-jax"),
    Variant(name="Keras on PyTorch", worker="keras_fit", argument="keras-torch"),
    Variant(name="PyTorch, DataLoader", worker="torch_loop", argument="loader-0"),
    Variant(name="PyTorch, DataLoader, 2 workers", worker="torch_loop", argument="loader-2"),
    Variant(name="PyTorch, in memory", worker="torch_loop", argument="memory-0"),
    Variant(name="Lightning", worker="lightning_fit", argument="lightning"),
    Variant(name="Accelerate", worker="accelerate_loop", argument="accelerate"),
    Variant(name="fastai", worker="fastai_fit", argument="fastai"),
    Variant(name="Keras on TensorFlow, malloc kept", worker="keras_fit", argument="keras-tensorflow", environment=KEPT),
    Variant(name="PyTorch, DataLoader, malloc kept", worker="torch_loop", argument="loader-0", environment=KEPT),
    Variant(name="PyTorch, in memory, malloc kept", worker="torch_loop", argument="memory-0", environment=KEPT),
    Variant(name="Lightning, malloc kept", worker="lightning_fit", argument="lightning", environment=KEPT),
    Variant(
        name="Keras on TensorFlow, bfloat16", worker="keras_fit", argument="keras-tensorflow-bfloat16", bfloat16=True
    ),
    Variant(name="PyTorch, DataLoader, bfloat16", worker="torch_loop", argument="loader-0-bfloat16", bfloat16=True),
)
CONTEST = Contest(
    name="cnn",
    model="cnn",
    task="train the tutorial's CNN, 28×28×1, Adam, float32 unless said",
    samples="images",
    variants=VARIANTS,
    data=bundled_path("fashion-mnist-12k.npz"),
    batches=(32, 128),
)

if __name__ == "__main__":
    compete(CONTEST, read_arguments(CONTEST, __doc__))
