"""Compare training algorithms on devices with few states.

Two tasks, a linear regression and the network of train_digits.py, are learned by plain
stochastic gradient descent (SGD), by tiki-taka in its versions 1 to 4, and by mixed
precision, all on the same soft-bounds devices with 20 states. Such a step is small near
the bound that it leads to and large away from it, so that pulses pull each weight to its
symmetry point, where steps up and down are equal. Two kinds of device are compared: with
symmetry points near 0, and with symmetry points that differ from device to device
(``up_down_dtod``). docs/compounds.md has the figure and discusses it.

Run it with ``python compare_algorithms.py`` for a short run of seconds, and with
``--full`` for what the figure in the documentation shows, in a few minutes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from train_digits import Digits, Layer, Network, initial_weights

from rpupy.configs import (
    BufferedTransferCompound,
    ChoppedTransferCompound,
    DigitalRankUpdateRPUConfig,
    DynamicTransferCompound,
    IOManagedRPUConfig,
    MixedPrecisionCompound,
    SingleRPUConfig,
    SoftBoundsDevice,
    TransferCompound,
    UnitCellRPUConfig,
)
from rpupy.tiles import AnalogTile

try:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
except ImportError as error:
    raise SystemExit(
        f'{error}\nThis example needs more than rpupy itself: pip install ".[examples]"'
    ) from None

Losses = NDArray[np.float64]

# ---- devices and algorithms ----------------------------------------------------------

#: Spread of the difference between steps up and down, and what it makes of devices.
SPREADS = {0.01: "symmetry points near 0", 0.3: "symmetry points that differ"}


def device(n_states: int, spread: float) -> SoftBoundsDevice:
    """Build a device with that many steps from bound to bound."""
    return SoftBoundsDevice(
        dw_min=2 / n_states, w_min=-1.0, w_max=1.0, up_down_dtod=spread
    )


def sgd(n_states: int, spread: float) -> SingleRPUConfig:
    """Send pulses to the weights themselves."""
    return SingleRPUConfig(device=device(n_states, spread))


def transfer(
    cls: type[TransferCompound], n_states: int, spread: float, **fields: Any
) -> UnitCellRPUConfig:
    """Send pulses to a fast array, which is moved to a slow one of the same devices."""
    devices = [device(n_states, spread) for _ in range(2)]
    return UnitCellRPUConfig(device=cls(unit_cell_devices=devices, **fields))


def ttv1(n_states: int, spread: float) -> UnitCellRPUConfig:
    """Move a column of the fast array for each mini-batch: tiki-taka."""
    return transfer(TransferCompound, n_states, spread)


def ttv2(n_states: int, spread: float) -> UnitCellRPUConfig:
    """Add a buffer, and let the fast array learn as fast as its trains allow."""
    return transfer(BufferedTransferCompound, n_states, spread, scale_fast_lr=False)


def chopping(n_states: int) -> dict[str, Any]:
    """Set what TTv3 and TTv4 share.

    A chopper has to stay long enough for the fast array to cross its range, and the
    buffer holds 200 reads of a slice at full range.
    """
    return {
        "fast_lr": 0.5,
        "auto_scale": True,
        "auto_granularity": 200.0,
        "in_chop_prob": max(2 / n_states, 0.01),
    }


def ttv3(n_states: int, spread: float) -> UnitCellRPUConfig:
    """Add a buffer and choppers."""
    return transfer(ChoppedTransferCompound, n_states, spread, **chopping(n_states))


def ttv4(n_states: int, spread: float) -> UnitCellRPUConfig:
    """Add a buffer, choppers, and a reference that is estimated on the fly."""
    return transfer(DynamicTransferCompound, n_states, spread, **chopping(n_states))


def mixed_precision(n_states: int, spread: float) -> DigitalRankUpdateRPUConfig:
    """Add up gradients digitally, and write what is worth a pulse."""
    return DigitalRankUpdateRPUConfig(
        device=MixedPrecisionCompound(device=device(n_states, spread))
    )


@dataclass(frozen=True)
class Algorithm:
    """How a line of the figure is made."""

    name: str
    config: Callable[[int, float], IOManagedRPUConfig]
    #: Learning rates of the regression and of the digits. They, and the settings above,
    #: were chosen from a grid on seeds that are not used here, for SGD too.
    regression_rate: float
    digits_rate: float
    colour: str


ALGORITHMS = [
    Algorithm("SGD", sgd, 0.01, 0.1, "#777777"),
    Algorithm("TTv1", ttv1, 0.1, 0.5, "#e69f00"),
    Algorithm("TTv2", ttv2, 0.03, 0.5, "#56b4e9"),
    Algorithm("TTv3", ttv3, 0.03, 0.1, "#009e73"),
    Algorithm("TTv4", ttv4, 0.03, 0.1, "#d55e00"),
    Algorithm("mixed precision", mixed_precision, 0.03, 0.5, "#000000"),
]

# ---- tasks ---------------------------------------------------------------------------

#: Outputs, inputs, vectors in a mini-batch, and mini-batches between two readings.
REGRESSION = (8, 16, 8, 50)
BATCH_SIZE = 10
#: Where the largest initial weight of the network lies on the array.
OMEGA = 0.3
LEARNING_RATE_DECAY = 0.85


def regression(
    algorithm: Algorithm, n_states: int, spread: float, seed: int, readings: int
) -> Losses:
    """Learn the weights of a linear map from noise-free examples.

    Parameters
    ----------
    algorithm : Algorithm
        How to learn.
    n_states : int
        Steps from bound to bound.
    spread : float
        `up_down_dtod` of the devices.
    seed : int
        Decides the map, the inputs and the devices.
    readings : int
        Number of losses, one for 50 mini-batches.

    Returns
    -------
    ndarray of float64, shape (readings,)
        Expected squared error of an output of an exact product with the weights.
    """
    out_size, in_size, batch, between = REGRESSION
    rng = np.random.default_rng(seed)
    target = rng.uniform(-0.4, 0.4, (out_size, in_size))
    config = algorithm.config(n_states, spread)
    tile = AnalogTile(out_size, in_size, config, rng=rng)
    tile.set_weights(np.zeros((out_size, in_size)))
    tile.set_learning_rate(algorithm.regression_rate)
    losses = []
    for _ in range(readings):
        for _ in range(between):
            x = rng.normal(size=(batch, in_size))
            error = tile.forward(x) - x @ target.T
            tile.update(x, error / batch)
            tile.post_update_step()
        # Inputs are independent and have a variance of one.
        losses.append(((tile.get_weights()[0] - target) ** 2).sum() / out_size)
    return np.array(losses)


def digits(
    algorithm: Algorithm, n_states: int, spread: float, seed: int, readings: int
) -> Losses:
    """Train the network of train_digits.py.

    Parameters are those of `regression`.

    Returns
    -------
    ndarray of float64, shape (readings,)
        Mean cross-entropy in each epoch.
    """
    data = Digits.load()
    rng = np.random.default_rng(seed)
    layers = []
    for weight in initial_weights(rng):
        config = algorithm.config(n_states, spread)
        config.mapping.weight_scaling_omega = OMEGA
        tile = AnalogTile(*weight.shape, config, bias=True, rng=rng)
        tile.set_weights(weight)
        layers.append(Layer(tile, is_last=len(layers) == 1))
    network = Network(algorithm.name, (layers[0], layers[1]))
    learning_rate = algorithm.digits_rate
    n_images = len(data.y_train)
    for _ in range(readings):
        loss = 0.0
        order = rng.permutation(n_images)
        for start in range(0, n_images, BATCH_SIZE):
            batch = order[start : start + BATCH_SIZE]
            x, labels = data.x_train[batch], data.y_train[batch]
            loss += network.train_batch(x, labels, learning_rate)
        network.losses.append(loss / n_images)
        learning_rate *= LEARNING_RATE_DECAY
    return np.array(network.losses)


@dataclass(frozen=True)
class Task:
    """What is learned, and how its losses are counted."""

    name: str
    run: Callable[[Algorithm, int, float, int, int], Losses]
    #: Readings of a short and of a full run; how many of the last ones make the result.
    readings: tuple[int, int]
    last: int
    #: Steps in one reading, and what they are.
    per_reading: int
    unit: str
    loss: str


TASKS = [
    Task(
        "Linear regression", regression, (16, 80), 10, 50, "mini-batches", "mean error²"
    ),
    Task("Digits", digits, (1, 10), 1, 1, "epoch", "mean cross-entropy"),
]

# ---- the figure ----------------------------------------------------------------------

N_STATES = 20
#: States of the third column, in a short and in a full run.
STATES = ((20,), (20, 50, 100, 200, 500))


def mean_losses(
    task: Task, algorithm: Algorithm, n_states: int, spread: float, full: bool
) -> Losses:
    """Average the losses of some seeds, in a geometric mean."""
    seeds = range(3 if full else 1)
    readings = task.readings[full]
    runs = [task.run(algorithm, n_states, spread, seed, readings) for seed in seeds]
    return np.exp(np.mean(np.log(runs), axis=0))


def result(task: Task, losses: Losses) -> float:
    """Average the last readings."""
    return float(losses[-task.last :].mean())


def draw_row(row: Sequence[Axes], task: Task, full: bool) -> None:
    """Run all algorithms on a task, draw their losses and print the last ones."""
    ends: dict[tuple[str, int], float] = {}
    for axes, (spread, title) in zip(row, SPREADS.items(), strict=False):
        print(f"{task.name}, {N_STATES} states, {title}: {task.loss} in the end")
        for algorithm in ALGORITHMS:
            losses = mean_losses(task, algorithm, N_STATES, spread, full)
            steps = task.per_reading * np.arange(1, len(losses) + 1)
            axes.semilogy(steps, losses, color=algorithm.colour, label=algorithm.name)
            end = result(task, losses)
            print(f"  {algorithm.name:16} {end:.4f}")
            ends.setdefault((algorithm.name, N_STATES), end)
        axes.set(title=f"{task.name}: {title}", xlabel=task.unit, ylabel=task.loss)
    axes = row[-1]
    first = next(iter(SPREADS))
    for algorithm in ALGORITHMS:
        for n_states in STATES[full]:
            if (algorithm.name, n_states) not in ends:
                losses = mean_losses(task, algorithm, n_states, first, full)
                ends[algorithm.name, n_states] = result(task, losses)
        losses = [ends[algorithm.name, n_states] for n_states in STATES[full]]
        axes.loglog(STATES[full], losses, "o-", ms=3.5, color=algorithm.colour)
    axes.set(title="In the end, " + SPREADS[first], xlabel="states", ylabel=task.loss)
    axes.set_xticks(STATES[full], [str(n_states) for n_states in STATES[full]])
    axes.minorticks_off()
    for axes in row:
        axes.grid(alpha=0.3)


def draw(full: bool = False) -> Figure:
    """Run everything and draw it.

    Parameters
    ----------
    full : bool
        Take the time for long runs, with several seeds.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = Figure(figsize=(15, 7.5), layout="constrained")
    grid = figure.subplots(2, 3)
    for row, task in zip(grid, TASKS, strict=True):
        draw_row(row, task, full)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(ALGORITHMS))
    return figure


# ---- the command ---------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the options, run everything and write the figure."""
    parser = argparse.ArgumentParser(
        description="Compare training algorithms on devices with few states.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--full", action="store_true", help="long runs, three seeds")
    parser.add_argument(
        "--output", type=Path, default="compare_algorithms.png", help="PNG file"
    )
    options = parser.parse_args(arguments)
    if options.output.suffix.lower() != ".png":
        parser.error("argument --output: must end in .png")
    if not options.output.absolute().parent.is_dir():
        parser.error("argument --output: must be in a folder that exists")
    draw(options.full).savefig(options.output, dpi=80)
    print(f"Figure: {options.output}")


if __name__ == "__main__":
    main()
