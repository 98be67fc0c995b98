"""Fits find the devices that records were simulated with, within their own errors."""

import sys
import warnings

import numpy as np
import pytest

from rpupy.configs import (
    ConstantStepDevice,
    DampedStepDevice,
    ExpStepDevice,
    IdealDevice,
    LinearStepDevice,
    PiecewiseStepDevice,
    PowStepDevice,
    PowStepReferenceDevice,
    SoftBoundsDevice,
    SoftBoundsPmaxDevice,
    SoftBoundsReferenceDevice,
)
from rpupy.fitting import FitWarning, fit_device
from rpupy.presets import EcRamPresetDevice
from rpupy.pulse_response import compute_pulse_response, tile_of_devices, without_spread

pytest.importorskip("scipy", reason="needs SciPy, of the extra 'fit'")

PULSES = np.tile(np.repeat([1, -1], 100), 2)
SPREADS = {"up_down_dtod": 0.05}
POWERS = {"pow_gamma_dtod": 0.15, "pow_up_down_dtod": 0.05, **SPREADS}
COMPLEX = {"dw_min_std_add": 0.01, "dw_min_std_slope": 0.02}
NODES = {"piecewise_up": [1.4, 1.0, 0.5], "piecewise_down": [0.6, 1.0, 1.5]}

#: Device, and the configuration that the fit starts from.
CASES = {
    "constant": (
        ConstantStepDevice(dw_min=0.015, up_down=0.1, **SPREADS),
        ConstantStepDevice,
    ),
    "linear": (
        LinearStepDevice(dw_min=0.015, gamma_up=0.4, gamma_down=0.6, **SPREADS),
        LinearStepDevice,
    ),
    "linear, own bounds": (
        LinearStepDevice(
            dw_min=0.015,
            gamma_up=0.4,
            gamma_down=0.6,
            mean_bound_reference=False,
            mult_noise=False,
            **SPREADS,
        ),
        LinearStepDevice(mean_bound_reference=False, mult_noise=False),
    ),
    "soft bounds": (
        SoftBoundsDevice(dw_min=0.015, up_down=-0.1, **SPREADS),
        SoftBoundsDevice,
    ),
    "soft bounds, log-normal": (
        SoftBoundsDevice(dw_min=0.015, dw_min_dtod_log_normal=True, **SPREADS),
        SoftBoundsDevice(dw_min_dtod_log_normal=True),
    ),
    "soft bounds, write noise": (
        SoftBoundsDevice(dw_min=0.015, write_noise_std=2.0, **SPREADS),
        SoftBoundsDevice,
    ),
    "p_max": (
        SoftBoundsPmaxDevice(p_max=200, alpha=0.005, **SPREADS),
        SoftBoundsPmaxDevice(p_max=200),
    ),
    "soft bounds, reference": (
        SoftBoundsReferenceDevice(dw_min=0.015, reference_mean=0.1, **SPREADS),
        SoftBoundsReferenceDevice(reference_mean=0.1),
    ),
    "exponential": (
        ExpStepDevice(dw_min=0.025, dw_min_dtod=0.15, **SPREADS),
        ExpStepDevice,
    ),
    "exponential, complex noise": (
        ExpStepDevice(dw_min=0.025, dw_min_dtod=0.15, **COMPLEX, **SPREADS),
        ExpStepDevice(**COMPLEX),
    ),
    "damped": (
        DampedStepDevice(
            dw_min=0.06, beta_up=2.0, beta_up_dtod=0.1, beta_down_dtod=0.1, **SPREADS
        ),
        DampedStepDevice,
    ),
    "power": (PowStepDevice(dw_min=0.025, **POWERS), PowStepDevice),
    "power, reference": (
        PowStepReferenceDevice(dw_min=0.025, reference_mean=0.1, **POWERS),
        PowStepReferenceDevice(reference_mean=0.1),
    ),
    "power, symmetry point": (
        PowStepReferenceDevice(dw_min=0.025, subtract_symmetry_point=True, **POWERS),
        PowStepReferenceDevice(subtract_symmetry_point=True),
    ),
    "piecewise": (
        PiecewiseStepDevice(dw_min=0.015, **NODES, **SPREADS),
        PiecewiseStepDevice(piecewise_up=[1.0] * 3, piecewise_down=[1.0] * 3),
    ),
}


def simulated(device, cells=30, pulses=PULSES, seed=0):
    tile = tile_of_devices(device, cells, rng=seed)
    record = compute_pulse_response(tile, pulses, initial=True)[:, :, 0].T
    hidden = {k: v[:, 0] for k, v in tile.get_hidden_parameters().items()}
    return record.astype(np.float64), hidden


def value(config, name):
    base, _, index = name.partition("[")
    found = getattr(config, base)
    return found[int(index[:-1])] if index else found


