"""What wires with resistance take from a product, and how good two approximations of it are.

    python examples/wire_resistance.py [--rows 64 256]

The exact loss comes from the nodal equations (rpupy.parasitics). The first table holds against it
the static model of `IOParameters.ir_drop`, which corrects a product by a polynomial of the total
current; the second one the ladder of `IOParametersIRDropT`, which lumps neighbouring rows into
segments. In both, bit lines have resistance and word lines have none.
"""

from __future__ import annotations

import argparse

import numpy as np

from rpupy.configs import IdealDevice, SingleRPUConfig
from rpupy.configs.utils import (
    BoundManagementType,
    IOParameters,
    IOParametersIRDropT,
    MappingParameter,
    NoiseManagementType,
)
from rpupy.parasitics import Crossbar, effective_weights
from rpupy.tiles import AnalogTile

OUTPUTS, VECTORS = 16, 64
#: No noise, no limits, no management.
QUIET = {
    "out_bound": -1.0,
    "out_noise": 0.0,
    "noise_management": NoiseManagementType.NONE,
    "bound_management": BoundManagementType.NONE,
}


def size(values: np.ndarray) -> float:
    """Root of the mean square."""
    return float(np.sqrt(np.mean(np.square(values))))


def tile_with(
    weights: np.ndarray, io: IOParameters, rows: int
) -> tuple[AnalogTile, np.ndarray]:
    """Build a tile with these weights; returns them as the tile holds them."""
    config = SingleRPUConfig(
        device=IdealDevice(), forward=io, mapping=MappingParameter(max_input_size=rows)
    )
    tile = AnalogTile(OUTPUTS, rows, config, rng=0)
    tile.set_weights(weights)
    tile.eval()
    return tile, tile.get_weights()[0].astype(float)


def static_loss(rows: int, signs: str) -> list[str]:
    """Compare the static model with the exact loss: 0.35 Ohm a segment, 5 uS a weight of 1."""
    rng = np.random.default_rng(rows)
    low = 0.0 if signs == "positive" else -1.0
    io = IOParameters(**QUIET, inp_bound=-1.0, ir_drop=1.0)
    tile, w = tile_with(rng.uniform(low, 1.0, (OUTPUTS, rows)), io, rows)
    x = rng.uniform(low, 1.0, (VECTORS, rows)).astype(np.float32)
    ideal = x @ w.T
    # The model has its output before input 0, the solver behind the last one.
    exact = x[:, ::-1] @ effective_weights(w[:, ::-1], g_max=5e-6, r_bit_line=0.35).T
    loss = size(exact - ideal)
    error = size(tile.forward(x) - exact)
    return [str(rows), signs, f"{loss / size(ideal):.2%}", f"{error / loss:.2f}"]


def ladder_loss(rows: int, segments: int) -> list[str]:
    """Compare the time-sliced ladder with the exact loss: 0.35 Ohm, 25 uS for a weight of 1."""
    rng = np.random.default_rng(rows)
    io = IOParametersIRDropT(
        **QUIET,
        inp_res=1 / 254,
        ir_drop_rs=0.35,
        ir_drop_segments=segments,
        ir_drop_v_read=0.4,
        ir_drop_integration_sum=True,
        adc_quantization=False,
    )
    weights = rng.uniform(-1.0, 1.0, (OUTPUTS, rows))
    weights[0, 0] = 1.0  # so that a weight of 1 has the largest conductance
    tile, w = tile_with(weights, io, rows)
    x = rng.integers(-127, 128, (VECTORS, rows)) / 127.0
    ideal = x @ w.T
    # Both conductances of a pair load the same bit line; even ones are read behind their last
    # row, odd ones before their first.
    effective = np.empty_like(w)
    for parity, order in ((0, slice(None)), (1, slice(None, None, -1))):
        loaded = Crossbar(25e-6 * np.abs(w[parity::2, order]), r_bit_line=0.35)
        currents = loaded.effective_conductances * np.sign(w[parity::2, order])
        effective[parity::2, order] = currents / 25e-6
    exact = x @ effective.T
    loss = size(exact - ideal)
    error = size(tile.forward(x) - exact)
    return [
        str(rows),
        str(segments),
        f"{loss / size(ideal):.2%}",
        f"{error / loss:.2f}",
    ]


def print_table(header: list[str], rows: list[list[str]]) -> None:
    """Print in the form that the docs use."""
    for cells in (header, ["---"] * len(header), *rows):
        print("| " + " | ".join(cells) + " |")
    print()


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="*", default=[64, 128, 256, 512])
    rows = parser.parse_args().rows
    last = ["loss / product", "error / loss"]
    print_table(
        ["rows", "weights and inputs", *last],
        [static_loss(n, signs) for signs in ("mixed", "positive") for n in rows],
    )
    print_table(
        ["rows", "segments", *last],
        [ladder_loss(n, k) for n in rows for k in (8, 32) if n % k == 0],
    )


if __name__ == "__main__":
    main()
