"""`check_device`: devices pass, and each kind of mistake breaks the law that is about it."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest

import rpupy
from rpupy import registry, tiles
from rpupy.configs import (
    ConstantStepDevice,
    DriftParameter,
    FloatingPointDevice,
    IdealDevice,
    LinearStepDevice,
    SingleRPUConfig,
    SoftBoundsDevice,
    UpdateParameters,
)
from rpupy.errors import ConfigError
from rpupy.parameters.base import define, real
from rpupy.rpu_base import cuda
from rpupy.rpu_base.core import CpuTile
from rpupy.testing import BrokenLaws, check_device, laws

# ---- devices that obey ---------------------------------------------------------------


def settled(cls: type) -> Any:
    """A device of the class with more in use than by default."""
    fields: dict[str, Any] = {"lifetime": 7.0, "diffusion": 0.01}
    if hasattr(cls, "dw_min"):
        fields |= {"reset": -0.1, "reset_dtod": 0.05, "up_down": 0.2}
        fields |= {"perfect_bias": True, "corrupt_devices_prob": 0.05}
        fields["drift"] = DriftParameter(nu=0.1, nu_dtod=0.3)
    if hasattr(cls, "write_noise_std"):
        fields["write_noise_std"] = 1.0
    return cls(**fields)


@pytest.mark.parametrize("variant", ["default", "settled"])
@pytest.mark.parametrize("cls", registry.device_classes(), ids=lambda c: c.__name__)
def test_registered_devices_obey(cls: type, variant: str) -> None:
    report = check_device(cls() if variant == "default" else settled(cls))
    assert not report.broken
    assert len(report.held) >= (30 if hasattr(cls, "dw_min") else 20)
    assert set(report.held) | set(report.not_applicable) == set(laws())


@pytest.mark.parametrize(
    "device",
    [
        ConstantStepDevice(w_max=0.0),
        ConstantStepDevice(up_down=1.0, dw_min=0.05),
        ConstantStepDevice(dw_min_dtod=1.0, enforce_consistency=False, dw_min=1e-5),
        LinearStepDevice(gamma_up=1.5, gamma_down=-0.3, allow_increasing=True),
        LinearStepDevice(reverse_up=True, reverse_down=True, gamma_up=0.5),
        LinearStepDevice(mult_noise=False, mean_bound_reference=False, dw_min_std=2.0),
        SoftBoundsDevice(reverse_up=True, w_max_dtod=1.0, construction_seed=5),
        SoftBoundsDevice(w_min=0.0, w_min_dtod=0.0, apply_write_noise_on_set=False),
    ],
    ids=repr,
)
def test_unusual_devices_obey(device: Any) -> None:
    check_device(device)


@pytest.mark.skipif(not cuda.is_host_compiled(), reason="built with RPUPY_CUDA_HOST=0")
def test_another_backend_obeys() -> None:
    cls = registry.counterpart("analog", "cuda_host")
    report = check_device(SoftBoundsDevice(write_noise_std=1.0), tile_factory=cls)
    assert len(report.held) == len(laws())


def test_a_configuration_of_a_tile_is_taken_as_it_is() -> None:
    config = SingleRPUConfig(
        device=LinearStepDevice(), update=UpdateParameters(desired_bl=5)
    )
    assert check_device(config, only=["batch_split"]).held == ("batch_split",)


# ---- mistakes ------------------------------------------------------------------------
#
# Each is a core tile that does one thing wrong. The second part of the pair is the law
# that is about it; other laws may well be broken too.


class WrongSign(CpuTile):
    def update(self, x_input: Any, d_input: Any, *args: Any) -> None:
        super().update(x_input, -np.asarray(d_input), *args)


class NegativeRateIsPositive(CpuTile):
    def set_learning_rate(self, learning_rate: float) -> None:
        super().set_learning_rate(abs(learning_rate))


class _OtherPlanes(CpuTile):
    """Pulses see other planes than the hidden parameters."""

    def _pulse_planes(self, planes: dict[str, Any]) -> dict[str, Any]:
        raise NotImplementedError

    def _update_pulsed(self, *args: Any) -> None:
        kept = self._arrays
        self._arrays = {**kept, **self._pulse_planes(kept)}
        try:
            super()._update_pulsed(*args)
        finally:
            self._arrays = kept


class MissingClip(_OtherPlanes):
    def _pulse_planes(self, planes: dict[str, Any]) -> dict[str, Any]:
        far = np.full_like(planes["max_bound"], 1e6)
        return {"max_bound": far, "min_bound": -far}


class NoUpperClip(_OtherPlanes):
    def _pulse_planes(self, planes: dict[str, Any]) -> dict[str, Any]:
        return {"max_bound": np.full_like(planes["max_bound"], 1e6)}


class UpAndDownSwapped(_OtherPlanes):
    def _pulse_planes(self, planes: dict[str, Any]) -> dict[str, Any]:
        return {"dwmin_up": planes["dwmin_down"], "dwmin_down": planes["dwmin_up"]}


class BoundsOfANeighbour(_OtherPlanes):
    def _pulse_planes(self, planes: dict[str, Any]) -> dict[str, Any]:
        return {
            name: np.ascontiguousarray(np.roll(planes[name], 1, axis=1))
            for name in ("max_bound", "min_bound")
        }


class StepsOfTheFirstRow(_OtherPlanes):
    def _pulse_planes(self, planes: dict[str, Any]) -> dict[str, Any]:
        same = np.ones_like(planes["dwmin_up"])
        return {k: same * planes[k][0] for k in ("dwmin_up", "dwmin_down")}


class HiddenPlaneIgnored(_OtherPlanes):
    """What was drawn first stays in use."""

    def _pulse_planes(self, planes: dict[str, Any]) -> dict[str, Any]:
        if not hasattr(self, "_first"):
            drawn = CpuTile(self.out_size, self.in_size, self.config, self._seed)
            self._first = drawn._arrays["slope_down"]
        return {"slope_down": self._first}

    def __init__(self, out_size: int, in_size: int, config: Any, seed: Any) -> None:
        self._seed = seed
        super().__init__(out_size, in_size, config, seed)


class SpreadRedrawnEachCall(CpuTile):
    def update(self, *args: Any) -> None:
        key = self._key
        self._key = (key[0], key[1] ^ self._counters["update"])
        self._draw_devices()
        self._key = key
        super().update(*args)


class NoiseScaledTwice(CpuTile):
    def _bind(self) -> None:
        super()._bind()
        self._dw_min_std *= self._dw_min_std


class NoiseAddedTwice(CpuTile):
    def _bind(self) -> None:
        super()._bind()
        self._dw_min_std *= math.sqrt(2.0)


class NoNoise(CpuTile):
    def _bind(self) -> None:
        super()._bind()
        self._dw_min_std = 0.0


class StepScaledTwice(CpuTile):
    def _draw_devices(self) -> None:
        super()._draw_devices()
        for name in ("dwmin_up", "dwmin_down"):
            self._arrays[name] *= np.float32(0.1)


class NoiseSharedByNeighbours(CpuTile):
    """Columns 2k + 1 move as columns 2k, where both got the same pulses."""

    def _update_pulsed(self, *args: Any) -> None:
        w, n = self._true_weights, self._arrays["pulse_ordinals"]
        before, number = w.copy(), n.copy()
        super()._update_pulsed(*args)
        change, pulses = w - before, n - number
        last = self.in_size // 2 * 2
        one, two = np.s_[:, :last:2], np.s_[:, 1:last:2]
        alike = (pulses[one] == pulses[two]) & (change[one] * change[two] > 0)
        w[two] = np.where(alike, before[two] + change[one], w[two])


class NoiseKeyedByCall(CpuTile):
    """The noise is a function of the number of the call, not of the pulse."""

    def _update_pulsed(self, *args: Any) -> None:
        self._calls = getattr(self, "_calls", 0) + 1
        ordinals = self._arrays["pulse_ordinals"]
        kept = ordinals.copy()
        ordinals[...] = 64 * self._calls
        super()._update_pulsed(*args)
        ordinals[...] += kept - np.uint32(64 * self._calls)


class NoiseOfAFixedBlock(CpuTile):
    """Every pulse takes the same normal number."""

    def _update_pulsed(self, *args: Any) -> None:
        self._arrays["pulse_ordinals"][...] = 0
        super()._update_pulsed(*args)


class MissedLastColumn(CpuTile):
    def update(self, x_input: Any, *args: Any) -> None:
        x = np.array(x_input)
        x[..., -1] = 0
        super().update(x, *args)


class LeakToTheNextRow(CpuTile):
    def _update_pulsed(self, *args: Any) -> None:
        w = self._true_weights
        before = w.copy()
        super()._update_pulsed(*args)
        w[1:] += np.float32(0.01) * (w - before)[:-1]
        self._run_upkeep("clip", numbers=(-1.0,))


class PulseLostAtABatchBoundary(CpuTile):
    def update(self, x_input: Any, d_input: Any, *args: Any) -> None:
        if np.ndim(x_input) > 1 and len(x_input) > 1:
            x_input, d_input = x_input[:-1], d_input[:-1]
        super().update(x_input, d_input, *args)


class OnlyTheFirstOfABatch(CpuTile):
    """PR 763 of known_bugs: an update with one vector, kept for later ones."""

    def update(self, x_input: Any, d_input: Any, *args: Any) -> None:
        ones = getattr(self, "_ones", np.ndim(x_input) == 1 or len(x_input) == 1)
        self._ones = ones
        if ones and np.ndim(x_input) > 1:
            x_input, d_input = x_input[:1], d_input[:1]
        super().update(x_input, d_input, *args)


class UpdatesWithoutPulsesMove(CpuTile):
    def update(self, *args: Any) -> None:
        super().update(*args)
        self.decay_weights(1e-4)
        self._true_weights[...] *= np.float32(1 - 1e-6)


class ExpectedChangeIsHalf(CpuTile):
    def _update_pulsed(self, x: Any, d: Any, batch: int) -> None:
        rate, self._learning_rate = self._learning_rate, self._learning_rate / 4
        super()._update_pulsed(x, d, batch)
        self._learning_rate = rate


class DecayToZero(CpuTile):
    """755: the value at which decay ends was taken as 0 where it is negative."""

    def decay_weights(self, alpha: float = 1.0) -> None:
        kept = self._arrays["reset_bias"]
        self._arrays["reset_bias"] = np.asarray(np.maximum(kept, 0))
        super().decay_weights(alpha)
        self._arrays["reset_bias"] = kept


class DecayMissesTheLastColumn(CpuTile):
    def decay_weights(self, alpha: float = 1.0) -> None:
        kept = self._true_weights[:, -1].copy()
        super().decay_weights(alpha)
        self._true_weights[:, -1] = kept


class DiffusionWithoutFreshNumbers(CpuTile):
    def diffuse_weights(self) -> None:
        super().diffuse_weights()
        self._counters["diffusion"] = 0


class DiffusionWithoutBeingAskedFor(CpuTile):
    def diffuse_weights(self) -> None:
        super().diffuse_weights()
        self._true_weights[...] += np.float32(1e-3)
        self._run_upkeep("clip", numbers=(-1.0,))


class ResetDoesNotWrapAround(CpuTile):
    def reset_columns(self, start: int = 0, n: int = 1, prob: float = 1.0) -> None:
        n = n if n < 0 else min(n, self.in_size - start)
        super().reset_columns(start, n, prob)


class ResetWithTwiceTheSpread(CpuTile):
    def reset_columns(self, start: int = 0, n: int = 1, prob: float = 1.0) -> None:
        config = self.config
        self.config = copy.deepcopy(config)
        object.__setattr__(self.config.device, "reset_std", 2 * config.device.reset_std)
        super().reset_columns(start, n, prob)
        self.config = config


class ClipWidensBounds(CpuTile):
    def clip_weights(self, limit: float) -> None:
        super().clip_weights(limit)
        if limit > 0:
            self._true_weights[...] *= np.float32(1.01)


class DriftNeverRestarts(CpuTile):
    def drift_weights(self, delta_t: float = 1.0) -> None:
        if self._has_drift and self._counters["drift"]:
            self._arrays["drift_previous"][...] = self._true_weights
        super().drift_weights(delta_t)


class SetWithoutClip(CpuTile):
    """604: bounds were not applied in the last column."""

    def set_weights(self, weights: Any) -> None:
        super().set_weights(weights)
        self._true_weights[:, -1] = np.asarray(weights)[:, -1]


class WriteNoiseIsStored(CpuTile):
    def _update_pulsed(self, *args: Any) -> None:
        super()._update_pulsed(*args)
        if self._has_write_noise:
            self._arrays["persistent_weights"][...] = self._arrays["weights"]
            self._run_upkeep("clip", numbers=(-1.0,))


class WriteNoiseLostWithoutPulseNoise(CpuTile):
    """417: write noise was lost where dw_min_std = 0."""

    def _update_pulsed(self, *args: Any) -> None:
        super()._update_pulsed(*args)
        if self._has_write_noise and self._dw_min_std == 0:
            self._backend.copy(self._arrays["weights"], self._true_weights)


class ProductsRedrawWeights(CpuTile):
    """423: weights were modified anew in each forward."""

    def forward(self, *args: Any, **more: Any) -> Any:
        y = super().forward(*args, **more)
        if self._pulsed_device:
            self._true_weights[...] *= np.float32(0.999)
        return y


class LookingDraws(CpuTile):
    def get_weights(self) -> Any:
        self._counters["diffusion"] += 1
        return super().get_weights()


class StateForgetsOrdinals(CpuTile):
    def state(self) -> Any:
        meta, arrays = super().state()
        if "pulse_ordinals" in arrays:
            arrays["pulse_ordinals"] = np.zeros_like(arrays["pulse_ordinals"])
        return meta, arrays


class CopiesShareWeights(CpuTile):
    _last: ClassVar[Any] = None

    def state(self) -> Any:
        CopiesShareWeights._last = self._arrays["weights"]
        return super().state()

    def set_state(self, meta: Any, arrays: Any) -> None:
        super().set_state(meta, arrays)
        self._arrays["weights"] = self._last


class SettingOnePlaneSetsAnother(CpuTile):
    def set_hidden_parameters(self, parameters: Any) -> None:
        if parameters:
            swapped = dict(parameters)
            swapped["min_bound"] = -np.abs(np.asarray(parameters["max_bound"]))
            super().set_hidden_parameters(swapped)


class RefusedTooLate(CpuTile):
    def update(self, x_input: Any, d_input: Any, *args: Any) -> None:
        if np.isnan(np.asarray(x_input, dtype=np.float64)).any():
            super().update(np.ones(self.in_size), np.ones(self.out_size))
        super().update(x_input, d_input, *args)


class GlobalCounter(CpuTile):
    """Numbers come from a counter of the process."""

    _used = 0

    def _update_pulsed(self, *args: Any) -> None:
        GlobalCounter._used += 1
        kept = self._counters["update"]
        self._counters["update"] += 1000 * GlobalCounter._used
        super()._update_pulsed(*args)
        self._counters["update"] = kept


class SeedWithoutEffect(CpuTile):
    def __init__(self, out_size: int, in_size: int, config: Any, seed: Any) -> None:
        super().__init__(out_size, in_size, config, np.random.SeedSequence(1))


class DependsOnThreads(CpuTile):
    def _update_pulsed(self, *args: Any) -> None:
        kept = self._counters["update"]
        self._counters["update"] += rpupy.get_num_threads() << 20
        super()._update_pulsed(*args)
        self._counters["update"] = kept


class ConstructionSeedIgnored(CpuTile):
    def _draw_devices(self) -> None:
        config = self.config
        self.config = copy.deepcopy(config)
        object.__setattr__(self.config.device, "construction_seed", 0)
        super()._draw_devices()
        self.config = config


class SpreadSharedByNeighbours(CpuTile):
    def _draw_devices(self) -> None:
        super()._draw_devices()
        for name in self._binding.cell:
            plane = self._arrays[name]
            last = self.out_size // 2 * 2
            plane[1:last:2] = plane[:last:2]


class SpreadWithoutBeingAskedFor(CpuTile):
    """One factor too many: the last column is drawn in another way."""

    def _draw_devices(self) -> None:
        super()._draw_devices()
        self._arrays["max_bound"][:, -1] *= np.float32(100)


class FirstColumnIsSpecial(CpuTile):
    def decay_weights(self, alpha: float = 1.0) -> None:
        super().decay_weights(alpha)
        self._true_weights[:, 0] *= np.float32(0.99)


class HugeInputsOverflow(CpuTile):
    def _update_pulsed(self, x: Any, d: Any, batch: int) -> None:
        super()._update_pulsed(x, d, batch)
        if np.abs(x).max() > 1e20:
            self._true_weights[0, 0] = np.inf


MUTANTS: list[tuple[type[CpuTile], str]] = [
    (WrongSign, "direction"),
    (NegativeRateIsPositive, "direction"),
    (MissingClip, "giant_pulse"),
    (NoUpperClip, "giant_pulse"),
    (UpAndDownSwapped, "up_and_down"),
    (BoundsOfANeighbour, "giant_pulse"),
    (StepsOfTheFirstRow, "permutation"),
    (HiddenPlaneIgnored, "hidden_matter"),
    (SpreadRedrawnEachCall, "spread_is_drawn_once"),
    (NoiseScaledTwice, "noise"),
    (NoiseAddedTwice, "noise"),
    (NoNoise, "noise"),
    (StepScaledTwice, "granularity"),
    (NoiseSharedByNeighbours, "noise_is_fresh"),
    (NoiseKeyedByCall, "batch_split"),
    (NoiseOfAFixedBlock, "noise_is_fresh"),
    (MissedLastColumn, "one_crosspoint"),
    (LeakToTheNextRow, "one_crosspoint"),
    (LeakToTheNextRow, "no_crosstalk"),
    (PulseLostAtABatchBoundary, "batch_split"),
    (OnlyTheFirstOfABatch, "batch_split"),
    (UpdatesWithoutPulsesMove, "zero_pulses"),
    (ExpectedChangeIsHalf, "expected_change"),
    (DecayToZero, "decay"),
    (DecayMissesTheLastColumn, "decay"),
    (DiffusionWithoutFreshNumbers, "diffusion"),
    (DiffusionWithoutBeingAskedFor, "no_upkeep"),
    (ResetDoesNotWrapAround, "reset"),
    (ResetWithTwiceTheSpread, "reset_spread"),
    (ClipWidensBounds, "clip"),
    (DriftNeverRestarts, "drift"),
    (SetWithoutClip, "set_weights"),
    (SetWithoutClip, "bounds"),
    (WriteNoiseIsStored, "write_noise"),
    (WriteNoiseLostWithoutPulseNoise, "write_noise"),
    (ProductsRedrawWeights, "products"),
    (LookingDraws, "looking"),
    (StateForgetsOrdinals, "copies"),
    (StateForgetsOrdinals, "save_and_load"),
    (CopiesShareWeights, "copies"),
    (SettingOnePlaneSetsAnother, "set_hidden"),
    (RefusedTooLate, "refused_calls"),
    (GlobalCounter, "same_seed"),
    (SeedWithoutEffect, "other_seed"),
    (DependsOnThreads, "thread_count"),
    (ConstructionSeedIgnored, "construction_seed"),
    (SpreadSharedByNeighbours, "neighbouring_devices"),
    (SpreadWithoutBeingAskedFor, "no_spread"),
    (FirstColumnIsSpecial, "permutation"),
    (HugeInputsOverflow, "finite"),
]


@pytest.fixture
def core(monkeypatch: pytest.MonkeyPatch) -> Callable[[type], None]:
    """Let all tiles have cores of a class."""
    return lambda cls: monkeypatch.setattr(registry, "core_class", lambda *_: cls)


@pytest.mark.parametrize(
    ("mutant", "law"), MUTANTS, ids=lambda v: v if isinstance(v, str) else v.__name__
)
def test_a_mistake_breaks_its_law(
    mutant: type[CpuTile], law: str, core: Callable[[type], None]
) -> None:
    device = SoftBoundsDevice()
    assert check_device(device, only=[law]).held == (law,)
    core(mutant)
    with pytest.raises(BrokenLaws) as caught:
        check_device(device, only=[law])
    (example,) = caught.value.report.broken
    assert example.law == law
    assert not example.got.startswith(("TypeError", "AttributeError", "NameError"))
    assert example.calls[0].startswith("tile = build(")
    assert example.expected and example.got


def test_every_law_has_a_mistake_that_breaks_it() -> None:
    assert {law for _, law in MUTANTS} == set(laws())


@pytest.mark.parametrize(
    ("mutant", "kept"),
    [
        (MissingClip, {"noise", "direction", "decay", "reset", "copies", "diffusion"}),
        (NoiseScaledTwice, {"bounds", "direction", "decay", "copies", "no_spread"}),
        (DecayToZero, {"bounds", "direction", "noise", "copies", "drift", "reset"}),
        (StateForgetsOrdinals, {"bounds", "noise", "decay", "batch_split", "drift"}),
    ],
)
def test_a_mistake_breaks_no_other_law(
    mutant: type[CpuTile], kept: set[str], core: Callable[[type], None]
) -> None:
    core(mutant)
    check_device(SoftBoundsDevice(), only=kept)


# ---- what is reported ----------------------------------------------------------------


def test_the_smallest_example_is_told_in_words(core: Callable[[type], None]) -> None:
    core(WrongSign)
    with pytest.raises(BrokenLaws) as caught:
        check_device(ConstantStepDevice(dw_min=0.01), only=["direction", "bounds"])
    report = caught.value.report
    assert report.held == ("bounds",)
    assert report.broken[0].shape == (1, 1)
    text = str(caught.value)
    for part in (
        "ConstantStepDevice breaks 1 of 2 laws: direction",
        "A product x * d above 0 lowers a weight",
        "tile: 1 x 1, seed 0",
        "dw_min=0.01",
        "tile.update([1], [-1])",
        "expected: a pulse up (x * d < 0) not to lower a weight",
        "got: -0.009",
    ):
        assert part in text


def test_the_reported_calls_can_be_repeated(core: Callable[[type], None]) -> None:
    core(DecayToZero)
    with pytest.raises(BrokenLaws) as caught:
        check_device(SoftBoundsDevice(), only=["decay"])
    example = caught.value.report.broken[0]
    names = {"build": tiles.AnalogTile, "config": example.config, "full": np.full}
    first, *others = example.calls
    exec(first, names)
    for call in others:
        exec(call, names)
    found = names["tile"].get_weights()[0]
    assert found[0, 0] == np.float32(example.got)


def test_all_broken_laws_are_listed(core: Callable[[type], None]) -> None:
    core(LeakToTheNextRow)
    names = ["no_crosstalk", "one_crosspoint", "zero_pulses"]
    with pytest.raises(AssertionError) as caught:
        check_device(SoftBoundsDevice(), only=names)
    assert "breaks 2 of 3 laws: one_crosspoint, no_crosstalk" in str(caught.value)


def test_an_exception_breaks_a_law(core: Callable[[type], None]) -> None:
    class Fails(CpuTile):
        def diffuse_weights(self) -> None:
            raise ZeroDivisionError("no time")

    core(Fails)
    with pytest.raises(BrokenLaws, match="ZeroDivisionError: no time"):
        check_device(ConstantStepDevice(), only=["diffusion"])


def test_a_device_that_does_not_fit_its_kernel() -> None:
    @define
    class Misfit(ConstantStepDevice):
        spare: float = real(1.0)

    with pytest.raises(ConfigError, match=r"not known to the kernel: \['spare'\]"):
        check_device(Misfit(), only=["zero_pulses"])


def test_a_device_that_is_not_registered_cannot_be_loaded() -> None:
    @define
    class Unregistered(ConstantStepDevice):
        dw_min: float = 0.01

    with pytest.raises(BrokenLaws) as caught:
        check_device(Unregistered())
    assert {item.law for item in caught.value.report.broken} <= {
        "save_and_load",
        "copies",
    }
    assert "register_device" in str(caught.value)


def test_laws_that_do_not_apply_say_why() -> None:
    report = check_device(IdealDevice(), only=["bounds", "drift", "reset"])
    assert report.held == ("reset",)
    assert report.not_applicable == {
        "bounds": "the device does not change by pulses",
        "drift": "the device has no drift",
    }
    stuck = ConstantStepDevice(w_max=0.0, w_min=0.0)
    report = check_device(stuck, only=["noise", "one_crosspoint", "zero_pulses"])
    assert report.held == ("zero_pulses",)
    assert report.not_applicable["noise"] == "the bounds leave no room"


@pytest.mark.parametrize("device", [None, ConstantStepDevice, "ConstantStep"])
def test_what_is_no_device_is_refused(device: Any) -> None:
    with pytest.raises(TypeError, match="device must be a device configuration"):
        check_device(device)


def test_unknown_laws_are_refused() -> None:
    for names in ({"only": ["gravity"]}, {"skip": ["gravity"]}):
        with pytest.raises(ValueError, match="must name laws of laws"):
            check_device(FloatingPointDevice(), **names)


def test_the_normal_distribution_of_the_bench() -> None:
    from rpupy.testing.bench import normal_cdf

    z = np.linspace(-6, 6, 241)
    exact = [0.5 * math.erfc(-value / math.sqrt(2)) for value in z]
    np.testing.assert_allclose(normal_cdf(z), exact, atol=2e-7)