# Errors are estimated from 30 cells: over them, a Student variable with 29 degrees of
# freedom is above 7 once in 1e7. Spreads and the exponential have longer tails; 16 cases
# with 13 fields stay below 1e-4 together.
LIMIT = 7.0


@pytest.mark.parametrize("case", CASES)
def test_parameters_are_recovered_within_their_errors(case):
    device, start = CASES[case]
    record, _ = simulated(device)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = fit_device(start, PULSES, record)
    assert type(fit.config) is type(device)
    assert not fit.not_determined
    assert len(fit.standard_errors) >= 9
    for name, error in fit.standard_errors.items():
        off = abs(value(fit.config, name) - value(device, name))
        assert off <= LIMIT * error, (name, off / error if error else off)
    errors = fit.standard_errors
    # The errors say something: 30 cells with spreads of 30 % give 5.5 % for a mean.
    if "dw_min" in errors:
        assert errors["dw_min"] < 0.1 * device.dw_min
    assert errors["dw_min_std"] < 0.2 * device.dw_min_std
    assert errors["w_max_dtod"] < 0.2
    fit.config.validate()
    if device.supports_write_noise:
        assert fit.config.write_noise_std == pytest.approx(
            device.write_noise_std, abs=LIMIT * errors["write_noise_std"]
        )


def test_cells_are_recovered_one_by_one():
    record, hidden = simulated(CASES["soft bounds"][0])
    fit = fit_device(SoftBoundsDevice, PULSES, record)
    for name, plane, close in (
        ("step_up", "dwmin_up", 0.15),
        ("step_down", "dwmin_down", 0.15),
        ("w_max", "max_bound", 0.05),
        ("w_min", "min_bound", 0.05),
    ):
        # About 2 % and 0.5 % of noise; 30 cells.
        np.testing.assert_allclose(fit.cells[name], hidden[plane], rtol=close)


def test_cycle_noise_and_read_noise_are_told_apart():
    device, start = CASES["soft bounds, write noise"]
    record, _ = simulated(device, cells=20, seed=3)
    fit = fit_device(start, PULSES, record)
    assert fit.read_noise == pytest.approx(0.03, abs=LIMIT * fit.read_noise_error)
    assert 0 < fit.read_noise_error < 0.002
    # A device that has no write noise is measured with read noise all the same.
    record, _ = simulated(CASES["constant"][0], cells=20, seed=3)
    noisy = record + 0.01 * np.random.default_rng(0).standard_normal(record.shape)
    fit = fit_device(ConstantStepDevice, PULSES, noisy)
    assert fit.read_noise == pytest.approx(0.01, abs=LIMIT * fit.read_noise_error)
    assert fit.config.dw_min_std == pytest.approx(
        0.3, abs=LIMIT * fit.standard_errors["dw_min_std"]
    )


def test_without_noise_every_cell_is_found_exactly():
    device = SoftBoundsDevice(dw_min=0.015, dw_min_std=0.0)
    record, hidden = simulated(device, cells=10)
    fit = fit_device(SoftBoundsDevice, PULSES, record)
    np.testing.assert_allclose(fit.cells["step_up"], hidden["dwmin_up"], rtol=1e-3)
    np.testing.assert_allclose(fit.cells["w_max"], hidden["max_bound"], rtol=1e-3)
    assert fit.config.dw_min_std < 1e-3
    same = without_spread(fit.config)
    assert same.dw_min == pytest.approx(
        (hidden["dwmin_up"].mean() + hidden["dwmin_down"].mean()) / 2, rel=0.05
    )


def test_one_cell_gives_a_device_without_spread():
    record, hidden = simulated(CASES["soft bounds"][0], cells=1)
    fit = fit_device(SoftBoundsDevice, PULSES, record[0])
    config, errors = fit.config, fit.standard_errors
    assert config.dw_min_dtod == config.w_max_dtod == config.up_down_dtod == 0.0
    assert not any(name.endswith("_dtod") for name in errors)
    up, down = hidden["dwmin_up"][0], hidden["dwmin_down"][0]
    assert config.dw_min == pytest.approx(max(up, down), abs=LIMIT * errors["dw_min"])
    assert config.w_max == pytest.approx(
        hidden["max_bound"][0], abs=LIMIT * errors["w_max"]
    )
    assert errors["dw_min"] < 0.2 * config.dw_min


def test_conductances_are_mapped_to_weights():
    record, _ = simulated(CASES["soft bounds"][0], cells=8)
    plain = fit_device(SoftBoundsDevice, PULSES, record)
    # Weight 0 at 60 uS, 1 for 20 uS.
    mapped = fit_device(
        SoftBoundsDevice, PULSES, 60.0 + 20.0 * record, weight_map=(1 / 20, -60 / 20)
    )
    for name in plain.standard_errors:
        assert getattr(mapped.config, name) == pytest.approx(
            getattr(plain.config, name), rel=1e-3, abs=1e-6
        )
    with pytest.raises(ValueError, match="0 lies between the bounds"):
        fit_device(SoftBoundsDevice, PULSES, 60.0 + 20.0 * record)


