"""Writes badcrossbar.npz: currents and voltages of small crossbars, solved by badcrossbar.

badcrossbar (https://pypi.org/project/badcrossbar) is a solver by other authors (Joksas &
Mehonic, SoftwareX 12, 2020, doi:10.1016/j.softx.2020.100617). The first case is the example of
its documentation; the others have its conventions: resistances (word lines, bit lines), voltages
(word lines, vectors), interconnects of either kind.
"""

from pathlib import Path

import badcrossbar
import numpy as np

EXAMPLE = [
    [345, 903, 755, 257, 646],
    [652, 401, 508, 166, 454],
    [442, 874, 190, 244, 635],
]


def cases():
    yield np.array(EXAMPLE, dtype=float), np.array([[1.5], [2.3], [1.7]]), 0.5, 0.5
    rng = np.random.default_rng(20201)
    for shape, r_word_line, r_bit_line in (
        ((5, 3), 0.5, 0.25),
        ((4, 7), 0.0, 2.0),
        ((6, 4), 3.0, 0.0),
        ((1, 5), 10.0, 1.0),
        ((5, 1), 1.0, 10.0),
        ((8, 8), 100.0, 200.0),
    ):
        resistances = rng.uniform(100.0, 1000.0, shape)
        yield resistances, rng.normal(size=(shape[0], 3)), r_word_line, r_bit_line


arrays = {}
for number, (resistances, voltages, r_word_line, r_bit_line) in enumerate(cases()):
    solved = badcrossbar.compute(
        voltages, resistances, r_i_word_line=r_word_line, r_i_bit_line=r_bit_line
    )
    arrays |= {
        f"{number}.resistances": resistances,
        f"{number}.voltages": voltages,
        f"{number}.wires": np.array([r_word_line, r_bit_line]),
        f"{number}.output": np.asarray(solved.currents.output),
        f"{number}.word_line": np.asarray(solved.voltages.word_line),
    }
np.savez_compressed(Path(__file__).with_name("badcrossbar.npz"), **arrays)
