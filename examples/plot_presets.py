"""Draw how the ten preset devices answer to pulses, all in one figure.

Each panel shows three devices of a kind under pulses up, as many down, and the same
again, and as a broken line a device without any spread or noise. What is drawn are the
weights that products see, with the error of reading them where the device has one.

Run it with ``python plot_presets.py``; ``--help`` lists the options.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rpupy import presets
from rpupy.visualization import plot_device_compact

try:
    from matplotlib.figure import Figure
    from matplotlib.legend_handler import HandlerTuple
except ImportError as error:
    raise SystemExit(
        f'{error}\nThis example needs more than rpupy itself: pip install ".[plot]"'
    ) from None

#: Title of the panel, device, and pulses in each direction; None: what the range holds.
PANELS = [
    ("ReRAM, exponential step", presets.ReRamESPresetDevice, None),
    ("ReRAM, soft bounds", presets.ReRamSBPresetDevice, None),
    ("ReRAM array, optimised material", presets.ReRamArrayOMPresetDevice, 100),
    ("ReRAM array, HfO2", presets.ReRamArrayHfO2PresetDevice, 50),
    ("PCM (one of a pair)", presets.PCMPresetDevice, 200),
    ("Capacitor", presets.CapacitorPresetDevice, None),
    ("ECRAM, lithium", presets.EcRamPresetDevice, None),
    ("ECRAM, metal oxide", presets.EcRamMOPresetDevice, None),
    ("Gokmen and Vlasov", presets.GokmenVlasovPresetDevice, None),
    ("Idealised", presets.IdealizedPresetDevice, None),
]


def draw(seed: int = 0) -> Figure:
    """Draw all panels.

    Parameters
    ----------
    seed : int
        Seed of all devices.

    Returns
    -------
    matplotlib.figure.Figure
    """
    rng = np.random.default_rng(seed)
    figure = Figure(figsize=(15, 6.2), layout="constrained")
    grid = figure.subplots(2, 5)
    for axes, (title, preset, n_steps) in zip(grid.flat, PANELS, strict=True):
        plot_device_compact(
            preset(), n_steps=n_steps, n_traces=3, n_loops=2, axes=axes, rng=rng
        )
        axes.set_title(title)
        axes.get_legend().remove()
        axes.ticklabel_format(axis="x", style="plain")
        axes.locator_params(axis="x", nbins=4)
    for axes in grid[0]:
        axes.set_xlabel("")
    for axes in grid[:, 1:].flat:
        axes.set_ylabel("")
    *devices, nominal = grid[0, 0].get_lines()
    figure.legend(
        [tuple(devices), nominal],
        ["three devices", "a device without spread and noise"],
        handler_map={tuple: HandlerTuple(ndivide=None)},
        handlelength=4,
        loc="outside lower center",
        ncols=2,
    )
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the options, draw the figure and write it to a file."""
    parser = argparse.ArgumentParser(
        description="Draw how the ten preset devices answer to pulses.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--seed", type=int, default=0, help="decides all devices")
    parser.add_argument(
        "--output", type=Path, default="plot_presets.png", help="PNG file to write"
    )
    options = parser.parse_args(arguments)
    if options.seed < 0:
        parser.error("argument --seed: must be at least 0")
    if options.output.suffix.lower() != ".png":
        parser.error("argument --output: must end in .png")
    if not options.output.absolute().parent.is_dir():
        parser.error("argument --output: must be in a folder that exists")
    draw(options.seed).savefig(options.output, dpi=80)
    print(f"Figure: {options.output}")


if __name__ == "__main__":
    main()