def test_missing_readings_are_left_out():
    record, _ = simulated(CASES["soft bounds"][0], cells=12)
    whole = fit_device(SoftBoundsDevice, PULSES, record)
    holes = record.copy()
    holes[:, 1:][np.random.default_rng(0).random((12, 400)) < 0.2] = np.nan
    fit = fit_device(SoftBoundsDevice, PULSES, holes)
    assert np.isnan(fit.residuals).mean() == pytest.approx(0.2, abs=0.05)
    for name in ("dw_min", "w_max", "w_min"):
        error = whole.standard_errors[name]
        assert getattr(fit.config, name) == pytest.approx(
            getattr(whole.config, name), abs=error
        )
    assert fit.config.dw_min_std == pytest.approx(whole.config.dw_min_std, rel=0.1)


def test_stuck_cells_are_counted():
    record, _ = simulated(CASES["soft bounds"][0], cells=18)
    record = np.vstack([record, np.full((2, 401), 0.2)])
    fit = fit_device(SoftBoundsDevice, PULSES, record)
    assert fit.stuck.tolist() == [False] * 18 + [True] * 2
    assert fit.config.corrupt_devices_prob == pytest.approx(0.1)
    assert fit.residuals.shape == (18, 400)
    assert "stuck cells left out: 2" in repr(fit)


def test_bounds_that_are_not_reached_are_said_to_be_unknown():
    record, _ = simulated(ConstantStepDevice(dw_min=0.002), cells=10)
    start = ConstantStepDevice(w_max=0.9)
    # From the lower bound up by a third of the range, and back.
    with pytest.warns(FitWarning, match="do not determine w_max, w_max_dtod"):
        fit = fit_device(start, PULSES, record)
    assert fit.config.w_max == 0.9
    assert set(fit.not_determined) >= {"w_max", "w_max_dtod"}
    assert "w_max" not in fit.standard_errors
    assert "not determined: w_max" in repr(fit)


def test_a_wrong_device_is_noticed():
    record, _ = simulated(CASES["soft bounds"][0])
    with pytest.warns(FitWarning, match="ConstantStepDevice does not explain"):
        fit = fit_device(ConstantStepDevice, PULSES, record)
    assert fit.misfit > 0.15 and fit.misfit_probability < 1e-6


def test_presets_are_fitted_as_their_model():
    record, _ = simulated(EcRamPresetDevice(dw_min=0.02), cells=20)
    fit = fit_device(EcRamPresetDevice, PULSES, record)
    assert type(fit.config) is EcRamPresetDevice
    error = fit.standard_errors["gamma_down"]
    assert fit.config.gamma_down == pytest.approx(0.5085, abs=LIMIT * error)


def test_text_and_picture():
    pytest.importorskip("matplotlib", reason="needs the extra 'plot'")
    record, _ = simulated(CASES["soft bounds"][0], cells=5)
    fit = fit_device(SoftBoundsDevice, PULSES, record)
    text = repr(fit)
    assert text.startswith("SoftBoundsDevice fitted to 5 cells, 400 pulses each\n")
    assert "dw_min" in text and "+-" in text
    assert fit.standardised_residuals.std() == pytest.approx(1.0, abs=0.1)
    records, residuals, histogram = fit.plot(n_traces=2).axes
    assert len(records.get_lines()) == 4
    assert residuals.get_ylabel() == histogram.get_xlabel() == "standardised residual"


def test_without_scipy_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.special", None)
    with pytest.raises(ImportError, match=r'pip install "rpupy\[fit\]"'):
        fit_device(SoftBoundsDevice, [1], [0, 1])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((IdealDevice, [1], [0, 1]), TypeError, "device_class must be one of Const"),
        ((SoftBoundsDevice, [0.5], [0, 1]), ValueError, "pulses must hold 1"),
        (
            (SoftBoundsDevice, [1] * 9, np.zeros((2, 9))),
            ValueError,
            r"shape \(cells, 10\) or \(10,\).*got \(2, 9\)",
        ),
        ((SoftBoundsDevice, [1] * 9, ["a"] * 10), TypeError, "real numbers"),
        ((SoftBoundsDevice, [1] * 9, [np.nan] * 10), ValueError, "must be finite"),
        ((SoftBoundsDevice, [1, -1], [0, 1, 0]), ValueError, "at least 8 readings"),
        ((SoftBoundsDevice, [1] * 9, [0.1] * 10), ValueError, "no cell moves"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        fit_device(*arguments)
    with pytest.raises(ValueError, match="slope other than 0"):
        fit_device(
            SoftBoundsDevice, [1, -1] * 5, np.arange(11.0), weight_map=(0.0, 1.0)
        )
