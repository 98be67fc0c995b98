"""Train the same small network twice: on analog crossbar tiles and on ideal ones.

The network recognises the handwritten digits that come with scikit-learn (1797 images
of 8 x 8 pixels): 64 inputs, 40 hidden units, 10 classes. The weights of both layers are
in tiles. A tile does the three things that training asks of a layer:

* ``tile.forward(x)``: the product with the weights, y = W x + b,
* ``tile.backward(d)``: the product with the transposed weights, for backpropagation,
* ``tile.update(x, d)``: the change of the weights, W -= learning_rate * d x^T.

On an `AnalogTile` the products pass through converters and pick up noise, and the
update sends pulses to resistive devices, of which no two behave alike. On a
`FloatingPointTile` all three are exact. Initial weights, batches and learning rates are
the same, so that what differs in the end is due to the analog hardware. With
``--backend cuda`` the tiles are on a GPU, which gives the same numbers.

Run it with ``python train_digits.py``; ``--help`` lists the options.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import attrs
import numpy as np
from numpy.typing import NDArray

import rpupy
from rpupy.configs import (
    ConstantStepDevice,
    FloatingPointRPUConfig,
    IdealDevice,
    LinearStepDevice,
    PulsedDevice,
    SingleRPUConfig,
    SoftBoundsDevice,
)
from rpupy.rpu_base import cuda
from rpupy.tiles import AnalogTile, FloatingPointTile, Tile

try:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split
    from tqdm import tqdm
except ImportError as error:
    raise SystemExit(
        f'{error}\nThis example needs more than rpupy itself: pip install ".[examples]"'
    ) from None

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]

#: Numbers of inputs, hidden units and classes.
SIZES = (64, 40, 10)
#: Mean weight change of one pulse, in units of the array.
DW_MIN = 0.001
#: Where the largest initial weight lies on the array. The devices hold about -0.6 to
#: 0.6, so that weights can grow to seven times the largest initial one.
OMEGA = 0.08
#: The learning rate is multiplied by this after each epoch.
LEARNING_RATE_DECAY = 0.85

DEVICES: dict[str, PulsedDevice | IdealDevice] = {
    "SoftBounds": SoftBoundsDevice(dw_min=DW_MIN),
    "LinearStep": LinearStepDevice(dw_min=DW_MIN, gamma_up=0.5, gamma_down=0.5),
    "ConstantStep": ConstantStepDevice(dw_min=DW_MIN),
    "Ideal": IdealDevice(),
}


# ---- data ----------------------------------------------------------------------------


@dataclass
class Digits:
    """Images, one in each row, with pixels from -1 to 1, and their labels."""

    x_train: Floats
    x_test: Floats
    y_train: Labels
    y_test: Labels

    @classmethod
    def load(cls) -> Digits:
        """Load the digits; a fifth of them, always the same, is for testing."""
        pixels, labels = load_digits(return_X_y=True)
        # Pixels from 0 to 1 would do, too, but cost the analog tiles a per cent.
        images = (pixels / 8 - 1).astype(np.float32)
        return cls(
            *train_test_split(
                images, labels, test_size=0.2, stratify=labels, random_state=0
            )
        )


# ---- the network ---------------------------------------------------------------------


@dataclass
class Layer:
    """A tile, followed by tanh unless the layer is the last one."""

    tile: Tile
    is_last: bool
    x: Floats = field(init=False)
    y: Floats = field(init=False)
    d: Floats = field(init=False)

    def forward(self, x: Floats) -> Floats:
        """Compute the outputs, and remember what `backward` and `update` need."""
        self.x = x
        self.y = self.tile.forward(x)
        if not self.is_last:
            np.tanh(self.y, out=self.y)
        return self.y

    def backward(self, gradient: Floats) -> Floats:
        """Turn the gradient of the outputs into that of the inputs."""
        # The derivative of tanh(z) is 1 - tanh(z)^2.
        self.d = gradient if self.is_last else gradient * (1 - self.y**2)
        return self.tile.backward(self.d)

    def update(self, learning_rate: float) -> None:
        """Take a step of gradient descent."""
        self.tile.set_learning_rate(learning_rate)
        self.tile.update(self.x, self.d)
        self.tile.post_update_step()
        # The bias is digital: plain numbers beside the array, and ours to train.
        self.tile.bias = self.tile.bias - learning_rate * self.d.sum(axis=0)


@dataclass
class Network:
    """Two layers, and how their training went."""

    name: str
    layers: tuple[Layer, Layer]
    losses: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)

    def forward(self, x: Floats) -> Floats:
        """Compute the scores of the classes."""
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def train_batch(self, x: Floats, labels: Labels, learning_rate: float) -> float:
        """Learn from a batch; return the sum of its losses before that."""
        probabilities = softmax(self.forward(x))
        rows = np.arange(len(labels))
        # A probability can be too small for a float32.
        likelihoods = np.maximum(probabilities[rows, labels], 1e-30)
        loss = -np.log(likelihoods).sum()
        # The gradient of the mean cross-entropy with respect to the scores.
        gradient = probabilities
        gradient[rows, labels] -= 1
        gradient /= len(labels)
        for layer in reversed(self.layers):
            gradient = layer.backward(gradient)
        for layer in self.layers:
            layer.update(learning_rate)
        return float(loss)

    def test(self, x: Floats, labels: Labels) -> float:
        """Compute the accuracy in per cent."""
        self.set_training(False)
        right = self.forward(x).argmax(axis=1) == labels
        self.set_training(True)
        return 100 * float(right.mean())

    def move_to_gpu(self) -> None:
        """Replace the tiles by their counterparts on the GPU."""
        for layer in self.layers:
            layer.tile = layer.tile.cuda()

    def set_training(self, mode: bool) -> None:
        """Choose the mode; looking at the accuracy then never changes the training."""
        for layer in self.layers:
            layer.tile.train(mode)


def softmax(scores: Floats) -> Floats:
    """Turn the scores of each row into probabilities."""
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def initial_weights(rng: np.random.Generator) -> list[Floats]:
    """Draw weights with a variance of one over the number of inputs."""
    weights = []
    for in_size, out_size in itertools.pairwise(SIZES):
        limit = np.sqrt(3 / in_size)
        weights.append(rng.uniform(-limit, limit, (out_size, in_size)))
    return [weight.astype(np.float32) for weight in weights]


def analog_tile(
    weight: Floats, device: PulsedDevice | IdealDevice, rng: np.random.Generator
) -> AnalogTile:
    """Build an analog tile with a digital bias and write the weights to its devices."""
    config = SingleRPUConfig(device=device)
    config.mapping.weight_scaling_omega = OMEGA
    tile = AnalogTile(*weight.shape, config, bias=True, rng=rng)
    tile.set_weights(weight)
    return tile


def floating_point_tile(weight: Floats) -> FloatingPointTile:
    """Build an exact tile with these weights; nothing in it is random."""
    tile = FloatingPointTile(*weight.shape, FloatingPointRPUConfig(), bias=True, rng=0)
    tile.set_weights(weight)
    return tile


def build_networks(device_name: str, seed: int) -> tuple[Network, Network]:
    """Build the floating-point and the analog network, with the same weights."""
    rng = np.random.default_rng(seed)
    hidden, output = initial_weights(rng)
    device = DEVICES[device_name]
    floating_point = Network(
        "floating point",
        (
            Layer(floating_point_tile(hidden), is_last=False),
            Layer(floating_point_tile(output), is_last=True),
        ),
    )
    # Both tiles draw their seed from the one generator, so that their devices differ.
    analog = Network(
        f"analog, {device_name}",
        (
            Layer(analog_tile(hidden, device, rng), is_last=False),
            Layer(analog_tile(output, device, rng), is_last=True),
        ),
    )
    return floating_point, analog


def train(
    networks: Sequence[Network],
    digits: Digits,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
) -> None:
    """Train the networks side by side on the same batches."""
    rng = np.random.default_rng(seed)
    n_images = len(digits.y_train)
    starts = range(0, n_images, batch_size)
    with tqdm(total=epochs * len(starts), unit="batch") as progress:
        for _ in range(epochs):
            order = rng.permutation(n_images)
            losses = [0.0 for _ in networks]
            for start in starts:
                batch = order[start : start + batch_size]
                x, labels = digits.x_train[batch], digits.y_train[batch]
                for i, network in enumerate(networks):
                    losses[i] += network.train_batch(x, labels, learning_rate)
                progress.update()
            for network, loss in zip(networks, losses, strict=True):
                network.losses.append(loss / n_images)
                network.accuracies.append(network.test(digits.x_test, digits.y_test))
            learning_rate *= LEARNING_RATE_DECAY


# ---- the device under pulses ---------------------------------------------------------


N_PULSES = 1200
PULSES_PER_READING = 20


def pulse_response(device: PulsedDevice | IdealDevice, seed: int) -> Floats:
    """Send pulses up, then as many down, to 400 devices.

    Parameters
    ----------
    device : PulsedDevice or IdealDevice
        The device to look at.
    seed : int
        Seed of the tile.

    Returns
    -------
    ndarray of float32, shape (readings, 400)
        Weights, in units of the array, before the first and after each 20 pulses.
    """
    config = SingleRPUConfig(device=device)
    # Trains of one slot, which both lines fill with certainty: with a learning rate as
    # large as a step, each vector of an update is one pulse at each crosspoint.
    config.update.desired_bl = 1
    config.update.update_management = False
    config.update.update_bl_management = False
    tile = AnalogTile(20, 20, config, rng=seed)
    tile.set_learning_rate(DW_MIN)
    tile.set_weights(np.zeros(tile.shape))
    ones = np.ones((PULSES_PER_READING, 20), dtype=np.float32)
    readings = [tile.get_weights()[0].ravel()]
    for direction in (1, -1):
        for _ in range(N_PULSES // PULSES_PER_READING):
            # An update descends: the weight goes up where x and d have different signs.
            tile.update(ones, -direction * ones)
            readings.append(tile.get_weights()[0].ravel())
    return np.array(readings)


def without_spread(device: PulsedDevice | IdealDevice) -> PulsedDevice | IdealDevice:
    """Copy a device, without differences between devices and between pulses."""
    spreads = [
        name
        for name in attrs.fields_dict(type(device))
        if name.endswith(("_dtod", "_std"))
    ]
    return attrs.evolve(device, **dict.fromkeys(spreads, 0.0))


# ---- the figure ----------------------------------------------------------------------

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#555555"


def plot_curves(loss: Axes, accuracy: Axes, networks: Sequence[Network]) -> None:
    """Show how training went."""
    for network, colour in zip(networks, (BLUE, ORANGE), strict=True):
        epochs = range(1, len(network.losses) + 1)
        style = {"color": colour, "marker": "o", "markersize": 3.5}
        loss.plot(epochs, network.losses, label=network.name, **style)
        accuracy.plot(epochs, network.accuracies, label=network.name, **style)
    loss.set(title="Training loss", ylabel="mean cross-entropy (nats)", yscale="log")
    loss.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    loss.yaxis.set_major_formatter("{x:g}")
    loss.yaxis.set_minor_formatter(NullFormatter())
    accuracy.set(title="Test accuracy", ylabel="correct (%)")
    for axes, corner in ((loss, "upper right"), (accuracy, "lower right")):
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend(loc=corner)


def plot_pulses(axes: Axes, device_name: str, seed: int) -> None:
    """Show how the devices of a small tile answer to pulses."""
    device = DEVICES[device_name]
    weights = pulse_response(device, seed)
    noise_free = pulse_response(without_spread(device), seed).mean(axis=1)
    low, high = np.percentile(weights, (5, 95), axis=1)
    pulses = PULSES_PER_READING * np.arange(len(weights))
    axes.plot(pulses, weights.mean(axis=1), color=ORANGE, label="mean of 400 devices")
    band = {"color": ORANGE, "alpha": 0.25, "lw": 0}
    axes.fill_between(pulses, low, high, label="5th to 95th percentile", **band)
    axes.plot(
        pulses, noise_free, color="black", ls="--", lw=1, label="no spread, no noise"
    )
    axes.set(
        title=f"{device_name}: {N_PULSES} pulses up, then down",
        xlabel="number of pulses",
        ylabel="weight on the array",
    )
    axes.grid(alpha=0.3)
    add_room(axes, below=0.4)
    axes.legend(loc="lower center", fontsize="small")


def plot_weights(axes: Axes, networks: Sequence[Network], index: int) -> None:
    """Show the trained weights of a layer in both networks."""
    tiles = [network.layers[index].tile for network in networks]
    weights = [tile.get_weights()[0].ravel() for tile in tiles]
    largest = max(np.abs(weight).max() for weight in weights)
    bins = np.linspace(-largest, largest, 41)
    for network, weight, colour in zip(networks, weights, (BLUE, ORANGE), strict=True):
        axes.hist(weight, bins, color=colour, alpha=0.25)
        axes.hist(weight, bins, color=colour, histtype="step", label=network.name)
    bound = mean_bound(tiles[1])
    if bound is not None:
        axes.axvline(-bound, color=GREY, ls=":", label="mean bounds of the devices")
        axes.axvline(bound, color=GREY, ls=":")
    layer = ("hidden", "output")[index]
    axes.set(title=f"Weights of the {layer} layer", xlabel="weight", ylabel="count")
    add_room(axes, above=0.4)
    axes.legend(loc="upper center", fontsize="small")


def mean_bound(tile: Tile) -> float | None:
    """Compute what the mean device of a tile holds at most; None: no limit."""
    device, scales = tile.rpu_config.device, tile.get_mapping_scales()
    if not isinstance(device, PulsedDevice) or scales is None:
        return None
    return float(scales[0]) * device.w_max


def add_room(axes: Axes, below: float = 0.0, above: float = 0.0) -> None:
    """Make place for a legend, in fractions of the height."""
    bottom, top = axes.get_ylim()
    height = top - bottom
    axes.set_ylim(bottom - below * height, top + above * height)


def save_figure(
    path: Path, networks: Sequence[Network], device_name: str, seed: int
) -> None:
    """Draw all panels and write them to a PNG file."""
    figure = Figure(figsize=(12, 7.5), layout="constrained")
    axes = figure.subplot_mosaic(
        [
            ["loss", "loss", "loss", "accuracy", "accuracy", "accuracy"],
            ["pulses", "pulses", "hidden", "hidden", "output", "output"],
        ]
    )
    plot_curves(axes["loss"], axes["accuracy"], networks)
    plot_pulses(axes["pulses"], device_name, seed)
    plot_weights(axes["hidden"], networks, 0)
    plot_weights(axes["output"], networks, 1)
    figure.savefig(path, dpi=120)


# ---- the command ---------------------------------------------------------------------


def positive_int(text: str) -> int:
    """Read an integer above 0 from the command line."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description="Train a digit classifier on analog and on floating-point tiles.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--device", choices=DEVICES, default="SoftBounds", help="of the analog tiles")
    add("--epochs", type=positive_int, default=20, help="passes over the images")
    add("--batch-size", type=positive_int, default=10, help="images in a batch")
    add("--learning-rate", type=float, default=0.2, help="in the first epoch")
    add("--seed", type=int, default=0, help="decides all random numbers")
    add(
        "--backend",
        choices=("cpu", "cuda"),
        default="cpu",
        help="where the tiles are; the results do not depend on it",
    )
    add(
        "--threads",
        type=positive_int,
        default=rpupy.get_num_threads(),
        help="of the simulator; the results do not depend on them",
    )
    add("--output", type=Path, default="train_digits.png", help="PNG file to write")
    options = parser.parse_args(arguments)
    if options.seed < 0:
        parser.error("argument --seed: must be at least 0")
    if options.backend == "cuda" and not cuda.is_available():
        parser.error(
            f"argument --backend: CUDA is not available: {cuda.why_unavailable()}"
        )
    if options.output.suffix.lower() != ".png":
        parser.error("argument --output: must end in .png")
    if not options.output.absolute().parent.is_dir():
        parser.error("argument --output: must be in a folder that exists")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    """Train both networks, print their accuracies and save the figure."""
    options = parse_arguments(arguments)
    rpupy.set_num_threads(options.threads)
    networks = build_networks(options.device, options.seed)
    if options.backend == "cuda":
        for network in networks:
            network.move_to_gpu()
    train(
        networks,
        Digits.load(),
        options.epochs,
        options.batch_size,
        options.learning_rate,
        options.seed,
    )
    print(f"Test accuracy after epoch {options.epochs}:")
    for network in networks:
        print(f"  {network.name:22} {network.accuracies[-1]:6.2f} %")
    gap = networks[0].accuracies[-1] - networks[1].accuracies[-1]
    print(f"  {'gap':22} {gap:6.2f} percentage points")
    save_figure(options.output, networks, options.device, options.seed)
    print(f"Figure: {options.output}")


if __name__ == "__main__":
    main()
