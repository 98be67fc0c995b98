"""`check_device`: devices pass, and each kind of mistake breaks the law that is about it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rpupy
from rpupy import registry
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
from rpupy.parameters.base import define, real, thawed_copy
from rpupy.rpu_base import cuda
from rpupy.testing import BrokenLaws, check_device, laws
from rpupy.tiles import AnalogTile

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
# Each is a tile that does one thing wrong, by way of what is public. MUTANTS has the law
# that is about it; other laws may well be broken too.


class Mutant(AnalogTile):
    """A tile whose state can be edited."""

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return self.tile.state()

    def edit(self, **arrays: Any) -> None:
        meta, before = self.state()
        arrays = {
            name: np.asarray(array, before[name].dtype)
            for name, array in arrays.items()
            if name in before
        }
        self.tile.set_state(meta, {**before, **arrays})

    def edit_counter(self, name: str, change: Callable[[int], int]) -> None:
        meta, arrays = self.state()
        meta["counters"][name] = change(meta["counters"][name])
        self.tile.set_state(meta, arrays)

    @property
    def stored(self) -> str:
        """Name of the weights that pulses change."""
        arrays = self.state()[1]
        return "persistent_weights" if "persistent_weights" in arrays else "weights"

    @property
    def weights(self) -> np.ndarray:
        return self.state()[1][self.stored]

    @weights.setter
    def weights(self, values: np.ndarray) -> None:
        self.edit(**{self.stored: values})


class OtherDevice(Mutant):
    """The device is not quite that of the configuration."""

    def __init__(self, out_size: int, in_size: int, config: Any, **more: Any) -> None:
        config = thawed_copy(config)
        self.change(config.device)
        super().__init__(out_size, in_size, config, **more)

    @staticmethod
    def change(device: Any) -> None:
        raise NotImplementedError


class OtherPlanes(Mutant):
    """Pulses see other planes than the hidden parameters."""

    def planes(self, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        raise NotImplementedError

    def update(self, x_input: Any, d_input: Any) -> None:
        given = self.state()[1]
        changed = self.planes(given)
        self.edit(**changed)
        super().update(x_input, d_input)
        self.edit(**{name: given[name] for name in changed})


class WrongSign(Mutant):
    def update(self, x_input: Any, d_input: Any) -> None:
        super().update(x_input, -np.asarray(d_input))


class NegativeRateIsPositive(Mutant):
    def set_learning_rate(self, learning_rate: Any) -> None:
        super().set_learning_rate(abs(learning_rate))


class MissingClip(OtherPlanes):
    def planes(self, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        far = np.full_like(given["max_bound"], 1e6)
        return {"max_bound": far, "min_bound": -far}


class NoUpperClip(OtherPlanes):
    def planes(self, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"max_bound": np.full_like(given["max_bound"], 1e6)}


class UpAndDownSwapped(OtherPlanes):
    def planes(self, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"dwmin_up": given["dwmin_down"], "dwmin_down": given["dwmin_up"]}


class BoundsOfANeighbour(OtherPlanes):
    def planes(self, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        names = ("max_bound", "min_bound")
        return {name: np.roll(given[name], 1, axis=1) for name in names}


class StepsOfTheFirstRow(OtherPlanes):
    def planes(self, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        names = ("dwmin_up", "dwmin_down")
        return {name: np.broadcast_to(given[name][0], self.shape) for name in names}


class HiddenPlaneIgnored(OtherPlanes):
    """What was drawn first stays in use."""

    def planes(self, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        drawn = AnalogTile(*self.shape, self.rpu_config, rng=self.seed)
        return {"slope_down": drawn.get_hidden_parameters()["slope_down"]}


class SpreadRedrawnEachCall(OtherPlanes):
    def planes(self, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        call = self.state()[0]["counters"]["update"]
        drawn = AnalogTile(*self.shape, self.rpu_config, rng=call)
        return {"dwmin_up": drawn.get_hidden_parameters()["dwmin_up"]}


class NoiseScaledTwice(OtherDevice):
    @staticmethod
    def change(device: Any) -> None:
        device.dw_min_std *= device.dw_min_std


class NoiseAddedTwice(OtherDevice):
    @staticmethod
    def change(device: Any) -> None:
        device.dw_min_std *= math.sqrt(2.0)


class NoNoise(OtherDevice):
    @staticmethod
    def change(device: Any) -> None:
        device.dw_min_std = 0.0


class ResetWithTwiceTheSpread(OtherDevice):
    @staticmethod
    def change(device: Any) -> None:
        device.reset_std *= 2.0


class ConstructionSeedIgnored(OtherDevice):
    @staticmethod
    def change(device: Any) -> None:
        device.construction_seed = 0


class StepTooSmall(OtherDevice):
    @staticmethod
    def change(device: Any) -> None:
        device.dw_min *= 0.1


class SeedWithoutEffect(Mutant):
    def __init__(self, *args: Any, rng: Any) -> None:
        super().__init__(*args, rng=1)


class SpreadSharedByNeighbours(Mutant):
    def __init__(self, *args: Any, rng: Any) -> None:
        super().__init__(*args, rng=rng)
        plane = self.state()[1]["slope_up"]
        last = self.out_size // 2 * 2
        plane[1:last:2] = plane[:last:2]
        self.edit(slope_up=plane)


class LastColumnIsWider(Mutant):
    """604: bounds of the last column were 100 times as wide."""

    def __init__(self, *args: Any, rng: Any) -> None:
        super().__init__(*args, rng=rng)
        plane = self.state()[1]["max_bound"]
        plane[:, -1] *= 100
        self.edit(max_bound=plane)


class NoiseSharedByNeighbours(Mutant):
    """Columns 2k + 1 move as columns 2k, where both got the same pulses."""

    def update(self, x_input: Any, d_input: Any) -> None:
        before, ordinals = self.weights, self.state()[1]["pulse_ordinals"]
        super().update(x_input, d_input)
        w = self.weights
        change, pulses = w - before, self.state()[1]["pulse_ordinals"] - ordinals
        last = self.in_size // 2 * 2
        one, two = np.s_[:, :last:2], np.s_[:, 1:last:2]
        alike = (pulses[one] == pulses[two]) & (change[one] * change[two] > 0)
        w[two] = np.where(alike, before[two] + change[one], w[two])
        self.weights = w


class NoiseKeyedByCall(Mutant):
    """The noise is a function of the number of the call, not of the pulse."""

    calls = 0

    def update(self, x_input: Any, d_input: Any) -> None:
        self.calls += 1
        before = self.state()[1]["pulse_ordinals"]
        self.edit(pulse_ordinals=np.full_like(before, 64 * self.calls))
        super().update(x_input, d_input)
        pulses = self.state()[1]["pulse_ordinals"] - np.uint32(64 * self.calls)
        self.edit(pulse_ordinals=before + pulses)


class NoiseOfTheFirstPulse(Mutant):
    """Every update takes the same normal numbers."""

    def update(self, x_input: Any, d_input: Any) -> None:
        self.edit(pulse_ordinals=np.zeros_like(self.weights))
        super().update(x_input, d_input)


class MissedLastColumn(Mutant):
    def update(self, x_input: Any, d_input: Any) -> None:
        x = np.array(x_input)
        x[..., -1] = 0
        super().update(x, d_input)


class LeakToTheNextRow(Mutant):
    def update(self, x_input: Any, d_input: Any) -> None:
        before = self.weights
        super().update(x_input, d_input)
        w = self.weights
        w[1:] += 0.01 * (w - before)[:-1]
        self.weights = w
        self.clip_weights(-1.0)


class PulseLostAtABatchBoundary(Mutant):
    def update(self, x_input: Any, d_input: Any) -> None:
        if np.ndim(x_input) > 1 and len(x_input) > 1:
            x_input, d_input = x_input[:-1], d_input[:-1]
        super().update(x_input, d_input)


class OnlyTheFirstOfABatch(Mutant):
    """PR 763: what was chosen for a first update with one vector was kept."""

    ones: bool | None = None

    def update(self, x_input: Any, d_input: Any) -> None:
        if self.ones is None:
            self.ones = np.ndim(x_input) == 1 or len(x_input) == 1
        if self.ones and np.ndim(x_input) > 1:
            x_input, d_input = x_input[:1], d_input[:1]
        super().update(x_input, d_input)


class UpdatesWithoutPulsesMove(Mutant):
    def update(self, x_input: Any, d_input: Any) -> None:
        super().update(x_input, d_input)
        self.weights = self.weights * np.float32(1 - 1e-6)


class ExpectedChangeIsHalf(Mutant):
    def update(self, x_input: Any, d_input: Any) -> None:
        rate = self.get_learning_rate()
        self.set_learning_rate(rate / 4)
        super().update(x_input, d_input)
        self.set_learning_rate(rate)


class GlobalCounter(Mutant):
    """Random numbers come from a counter of the process."""

    used = 0

    def update(self, x_input: Any, d_input: Any) -> None:
        GlobalCounter.used += 1
        shift = 1000 * GlobalCounter.used
        self.edit_counter("update", lambda count: count + shift)
        super().update(x_input, d_input)
        self.edit_counter("update", lambda count: count - shift)


class DependsOnThreads(Mutant):
    def update(self, x_input: Any, d_input: Any) -> None:
        shift = rpupy.get_num_threads() << 20
        self.edit_counter("update", lambda count: count + shift)
        super().update(x_input, d_input)
        self.edit_counter("update", lambda count: count - shift)


class HugeInputsLeaveTheBounds(Mutant):
    def update(self, x_input: Any, d_input: Any) -> None:
        super().update(x_input, d_input)
        if np.abs(np.asarray(x_input)).max(initial=0) > 1e20:
            self.weights = np.full_like(self.weights, 1e30)


class RefusedTooLate(Mutant):
    def update(self, x_input: Any, d_input: Any) -> None:
        if np.isnan(np.asarray(x_input, dtype=np.float64)).any():
            super().update(np.ones(self.in_size), np.ones(self.out_size))
        super().update(x_input, d_input)


class DecayToZero(Mutant):
    """755: the value at which decay ends was taken as 0 where it is negative."""

    def decay_weights(self, alpha: float = 1.0) -> None:
        bias = self.state()[1]["reset_bias"]
        self.edit(reset_bias=np.maximum(bias, 0))
        super().decay_weights(alpha)
        self.edit(reset_bias=bias)


class DecayMissesTheLastColumn(Mutant):
    def decay_weights(self, alpha: float = 1.0) -> None:
        before = self.weights
        super().decay_weights(alpha)
        after = self.weights
        after[:, -1] = before[:, -1]
        self.weights = after


class FirstColumnIsSpecial(Mutant):
    def decay_weights(self, alpha: float = 1.0) -> None:
        super().decay_weights(alpha)
        after = self.weights
        after[:, 0] *= 0.99
        self.weights = after


class DiffusionWithoutFreshNumbers(Mutant):
    def diffuse_weights(self) -> None:
        super().diffuse_weights()
        self.edit_counter("diffusion", lambda count: 0)


class DiffusionWithoutBeingAskedFor(Mutant):
    def diffuse_weights(self) -> None:
        super().diffuse_weights()
        self.weights = self.weights + np.float32(1e-3)
        self.clip_weights(-1.0)


class ResetDoesNotWrapAround(Mutant):
    def reset_columns(self, start: int = 0, n: int = 1, prob: float = 1.0) -> None:
        super().reset_columns(start, n if n < 0 else min(n, self.in_size - start), prob)


class ClipWidens(Mutant):
    def clip_weights(self, limit: float) -> None:
        super().clip_weights(limit)
        if limit > 0:
            self.weights = self.weights * np.float32(1.01)


class DriftNeverRestarts(Mutant):
    def drift_weights(self, delta_t: float = 1.0) -> None:
        meta, arrays = self.state()
        if "drift_previous" in arrays and meta["counters"]["drift"]:
            self.edit(drift_previous=self.weights)
        super().drift_weights(delta_t)


class SetWithoutClip(Mutant):
    """604: bounds were not applied in the last column."""

    def set_weights(self, weight: Any, *args: Any, **more: Any) -> None:
        super().set_weights(weight, *args, **more)
        after = self.weights
        after[:, -1] = np.asarray(weight)[:, -1]
        self.weights = after


class WriteNoiseIsStored(Mutant):
    def update(self, x_input: Any, d_input: Any) -> None:
        super().update(x_input, d_input)
        arrays = self.state()[1]
        self.edit(
            persistent_weights=np.clip(
                arrays["weights"], arrays["min_bound"], arrays["max_bound"]
            )
        )


class WriteNoiseLostWithoutPulseNoise(Mutant):
    """PR 417: write noise was lost where dw_min_std = 0."""

    def update(self, x_input: Any, d_input: Any) -> None:
        super().update(x_input, d_input)
        if self.rpu_config.device.dw_min_std == 0:
            self.edit(weights=self.weights)


class ProductsChangeWeights(Mutant):
    """PR 423: weights were modified anew in each forward."""

    def forward(self, x_input: Any, out: Any = None) -> Any:
        y = super().forward(x_input, out)
        self.weights = self.weights * np.float32(0.999)
        return y


class LookingDraws(Mutant):
    def get_weights(self, *args: Any, **more: Any) -> Any:
        self.edit_counter("diffusion", lambda count: count + 1)
        return super().get_weights(*args, **more)


class StateForgetsOrdinals(Mutant):
    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        name = "core.pulse_ordinals"
        state["arrays"][name] = np.zeros_like(state["arrays"][name])
        return state


class CopiesAreTheTile(Mutant):
    """Two names for one array."""

    def copy(self) -> Any:
        return self


class SettingOnePlaneSetsAnother(Mutant):
    def set_hidden_parameters(self, parameters: Any) -> None:
        low = -np.abs(np.asarray(parameters["max_bound"]))
        super().set_hidden_parameters({**parameters, "min_bound": low})


MUTANTS: list[tuple[type[Mutant], str]] = [
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
    (StepTooSmall, "granularity"),
    (NoiseSharedByNeighbours, "noise_is_fresh"),
    (NoiseOfTheFirstPulse, "noise_is_fresh"),
    (NoiseKeyedByCall, "batch_split"),
    (PulseLostAtABatchBoundary, "batch_split"),
    (OnlyTheFirstOfABatch, "batch_split"),
    (MissedLastColumn, "one_crosspoint"),
    (LeakToTheNextRow, "one_crosspoint"),
    (LeakToTheNextRow, "no_crosstalk"),
    (UpdatesWithoutPulsesMove, "zero_pulses"),
    (ExpectedChangeIsHalf, "expected_change"),
    (DecayToZero, "decay"),
    (DecayMissesTheLastColumn, "decay"),
    (FirstColumnIsSpecial, "permutation"),
    (DiffusionWithoutFreshNumbers, "diffusion"),
    (DiffusionWithoutBeingAskedFor, "no_upkeep"),
    (ResetDoesNotWrapAround, "reset"),
    (ResetWithTwiceTheSpread, "reset_spread"),
    (ClipWidens, "clip"),
    (DriftNeverRestarts, "drift"),
    (SetWithoutClip, "set_weights"),
    (SetWithoutClip, "bounds"),
    (WriteNoiseIsStored, "write_noise"),
    (WriteNoiseLostWithoutPulseNoise, "write_noise"),
    (ProductsChangeWeights, "products"),
    (LookingDraws, "looking"),
    (StateForgetsOrdinals, "copies"),
    (StateForgetsOrdinals, "save_and_load"),
    (CopiesAreTheTile, "copies"),
    (SettingOnePlaneSetsAnother, "set_hidden"),
    (RefusedTooLate, "refused_calls"),
    (GlobalCounter, "same_seed"),
    (SeedWithoutEffect, "other_seed"),
    (DependsOnThreads, "thread_count"),
    (ConstructionSeedIgnored, "construction_seed"),
    (SpreadSharedByNeighbours, "neighbouring_devices"),
    (LastColumnIsWider, "no_spread"),
    (HugeInputsLeaveTheBounds, "finite"),
]


@pytest.mark.parametrize(
    ("mutant", "law"), MUTANTS, ids=lambda v: v if isinstance(v, str) else v.__name__
)
def test_a_mistake_breaks_its_law(mutant: type[Mutant], law: str) -> None:
    with pytest.raises(BrokenLaws) as caught:
        check_device(SoftBoundsDevice(), tile_factory=mutant, only=[law])
    (example,) = caught.value.report.broken
    assert example.law == law
    # It is the mistake that was seen, and not an error of the mutant.
    assert example.expected != "no exception"
    assert example.calls[0].startswith("tile = build(")


def test_every_law_has_a_mistake_that_breaks_it() -> None:
    assert {law for _, law in MUTANTS} == set(laws())


@pytest.mark.parametrize(
    ("mutant", "kept"),
    [
        (Mutant, set(laws())),
        (MissingClip, {"noise", "direction", "decay", "reset", "copies", "diffusion"}),
        (NoiseScaledTwice, {"bounds", "direction", "decay", "copies", "no_spread"}),
        (DecayToZero, {"bounds", "direction", "noise", "copies", "drift", "reset"}),
        (StateForgetsOrdinals, {"bounds", "noise", "decay", "batch_split", "drift"}),
    ],
)
def test_a_mistake_breaks_no_other_law(mutant: type[Mutant], kept: set[str]) -> None:
    check_device(SoftBoundsDevice(), tile_factory=mutant, only=kept)


# ---- what is reported ----------------------------------------------------------------


def test_the_smallest_example_is_told_in_words() -> None:
    device = ConstantStepDevice(dw_min=0.01)
    with pytest.raises(BrokenLaws) as caught:
        check_device(device, tile_factory=WrongSign, only=["direction", "bounds"])
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


def test_the_reported_calls_can_be_repeated() -> None:
    with pytest.raises(BrokenLaws) as caught:
        check_device(SoftBoundsDevice(), tile_factory=DecayToZero, only=["decay"])
    example = caught.value.report.broken[0]
    names = {"build": DecayToZero, "config": example.config, "full": np.full}
    for call in example.calls:
        exec(call, names)
    tile: Any = names["tile"]
    assert tile.get_weights()[0][0, 0] == np.float32(example.got)


def test_all_broken_laws_are_listed() -> None:
    names = ["no_crosstalk", "one_crosspoint", "direction"]
    with pytest.raises(AssertionError) as caught:
        check_device(SoftBoundsDevice(), tile_factory=LeakToTheNextRow, only=names)
    assert "laws: one_crosspoint, direction, no_crosstalk" in str(caught.value)


def test_an_exception_breaks_a_law() -> None:
    class Fails(Mutant):
        def diffuse_weights(self) -> None:
            raise ZeroDivisionError("no time")

    with pytest.raises(BrokenLaws, match="ZeroDivisionError: no time"):
        check_device(ConstantStepDevice(), tile_factory=Fails, only=["diffusion"])


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
