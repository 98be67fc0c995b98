"""Watch unit cells and compounds learn: hidden weights, buffers and choppers over time.

Each panel is one tile of 2 outputs and 4 inputs that learns a linear regression, one
vector after the other, and shows what is inside one of its crosspoints. The weights that
products see are black, the target is a dotted line. docs/compounds.md explains what each
cell does; the configurations below are written as in the guide of the reference library.

Run it with ``python compounds.py``; ``--help`` lists the options.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rpupy.configs import (
    DigitalRankUpdateRPUConfig,
    IOManagedRPUConfig,
    UnitCellRPUConfig,
)
from rpupy.configs.compounds import (
    BufferedTransferCompound,
    ChoppedTransferCompound,
    DynamicTransferCompound,
)
from rpupy.configs.devices import (
    ConstantStepDevice,
    LinearStepDevice,
    MixedPrecisionCompound,
    OneSidedUnitCell,
    ReferenceUnitCell,
    SoftBoundsDevice,
    TransferCompound,
    VectorUnitCell,
)
from rpupy.configs.utils import VectorUnitCellUpdatePolicy
from rpupy.presets import TikiTakaEcRamPreset
from rpupy.tiles import AnalogTile

try:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
except ImportError as error:
    raise SystemExit(
        f'{error}\nThis example needs more than rpupy itself: pip install ".[plot]"'
    ) from None

Floats = NDArray[np.float32]

# ---- configurations ------------------------------------------------------------------


def vector_cell() -> UnitCellRPUConfig:
    """Join three devices of different kinds; each vector goes to one, drawn at random."""
    rpu_config = UnitCellRPUConfig()
    rpu_config.device = VectorUnitCell(
        unit_cell_devices=[
            ConstantStepDevice(dw_min=0.01),
            LinearStepDevice(dw_min=0.01, w_max_dtod=0.4),
            SoftBoundsDevice(dw_min=0.01),
        ]
    )
    rpu_config.device.update_policy = VectorUnitCellUpdatePolicy.SINGLE_RANDOM
    rpu_config.device.gamma_vec = [1.0, 1.0, 1.0]
    return rpu_config


def reference_cell() -> UnitCellRPUConfig:
    """Subtract a second device, which does not learn."""
    return UnitCellRPUConfig(
        device=ReferenceUnitCell(
            unit_cell_devices=[SoftBoundsDevice(dw_min=0.01), SoftBoundsDevice()]
        )
    )


def one_sided_cell() -> UnitCellRPUConfig:
    """Join two devices that only go up, and refresh them when both are high."""
    return UnitCellRPUConfig(
        device=OneSidedUnitCell(
            unit_cell_devices=[SoftBoundsDevice(dw_min=0.01)],
            refresh_every=50,
            refresh_upper_thres=0.5,
            refresh_lower_thres=0.25,
        )
    )


def ttv1() -> UnitCellRPUConfig:
    """Move a fast array to a slow one: tiki-taka."""
    rpu_config = UnitCellRPUConfig(
        device=TransferCompound(
            unit_cell_devices=[
                SoftBoundsDevice(w_min=-0.3, w_max=0.3, dw_min=0.01),
                SoftBoundsDevice(w_min=-0.6, w_max=0.6, dw_min=0.01),
            ],
            units_in_mbatch=True,  # one vector is a mini-batch here
            transfer_every=2,  # a transfer every second mini-batch
            n_cols_per_transfer=1,  # of one column
            gamma=0.0,  # products see the slow array alone
            scale_transfer_lr=True,  # transfer_lr is a factor on the learning rate
            transfer_lr=1.0,
        )
    )
    rpu_config.forward.inp_res = 1 / 64.0  # a DAC of 6 bit
    # Transfers read and write as training does.
    rpu_config.device.transfer_forward = rpu_config.forward
    rpu_config.device.transfer_update = rpu_config.update
    return rpu_config


def ttv2() -> UnitCellRPUConfig:
    """Put a digital buffer between them."""
    return UnitCellRPUConfig(
        device=BufferedTransferCompound(
            unit_cell_devices=[
                SoftBoundsDevice(dw_min=0.01),
                SoftBoundsDevice(dw_min=0.01),
            ],
            transfer_every=2,  # a transfer every second mini-batch
            momentum=0.1,  # what stays in the buffer behind a transfer
        )
    )


def ttv3() -> UnitCellRPUConfig:
    """Add choppers."""
    return UnitCellRPUConfig(
        device=ChoppedTransferCompound(
            unit_cell_devices=[
                SoftBoundsDevice(dw_min=0.01),
                SoftBoundsDevice(dw_min=0.01),
            ],
            transfer_every=1,  # a transfer for each vector
            in_chop_prob=0.05,  # of a flip behind each read
            buffer_granularity=20,  # what is read adds up to a pulse in a few reads
        )
    )


def ttv4() -> UnitCellRPUConfig:
    """Estimate the reference on the fly, from the reads themselves."""
    return UnitCellRPUConfig(
        device=DynamicTransferCompound(
            unit_cell_devices=[
                SoftBoundsDevice(dw_min=0.01),
                SoftBoundsDevice(dw_min=0.01),
            ],
            transfer_every=1,  # a transfer for each vector
            in_chop_prob=0.05,  # a flip every 20 reads
            buffer_granularity=20,  # what is read adds up to a pulse in a few reads
        )
    )


def mixed_precision() -> DigitalRankUpdateRPUConfig:
    """Add up gradients in a digital matrix."""
    return DigitalRankUpdateRPUConfig(
        device=MixedPrecisionCompound(
            device=SoftBoundsDevice(dw_min=0.01),
            granularity=0.01,
            n_x_bins=0,  # inputs of the digital update are not quantised
            n_d_bins=0,  # nor are errors
        )
    )


# ---- learning ------------------------------------------------------------------------

STEPS = 800
#: Vectors between two readings.
BETWEEN = 2
#: Outputs and inputs, and the weights to be learned.
SHAPE = (2, 4)
TARGET = np.array([[0.3, -0.25, 0.1, 0.2], [-0.15, 0.25, -0.3, 0.05]], dtype=np.float32)


def learn(
    config: IOManagedRPUConfig, learning_rate: float, seed: int
) -> dict[str, Floats]:
    """Train a tile, and record its crosspoints every second vector.

    Parameters
    ----------
    config : IOManagedRPUConfig
        What each crosspoint has.
    learning_rate : float
        Learning rate.
    seed : int
        Decides the devices and the inputs.

    Returns
    -------
    dict of str to ndarray of float32, shape (readings, out, in)
        The effective weights, under the name ``"weights"``, and the hidden parameters
        that move.
    """
    rng = np.random.default_rng(seed)
    tile = AnalogTile(*SHAPE, config, rng=rng)
    tile.set_learning_rate(learning_rate)
    if isinstance(config.device, ReferenceUnitCell):
        # Devices are written one at a time: first the reference, then the one that learns.
        tile.set_hidden_update_index(1)
        tile.set_weights(np.full(SHAPE, 0.1))
        tile.set_hidden_update_index(0)
    tile.set_weights(np.zeros(SHAPE))
    record: dict[str, list[Floats]] = {}
    for step in range(STEPS):
        x = rng.normal(size=(1, SHAPE[1]))
        error = tile.forward(x) - x @ TARGET.T
        tile.update(x, error)
        tile.post_update_step()
        if step % BETWEEN:
            continue
        seen = {"weights": tile.get_weights()[0], **tile.get_hidden_parameters()}
        for name, values in seen.items():
            if "weight" in name:
                record.setdefault(name, []).append(values)
    return {name: np.array(values) for name, values in record.items()}


# ---- the figure ----------------------------------------------------------------------

BLUE, ORANGE, GREEN, PINK = "#0072b2", "#d55e00", "#009e73", "#cc79a7"


@dataclass(frozen=True)
class Panel:
    """One tile: its configuration, and the lines of its crosspoint."""

    title: str
    config: Callable[[], Any]
    learning_rate: float
    #: Name of a hidden parameter -> label.
    lines: dict[str, str]
    #: The same for lines in units of their own, on an axis to the right.
    right: dict[str, str]
    #: Label of what products see.
    weight: str = "weight $W$"


SLOW = "slow $C$ = weight $W$"
TRANSFER = {"hidden_weights_0": "fast $A$"}
PANELS = [
    Panel(
        "VectorUnitCell",
        vector_cell,
        0.1,
        {f"hidden_weights_{k}": f"$W_{k}$" for k in range(3)},
        {},
    ),
    Panel(
        "ReferenceUnitCell",
        reference_cell,
        0.05,
        {"hidden_weights_0": "$W_0$", "hidden_weights_1": "reference $W_1$"},
        {},
    ),
    Panel(
        "OneSidedUnitCell",
        one_sided_cell,
        0.1,
        {"hidden_weights_1": "$W_1$ (raises)", "hidden_weights_0": "$W_0$ (lowers)"},
        {},
    ),
    Panel(
        "MixedPrecisionCompound",
        mixed_precision,
        0.02,
        {},
        {"hidden_weights_chi": r"gradient $\chi$"},
    ),
    Panel("TransferCompound (TTv1)", ttv1, 0.1, TRANSFER, {}, SLOW),
    Panel(
        "BufferedTransferCompound (TTv2)",
        ttv2,
        0.1,
        TRANSFER,
        {"buffered_FP_weight_0": "buffer $H$ (weight)"},
        SLOW,
    ),
    Panel(
        "ChoppedTransferCompound (TTv3)",
        ttv3,
        0.1,
        TRANSFER,
        {"buffered_FP_weight_0": "buffer $H$ (pulses)"},
        SLOW,
    ),
    Panel(
        "DynamicTransferCompound (TTv4)",
        ttv4,
        0.1,
        {
            **TRANSFER,
            "running_mean_weight": r"mean $\mu$",
            "past_mean_weight": r"past mean $\mu_p$",
        },
        {"buffered_FP_weight": "buffer $H$ (pulses)"},
        SLOW,
    ),
]


def draw_panel(axes: Axes, panel: Panel, seed: int) -> None:
    """Train the tile of a panel, and draw its first crosspoint."""
    record = learn(panel.config(), panel.learning_rate, seed)
    steps = np.arange(1, STEPS + 1, BETWEEN)
    colours = [ORANGE, BLUE, GREEN, PINK]
    axes.axhline(TARGET[0, 0], color="black", ls=":", lw=1, label="target")
    for (name, label), colour in zip(panel.lines.items(), colours, strict=False):
        axes.plot(steps, record[name][:, 0, 0], color=colour, lw=1, label=label)
    axes.plot(
        steps, record["weights"][:, 0, 0], color="black", lw=1.4, label=panel.weight
    )
    axes.set_title(panel.title)
    for name, label in panel.right.items():
        other = axes.twinx()
        other.plot(steps, record[name][:, 0, 0], color="#777777", lw=0.6, alpha=0.8)
        other.set_ylabel(label, color="#555555")
        other.set_zorder(0)
        axes.set_zorder(1)
        axes.patch.set_visible(False)
    axes.legend(fontsize="x-small", loc="best", framealpha=0.7)


def draw(seed: int = 0) -> Figure:
    """Draw all panels.

    Parameters
    ----------
    seed : int
        Seed of all devices and inputs.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = Figure(figsize=(16, 7), layout="constrained")
    grid = figure.subplots(2, 4)
    for axes, panel in zip(grid.flat, PANELS, strict=True):
        draw_panel(axes, panel, seed)
    for axes in grid[1]:
        axes.set_xlabel("vectors")
    for axes in grid[:, 0]:
        axes.set_ylabel("weight")
    return figure


# ---- the command ---------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the options, print a tile, train all of them and write the figure."""
    parser = argparse.ArgumentParser(
        description="Draw what is inside unit cells and compounds while they learn.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--seed", type=int, default=0, help="decides all numbers")
    parser.add_argument(
        "--output", type=Path, default="compounds.png", help="PNG file to write"
    )
    options = parser.parse_args(arguments)
    if options.seed < 0:
        parser.error("argument --seed: must be at least 0")
    if options.output.suffix.lower() != ".png":
        parser.error("argument --output: must end in .png")
    if not options.output.absolute().parent.is_dir():
        parser.error("argument --output: must be in a folder that exists")
    # A preset has device, algorithm and all settings in one name.
    print(AnalogTile(10, 20, rpu_config=TikiTakaEcRamPreset(), rng=options.seed))
    draw(options.seed).savefig(options.output, dpi=80)
    print(f"Figure: {options.output}")


if __name__ == "__main__":
    main()
