"""The exact solver: against other solvers, against Kirchhoff, and by the laws of networks."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpupy.parasitics import Crossbar, effective_weights

pytest.importorskip("scipy")

GOLDEN = np.load(Path(__file__).parents[1] / "data" / "badcrossbar.npz")
CASES = sorted({name.split(".")[0] for name in GOLDEN.files})


def dense_solution(
    g, voltages, r_word_line, r_bit_line, drive_both_ends, sense_both_ends
):
    """Solve the nodal equations of one input, written down node by node."""
    out_size, in_size = g.shape
    n = out_size * in_size
    a, b = np.zeros((2 * n, 2 * n)), np.zeros(2 * n)

    def connect(one, other, conductance):
        a[one, one] += conductance
        if isinstance(other, float):
            b[one] += conductance * other
        else:
            a[one, other] -= conductance

    for i in range(out_size):
        for j in range(in_size):
            word = i * in_size + j
            bit = n + word
            connect(word, bit, g[i, j])
            connect(bit, word, g[i, j])
            for k, other, driven in ((i - 1, -in_size, True), (i + 1, in_size, False)):
                if 0 <= k < out_size:
                    connect(word, word + other, 1 / r_word_line)
                elif driven or drive_both_ends:
                    connect(word, float(voltages[j]), 1 / r_word_line)
            for k, other, sensed in ((j - 1, -1, False), (j + 1, 1, True)):
                if 0 <= k < in_size:
                    connect(bit, bit + other, 1 / r_bit_line)
                elif sensed or sense_both_ends:
                    connect(bit, 0.0, 1 / r_bit_line)
    nodes = np.linalg.solve(a, b)
    word, bit = nodes.reshape(2, out_size, in_size)
    return (g * (word - bit)).sum(axis=1), word, bit


@st.composite
def crossbars(draw, ideal_wires=True):
    shape = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    g = 10.0 ** rng.uniform(-6, -3, shape) * (rng.random(shape) > 0.2)
    resistances = [1e-2, 1.0, 50.0, 1e4] + [0.0] * ideal_wires
    wiring = {
        "r_word_line": draw(st.sampled_from(resistances)),
        "r_bit_line": draw(st.sampled_from(resistances)),
        "drive_both_ends": draw(st.booleans()),
        "sense_both_ends": draw(st.booleans()),
    }
    return g, wiring, rng.normal(size=(3, shape[1]))


@pytest.mark.parametrize("case", CASES)
def test_agrees_with_badcrossbar(case):
    resistances, voltages, wires, output, word_line = (
        GOLDEN[f"{case}.{name}"]
        for name in ("resistances", "voltages", "wires", "output", "word_line")
    )
    crossbar = Crossbar(1 / resistances.T, *wires)
    solution = crossbar.solve(voltages.T, nodes=True)
    np.testing.assert_allclose(solution.currents, output, rtol=1e-11, atol=1e-16)
    np.testing.assert_allclose(crossbar.currents(voltages.T), output, rtol=1e-11)
    expected = np.reshape(word_line, (*resistances.shape, -1)).transpose(2, 1, 0)
    np.testing.assert_allclose(solution.word_line_voltages, expected, rtol=1e-11)


@given(crossbars(ideal_wires=False))
def test_agrees_with_equations_written_node_by_node(given_crossbar):
    g, wiring, voltages = given_crossbar
    solution = Crossbar(g, **wiring).solve(voltages, nodes=True)
    for b, v in enumerate(voltages):
        currents, word, bit = dense_solution(g, v, **wiring)
        scale = np.abs(v).max()
        tolerance = {"rtol": 1e-8, "atol": 1e-9 * scale}
        np.testing.assert_allclose(solution.word_line_voltages[b], word, **tolerance)
        np.testing.assert_allclose(solution.bit_line_voltages[b], bit, **tolerance)
        np.testing.assert_allclose(
            solution.currents[b], currents, rtol=1e-8, atol=1e-9 * scale * g.max()
        )


@given(crossbars())
def test_effective_conductances_are_all_there_is_to_know(given_crossbar):
    g, wiring, voltages = given_crossbar
    crossbar = Crossbar(g, **wiring)
    solution = crossbar.solve(voltages)
    scale = np.abs(voltages).max() * max(g.max(), 1e-12)
    np.testing.assert_allclose(
        crossbar.currents(voltages), solution.currents, rtol=1e-9, atol=1e-9 * scale
    )
    effective = crossbar.effective_conductances
    # Wires only take away: no entry is negative, none above its own conductance.
    assert (effective >= -1e-12 * g.max()).all()
    assert (effective.sum(axis=0) <= g.sum(axis=0) * (1 + 1e-9)).all()
    # Kirchhoff: relative to the conductance of a segment, as rounding is.
    wires = [r for r in (wiring["r_word_line"], wiring["r_bit_line"]) if r > 0.0]
    assert (
        solution.residual
        <= 1e-13 * np.abs(voltages).max() * (4 / min(wires, default=1e9) + 10 * g.max())
    ).all()


@given(crossbars())
def test_rows_of_an_array_are_columns_of_its_transpose(given_crossbar):
    # Swapping the kinds of wires swaps the ends at which they are connected, too: word lines
    # are driven before output 0, bit lines are sensed behind the last input.
    g, wiring, _ = given_crossbar
    swapped = Crossbar(
        g[::-1, ::-1].T,
        wiring["r_bit_line"],
        wiring["r_word_line"],
        wiring["sense_both_ends"],
        wiring["drive_both_ends"],
    )
    np.testing.assert_allclose(
        Crossbar(g, **wiring).effective_conductances,
        swapped.effective_conductances.T[::-1, ::-1],
        rtol=1e-8,
        atol=1e-12 * max(g.max(), 1e-12),
    )


def test_ideal_wires_give_the_plain_product():
    g = np.random.default_rng(1).uniform(size=(3, 4))
    crossbar = Crossbar(g)
    np.testing.assert_allclose(crossbar.effective_conductances, g, rtol=1e-15)
    assert crossbar.solve(np.ones(4)).residual == 0.0


def test_one_device_is_a_series_of_resistors():
    # 1 kOhm, and one segment of either wire.
    assert Crossbar([[1e-3]], 10.0, 20.0).currents([1.0]) == pytest.approx(1 / 1030)
    # A device that ends nowhere else: both ends are in parallel.
    both = Crossbar([[1e-3]], 10.0, 20.0, drive_both_ends=True, sense_both_ends=True)
    assert both.currents([1.0]) == pytest.approx(1 / 1015)


def test_a_ladder_of_equal_devices():
    # Only the bit line has resistance: G(n) of a ladder follows a recursion.
    g, r, n = 2e-4, 30.0, 7
    ladder = 0.0
    for _ in range(n):
        ladder = 1 / (1 / (ladder + g) + r)
    assert Crossbar(np.full((1, n), g), r_bit_line=r).currents(np.ones(n)) == (
        pytest.approx(ladder)
    )


def test_more_connected_ends_lose_less():
    g = np.random.default_rng(2).uniform(1e-5, 1e-4, (6, 5))
    sums = [
        Crossbar(g, 5.0, 5.0, drive, sense).effective_conductances.sum()
        for drive, sense in ((False, False), (True, False), (True, True))
    ]
    assert sums[0] < sums[1] < sums[2] < g.sum()


def test_shapes_of_batches():
    crossbar = Crossbar(np.full((2, 3), 1e-3), 1.0, 1.0)
    voltages = np.random.default_rng(3).normal(size=(4, 5, 3))
    solution = crossbar.solve(voltages, nodes=True)
    assert solution.currents.shape == (4, 5, 2)
    assert solution.residual.shape == (4, 5)
    assert solution.word_line_voltages.shape == (4, 5, 2, 3)
    assert crossbar.currents(voltages).shape == (4, 5, 2)
    assert crossbar.solve(voltages[0, 0]).currents.shape == (2,)
    assert crossbar.solve(np.empty((0, 3))).currents.shape == (0, 2)


def test_effective_weights():
    rng = np.random.default_rng(4)
    w = rng.uniform(-1, 1, (4, 6))
    wiring = {"r_word_line": 2e3, "r_bit_line": 1e3}
    found = effective_weights(w, g_max=5e-6, w_max=1.0, **wiring)
    plus = Crossbar(np.maximum(w, 0) * 5e-6, **wiring).effective_conductances
    minus = Crossbar(np.maximum(-w, 0) * 5e-6, **wiring).effective_conductances
    np.testing.assert_allclose(found, (plus - minus) / 5e-6, rtol=1e-12)
    # A sign for all is a sign for all: the two arrays are alike.
    np.testing.assert_allclose(effective_weights(-w, 5e-6, **wiring), -found)
    np.testing.assert_allclose(effective_weights(w, 5e-6), w, rtol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([[1.0, -1.0]],), ValueError, r"conductances must be at least 0, got -1"),
        (([1.0],), ValueError, r"conductances must have shape \(out, in\), got \(1,\)"),
        ((np.empty((0, 3)),), ValueError, "conductances must have shape"),
        (([[np.nan]],), ValueError, "conductances must be finite"),
        (([["a"]],), TypeError, "conductances must be an array of real numbers"),
        (([[1.0]], -1.0), ValueError, "r_word_line must be at least 0, got -1"),
        (([[1.0]], 0.0, np.inf), ValueError, "r_bit_line must be finite"),
        (([[1.0]], 0.0, [1.0]), TypeError, "r_bit_line must be one number"),
        (([[1.0]], 0.0, 0.0, 1), TypeError, "drive_both_ends must be True or False"),
        (([[1.0]], 0.0, 0.0, True, None), TypeError, "sense_both_ends must be True or"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        Crossbar(*arguments)


def test_bad_calls():
    crossbar = Crossbar(np.ones((2, 3)))
    for call in (crossbar.currents, crossbar.solve):
        with pytest.raises(ValueError, match=r"voltages must have shape \(\.\.\., 3\)"):
            call(np.ones(2))
        with pytest.raises(ValueError, match="voltages must be finite"):
            call([1.0, np.nan, 0.0])
    with pytest.raises(ValueError, match="g_max must be above 0, got 0"):
        effective_weights([[1.0]], 0.0)
    with pytest.raises(ValueError, match="read-only"):
        crossbar.effective_conductances[0, 0] = 1.0


def test_scipy_is_an_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.linalg.lapack", None)
    assert Crossbar([[1.0]]).currents([1.0]) == 1.0  # nothing to solve
    with pytest.raises(ImportError, match=r"rpupy\[parasitics\]"):
        Crossbar([[1.0]], 1.0)
