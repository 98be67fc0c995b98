"""The exact solver of wire resistance, beside badcrossbar called for one input after another.

    python benchmarks/bench_parasitics.py [--sizes 64 128 256] [--batches 1000]

`rpupy.parasitics.Crossbar` factorises an array once and then serves all inputs; its time here is
that of building, factorising and multiplying. badcrossbar (PyPI) solves its equations anew in each
call; its time is that of a few calls, times the number of inputs. Conductances are uniform in 1 to
10 uS, each segment of a wire has 1 Ohm, voltages are normal with 0.2 V.
"""

from __future__ import annotations

import logging
import time
import warnings

import sidebyside as side
import numpy as np

from rpupy.parasitics import Crossbar

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    try:
        from badcrossbar import compute as badcrossbar
    except ImportError:
        badcrossbar = None

CALLS = 3  # of badcrossbar, for each row of the table


def main() -> None:
    """Measure and print."""
    options = side.parser(__doc__.splitlines()[0])
    args = options.parse_args()
    side.announce(args.threads)
    logging.disable(logging.CRITICAL)
    if badcrossbar is None:
        print("badcrossbar is not installed: rpupy alone")
    rng = np.random.default_rng(7)
    rows = []
    for size in args.sizes or (64, 128, 256):
        g = rng.uniform(1e-6, 1e-5, (size, size))
        for inputs in args.batches or (1000,):
            voltages = rng.normal(0.0, 0.2, (inputs, size))
            started = time.process_time()
            crossbar = Crossbar(g, 1.0, 1.0)
            effective = crossbar.effective_conductances
            built = time.process_time()
            currents = crossbar.currents(voltages)
            end = time.process_time()
            spent = end - started
            assert effective.shape == (size, size)
            row = [
                str(size),
                str(inputs),
                f"{built - started:.3f}",
                f"{1e3 * (end - built):.2f}",
            ]
            if badcrossbar is None:
                row += ["-", "-", "-"]
            else:
                start = time.process_time()
                for v, expected in zip(voltages[:CALLS], currents, strict=False):
                    solved = badcrossbar(
                        v[:, None],
                        1 / g.T,
                        r_i=1.0,
                        node_voltages=False,
                        all_currents=False,
                    )
                    output = np.ravel(solved.currents.output)
                    error = np.abs(output - expected).max() / np.abs(expected).max()
                each = (time.process_time() - start) / CALLS
                row += [f"{each:.3f}", f"{error:.0e}", f"{each * inputs / spent:.0f}"]
            rows.append(row)
            print(" | ".join(row), flush=True)
    print()
    header = ["size", "inputs", "factorise, s", "multiply, ms"]
    header += ["badcrossbar, s a call", "difference", "badcrossbar / rpupy"]
    side.table(header, rows)


if __name__ == "__main__":
    main()
