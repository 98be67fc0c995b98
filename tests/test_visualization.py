"""Plots: what they show, and that they leave matplotlib as it was."""

import sys

import numpy as np
import pytest

from rpupy.configs import (
    ConstantStepDevice,
    IdealDevice,
    LinearStepDevice,
    SingleRPUConfig,
    SoftBoundsDevice,
)
from rpupy.pulse_response import compute_pulse_response
from rpupy.tiles import AnalogTile
from rpupy.visualization import (
    plot_device,
    plot_device_compact,
    plot_device_symmetry,
    plot_pulse_response,
)

SOFT = SoftBoundsDevice(dw_min=0.02, up_down=0.2)


@pytest.fixture(autouse=True)
def matplotlib():
    return pytest.importorskip("matplotlib", reason="needs the extra 'plot'")


def lines_of(axes):
    return [np.asarray(line.get_ydata()) for line in axes.get_lines()]


def test_the_response_of_a_tile_is_drawn():
    tile = AnalogTile(2, 3, SingleRPUConfig(device=SOFT), rng=0)
    pulses = [1] * 20 + [-1] * 10
    figure = plot_pulse_response(tile, pulses)
    (axes,) = figure.axes
    record = compute_pulse_response(tile, pulses, initial=True).reshape(31, 6)
    np.testing.assert_array_equal(np.transpose(lines_of(axes)), record)
    assert axes.get_xlabel() == "number of pulses"
    assert axes.get_ylabel() == "weight (normalised units)"


def test_a_device_goes_up_and_down_beside_the_one_without_spread():
    figure = plot_device_compact(SOFT, n_steps=100, n_loops=3, n_traces=4, rng=0)
    (axes,) = figure.axes
    *traces, nominal = lines_of(axes)
    assert len(traces) == 4
    assert axes.get_title() == "SoftBoundsDevice"
    up = 0.6 - 1.2 * (1 - 0.02 / 0.6) ** np.arange(101)
    np.testing.assert_allclose(nominal[:101], up, atol=1e-5)
    assert all(len(trace) == 601 for trace in traces)
    assert axes.get_legend().get_texts()[0].get_text() == "no spread, no noise"


def test_noisy_reads_are_drawn():
    bare = plot_device_compact(SOFT, n_steps=50, n_traces=1, rng=0)
    noisy = plot_device_compact(SOFT, 0.1, n_steps=50, n_traces=1, rng=0)
    difference = lines_of(noisy.axes[0])[0] - lines_of(bare.axes[0])[0]
    # 201 reads: below 1e-6 to be this far off.
    assert 0.075 < difference.std() < 0.125


def test_the_overview_shows_response_and_steps():
    figure = plot_device(SOFT, n_steps=60, n_traces=3, rng=0)
    response, steps = figure.axes
    assert len(lines_of(response)) == 4
    labels = [text.get_text() for text in steps.get_legend().get_texts()]
    assert [label for label in labels if label.startswith("mean")] == [
        "mean step up",
        "mean step down",
    ]
    by_label = {line.get_label(): line for line in steps.get_lines()}
    up = by_label["mean step up"].get_ydata()
    down = by_label["mean step down"].get_ydata()
    assert np.nanmin(up) > 0 > np.nanmax(down)
    assert up[0] > up[-1]


def test_alternating_pulses_lead_to_the_symmetry_point():
    figure = plot_device_symmetry(SOFT, n_pulses=1000, n_traces=2, w_init=0.5, rng=0)
    *traces, nominal = lines_of(figure.axes[0])
    up, down = 0.02, 0.016
    point = (up - down) / (up / 0.6 + down / 0.6)
    assert nominal[0] == pytest.approx(0.5)
    assert nominal[-1] == pytest.approx(point, abs=0.02)
    assert len(traces) == 2


def test_given_axes_are_drawn_into(matplotlib):
    from matplotlib.figure import Figure

    figure = Figure()
    first, second, third = figure.subplots(1, 3)
    tile = AnalogTile(1, 1, SingleRPUConfig(device=SOFT), rng=0)
    assert plot_device_compact(SOFT, n_steps=9, axes=first, rng=0) is figure
    assert plot_device_symmetry(SOFT, n_pulses=9, axes=second, rng=0) is figure
    assert plot_pulse_response(tile, [1, -1], axes=third) is figure
    assert all(axes.get_lines() for axes in figure.axes)


def test_nothing_global_is_touched(matplotlib, tmp_path):
    before = dict(matplotlib.rcParams)
    loaded = "matplotlib.pyplot" in sys.modules
    figure = plot_device(
        LinearStepDevice(gamma_up=0.3, gamma_down=0.5), n_steps=40, n_loops=1
    )
    figure.savefig(tmp_path / "device.png")
    assert (tmp_path / "device.png").stat().st_size > 20_000
    assert dict(matplotlib.rcParams) == before
    assert ("matplotlib.pyplot" in sys.modules) == loaded


def test_long_records_are_thinned_to_what_a_picture_can_show():
    figure = plot_device_compact(
        ConstantStepDevice(), n_steps=6000, n_loops=1, n_traces=1, rng=0
    )
    (line, _) = figure.axes[0].get_lines()
    assert len(line.get_xdata()) == 4000
    assert line.get_xdata()[[0, -1]].tolist() == [0, 12000]


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'pip install "rpupy\[plot\]"'):
        plot_device_compact(SOFT, n_steps=3)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"n_steps": 0}, "n_steps must be at least 1"),
        ({"n_traces": 0}, "n_traces must be at least 1"),
        ({"n_loops": -1}, "n_loops must be at least 1"),
        ({"w_noise": -0.1}, "w_noise must not be negative"),
    ],
)
def test_bad_arguments_are_named(fields, message):
    with pytest.raises(ValueError, match=message):
        plot_device_compact(SOFT, **fields)
    with pytest.raises(TypeError, match="pulsed device"):
        plot_device_compact(IdealDevice())
