"""VGG16 frozen at 224×224 with Flatten, Dense 256, Dense 10 on it, trained by Rooflight and by its peers, interleaved.

    python -m benchmarks.transfer --peers-python PEERS/bin/python --rounds 2 --out benchmarks/results/transfer-DATE.json

Images/s are those of the whole run: images × epochs over the seconds of all epochs, the pass that computes features
among them. A peer's compiling step is made before the clock starts, Keras's waiting outside of steps is left out, and
its images lie in memory as float32 224×224 already; Rooflight's clock includes the resizing. Weights are random: speed
does not depend on them. benchmarks/rounds.py says how the variants take turns.
"""

from benchmarks.rounds import Contest, Variant, compete, read_arguments
from rooflight.data.sources import bundled_path

VARIANTS = (
    Variant(name="rooflight", worker="transfer_rooflight", argument="float32", peer=False),
    Variant(name="rooflight, automatic dtype", worker="transfer_rooflight", argument="auto", peer=False),
    Variant(name="Keras on TensorFlow", worker="transfer_keras", argument="keras-tensorflow"),
    Variant(name="Keras on PyTorch", worker="transfer_keras", argument="keras-torch"),
    Variant(name="Keras on JAX", worker="transfer_keras", argument="keras-jax"),
    Variant(name="PyTorch", worker="transfer_torch", argument="eager"),
    Variant(name="PyTorch, channels last", worker="transfer_torch", argument="last"),
    Variant(name="PyTorch, features kept by hand", worker="transfer_torch", argument="kept"),
    Variant(name="PyTorch, channels last, bfloat16", worker="transfer_torch", argument="last-bfloat16", bfloat16=True),
)
CONTEST = Contest(
    name="transfer",
    model="vgg16",
    task="train Flatten, Dense 256, Dense 10 on VGG16 frozen, 224×224, Adam, float32 unless said; whole runs",
    samples="images",
    variants=VARIANTS,
    data=bundled_path("fashion-mnist-12k.npz"),
    batches=(16,),
    epochs=5,
)

if __name__ == "__main__":
    compete(CONTEST, read_arguments(CONTEST, __doc__))
