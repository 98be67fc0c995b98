"""One plane of devices: one device at each crosspoint, and maintenance of its weights.

A tile of single devices has one plane, a compound several. The arrays of a plane stand among
those of the tile, under names that end in the suffix of the plane, and so do its counters.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from rpupy import threads
from rpupy.errors import ConfigError
from rpupy.parameters.enums import NoiseAggregation, PulseType

from . import _common, _cpu
from ._common import Floats

if TYPE_CHECKING:
    from .core import CoreTile

#: Planes that pulses read, and planes that maintenance alone reads.
BASE_PLANES = _cpu.FIELDS["pulsed_cell"]
UPKEEP_PLANES = _cpu.FIELDS["upkeep"]
#: Counters of events of one plane.
COUNTERS = ("diffusion", "reset", "drift", "redraw")

_NO_BOUND = (
    np.array(-np.inf, dtype=np.float32),
    np.array(np.inf, dtype=np.float32),
)
_ZERO = np.array(0.0, dtype=np.float32)


class DevicePlane:
    """A device at each crosspoint.

    Parameters
    ----------
    tile : CoreTile
        Owner of the arrays, counters and kernels.
    device : rpupy.configs.devices.Device
        Configuration of the device.
    exact : bool
        Replace a pulsed device by an exact weight with its decay, diffusion, reset and
        drift without spread, and without bounds.
    number : int
        Number of the plane, in the counters of random numbers.
    suffix : str
        What names of arrays and counters end in.
    weights : str
        Name of the array of the visible weights.
    """

    def __init__(
        self,
        tile: CoreTile,
        device: Any,
        exact: bool = False,
        number: int = 0,
        suffix: str = "",
        weights: str = "weights",
    ) -> None:
        self.belong_to(tile)
        self.device = device = device.resolved()
        self.number = number
        self.suffix = suffix
        self.weights = weights
        binding = self._bind()
        if binding.pulsed and exact:
            index, pulsed, params, cell = _cpu.DEVICES["ideal"]
            binding = _common.Binding(index, pulsed, params, cell)
        self.binding = binding
        self.own = _common.pack(binding.params, device)
        self.drift_parameters = _common.pack(_cpu.FIELDS["drift"], device)
        self.drift_time = 0.0
        self.dw_min = 0.0
        self.granularity = 1.0
        self.write_noise_std = 0.0
        self.dw_min_std = 0.0
        if binding.pulsed:
            self.parameters = _common.pack(_cpu.FIELDS["pulsed"], device)
            self.dw_min = float(device.dw_min)
            self.dw_min_std = float(device.dw_min_std)
            self.granularity = float(device.weight_granularity())
            self.write_noise_std = float(getattr(device, "write_noise_std", 0.0))

    def _bind(self) -> _common.Binding:
        return _common.bind_device(type(self.device))

    def belong_to(self, tile: CoreTile) -> None:
        """Take arrays, counters and kernels from this tile from now on."""
        # A reference that counts would be a circle, and device memory be given back
        # whenever the garbage collector comes by.
        self._tile: CoreTile = weakref.proxy(tile)

    def check_aggregation(self, update: Any, name: str = "UpdateParameters") -> None:
        """Check that the noise of the pulses can be drawn as an update asks for.

        Parameters
        ----------
        update : UpdateParameters
        name : str
            How the error calls it.

        Raises
        ------
        NotImplementedError
            If it is to be drawn once for a mini-batch and the device has no such form.
        """
        kernel = self.device.kernel
        if (
            self.pulsed
            and update.noise_aggregation is NoiseAggregation.BATCH
            and update.pulse_type is not PulseType.NONE_WITH_DEVICE
            and kernel not in _cpu.AGGREGATING
        ):
            raise NotImplementedError(
                f"{name}.noise_aggregation = {update.noise_aggregation} is not"
                f" built for {type(self.device).__name__}; built for the kernels"
                f" {', '.join(sorted(_cpu.AGGREGATING))}"
            )

    # ---- arrays and counters ---------------------------------------------------------

    @property
    def pulsed(self) -> bool:
        """Whether the device changes by pulses."""
        return bool(self.binding.pulsed)

    @property
    def has_write_noise(self) -> bool:
        """Whether visible weights differ from those that pulses act on."""
        return self.pulsed and self.write_noise_std > 0.0

    @property
    def has_drift(self) -> bool:
        """Whether weights drift."""
        nu = self.device.drift.nu if hasattr(self.device, "drift") else 0
        return bool(nu > 0.0 if self.pulsed else nu != 0.0)

    @property
    def apparent_noise(self) -> float:
        """Standard deviation of the write noise, in weight units."""
        return self.write_noise_std * self.dw_min

    def array(self, name: str) -> Any:
        """Return the array of this name and plane."""
        return self._tile._arrays[name + self.suffix]

    def shapes(self, full: tuple[int, int]) -> dict[str, tuple[tuple[int, ...], type]]:
        """Name, shape and type of the arrays, in their order.

        An upkeep plane without spread has shape (): one number for all crosspoints.
        """
        planes: dict[str, tuple[tuple[int, ...], type]] = {}
        if self.pulsed:
            names = (*BASE_PLANES, *self.binding.cell)
            planes |= {name: (full, np.float32) for name in names}
            device = self.device
            spreads = {
                "decay_scales": device.lifetime > 0.0 and device.lifetime_dtod,
                "diffusion_rates": device.diffusion > 0.0 and device.diffusion_dtod,
                # A symmetry point that is subtracted differs between crosspoints.
                "reset_bias": device.reset_dtod > 0.0
                or getattr(device, "subtract_symmetry_point", False),
                "drift_nu": device.drift.nu and device.drift.nu_dtod,
            }
            for name in UPKEEP_PLANES:
                planes[name] = (full if spreads[name] else (), np.float32)
            planes["pulse_ordinals"] = (full, np.uint32)
            if device.count_pulses:
                planes["pulse_counters"] = ((2, *full), np.int64)
            if self.has_write_noise:
                planes["persistent_weights"] = (full, np.float32)
        if self.has_drift:
            for name in ("drift_start", "drift_since", "drift_previous"):
                planes[name] = (full, np.float32)
        return {self.weights: (full, np.float32)} | {
            name + self.suffix: entry for name, entry in planes.items()
        }

    def counters(self) -> tuple[str, ...]:
        """Names of the counters."""
        return tuple(name + self.suffix for name in COUNTERS)

    def hidden_names(self) -> list[str]:
        """Names of the hidden parameters; none for an exact device."""
        if not self.pulsed:
            return []
        noisy = ["persistent_weights"] if self.has_write_noise else []
        names = [*BASE_PLANES, *UPKEEP_PLANES, *noisy, *self.binding.cell]
        return [name + self.suffix for name in names]

    def _count(self, name: str) -> int:
        return int(self._tile._counters[name + self.suffix])

    def _counted(self, name: str, events: int = 1) -> None:
        self._tile._counters[name + self.suffix] += events

    def draw(self, key: tuple[int, ...]) -> None:
        """Draw the device-to-device spread."""
        if not self.pulsed:
            return
        self._tile._backend.populate(
            self.binding.number,
            key,
            self.parameters,
            self.own,
            self.cell(),
            tuple(self.array(name) for name in UPKEEP_PLANES),
            threads.get_num_threads(),
            self.number,
        )
        for name in (*BASE_PLANES, *self.binding.cell, *UPKEEP_PLANES):
            if not self._tile._backend.all_finite(self.array(name)):
                raise ConfigError(
                    f"the parameters of {type(self.device).__name__} must give finite"
                    f" devices, got {name} beyond what float32 holds"
                )

    def cell(self) -> tuple[Any, ...]:
        """Return the arrays that pulses read, in the order of the kernel."""
        return tuple(self.array(name) for name in (*BASE_PLANES, *self.binding.cell))

    # ---- weights ---------------------------------------------------------------------

    @property
    def true_weights(self) -> Any:
        """The weights that pulses and maintenance act on, apart from write noise."""
        if self.has_write_noise:
            return self.array("persistent_weights")
        return self.visible_weights

    @property
    def visible_weights(self) -> Any:
        """The weights that products see."""
        return self._tile._arrays[self.weights]

    @property
    def pulse_counters(self) -> Any:
        """Pulses down and pulses up of each crosspoint; None if they are not counted."""
        return self._tile._arrays.get("pulse_counters" + self.suffix)

    @property
    def bounds(self) -> tuple[Any, Any]:
        """Lower and upper bound of each crosspoint, or one number for all."""
        if self.pulsed:
            return self.array("min_bound"), self.array("max_bound")
        return _NO_BOUND

    def _run_upkeep(self, operation: str, **arguments: Any) -> None:
        self._tile._backend.upkeep(
            operation,
            self.true_weights,
            *self.bounds,
            threads=threads.get_num_threads(),
            plane=self.number,
            **arguments,
        )

    def redraw(self, events: int = 1) -> None:
        """Draw the apparent weights anew, as the last of so many events."""
        if not self.has_write_noise:
            return
        self._counted("redraw", events - 1)
        self._run_upkeep(
            "apparent",
            numbers=(self.apparent_noise,),
            ordinal=self._count("redraw"),
            target=self.visible_weights,
        )
        self._counted("redraw")

    def show(self) -> None:
        """Make the apparent weights of weights that were just set."""
        if not self.has_write_noise:
            return
        if self.device.apply_write_noise_on_set:
            self.redraw()
        else:
            self._tile._backend.copy(self.visible_weights, self.true_weights)
            self._tile._backend.weights_changed()

    def set_weights(self, weights: Floats) -> None:
        """Write weights, clipped to the bounds."""
        self._tile._backend.write(self.true_weights, weights)
        self.bound()

    def bound(self) -> None:
        """Clip weights that were just set to the bounds, and show them."""
        self._run_upkeep("clip", numbers=(-1.0,))
        self.show()

    def set_uniform(self, low: float, high: float, ordinal: int) -> None:
        """Draw the weights uniformly from [low, high), clipped to the bounds."""
        self._run_upkeep("uniform", numbers=(low, high), ordinal=ordinal)
        self.show()

    # ---- maintenance -----------------------------------------------------------------

    def decay(self, alpha: float) -> None:
        """Decay towards the reset bias, with a rate scaled by `alpha`."""
        if self.pulsed:
            values = (self.array("decay_scales"), self.array("reset_bias"))
            self._run_upkeep("decay", values=values, numbers=(alpha,))
        else:
            factor = _cpu.decay_factor(self.binding.number, self.own, alpha)
            if factor == 1.0:
                return
            values = (np.array(factor, dtype=np.float32), _ZERO)
            self._run_upkeep("decay", values=values, numbers=(1.0,))
        self.redraw()

    def diffuse(self) -> None:
        """Add one step of diffusion."""
        if self.pulsed:
            rates = self.array("diffusion_rates")
        else:
            rates = np.array(max(float(self.device.diffusion), 0.0), dtype=np.float32)
        self._run_upkeep("diffuse", values=(rates,), ordinal=self._count("diffusion"))
        self._counted("diffusion")
        self.redraw()

    @property
    def reset_std(self) -> float:
        """Spread from reset to reset."""
        return max(float(self.device.reset_std), 0.0)

    def reset(self, start: int, columns: int, prob: float) -> None:
        """Reset crosspoints of some columns to their reset bias."""
        bias = self.array("reset_bias") if self.pulsed else _ZERO
        self._run_upkeep(
            "reset",
            values=(bias,),
            numbers=(self.reset_std, prob),
            ordinal=self._count("reset"),
            first_column=start,
            columns=columns,
        )
        self._counted("reset")
        self.redraw()

    def clip(self, limit: float) -> None:
        """Limit the weights to [-limit, limit]; a negative limit keeps the bounds only."""
        self._run_upkeep("clip", numbers=(limit,))
        self.redraw()

    def drift(self, delta_t: float) -> None:
        """Let the weights drift, if the device does."""
        if not self.has_drift:
            return
        drift = self.device.drift
        # Kernels count time in float32; beyond that it stands still.
        now = min(self.drift_time + delta_t / float(drift.t_0), _common.LARGEST)
        backend = self._tile._backend
        if self._count("drift") == 0:
            backend.copy(self.array("drift_start"), self.true_weights)
            backend.copy(self.array("drift_previous"), self.true_weights)
        if self.pulsed:
            exponents = self.array("drift_nu")
        else:
            exponents = np.array(drift.nu, dtype=np.float32)
        self._run_upkeep(
            "drift",
            values=(exponents,),
            drift=self.drift_parameters,
            now=now,
            start=self.array("drift_start"),
            since=self.array("drift_since"),
            previous=self.array("drift_previous"),
            ordinal=self._count("drift"),
        )
        self.drift_time = now
        self._counted("drift")
        self.redraw()

    # ---- hidden parameters -----------------------------------------------------------

    def take_hidden(self, values: dict[str, Floats]) -> None:
        """Take new hidden parameters of this plane, by their full names."""
        if not self.pulsed:
            return
        own = {name: values[name] for name in self.hidden_names()}
        if not self.has_drift:
            del own["drift_nu" + self.suffix]
        for name in UPKEEP_PLANES:
            value = own.get(name + self.suffix)
            if value is not None and np.all(value == value.flat[0]):
                own[name + self.suffix] = np.array(value.flat[0], dtype=np.float32)
        backend = self._tile._backend
        self._tile._arrays |= {n: backend.array_from(v) for n, v in own.items()}
        self._take_mean_step(
            values["dwmin_up" + self.suffix], values["dwmin_down" + self.suffix]
        )

    def _take_mean_step(self, up: Floats, down: Floats) -> None:
        """Let the mean of new steps replace ``dw_min`` if it is another."""
        # Exactly rounded: the order of NumPy's sums differs.
        total = math.fsum(math.fsum(np.abs(row).tolist()) for row in (*up, *down))
        mean = total / (2 * up.size)
        device = self.device
        # The small part keeps float32 rounding of a device without spread from counting.
        tolerance = 2.0 * abs(device.dw_min_dtod) + 1e-5
        if abs(mean - self.dw_min) > tolerance * self.dw_min and mean > 0.0:
            self.granularity = mean * float(device.weight_granularity() / device.dw_min)
            self.dw_min = mean

    def numbers(self) -> dict[str, float]:
        """Return the numbers of the state."""
        return {
            "drift_time": self.drift_time,
            "dw_min": self.dw_min,
            "granularity": self.granularity,
        }

    def set_numbers(self, numbers: Mapping[str, Any]) -> None:
        """Take what `numbers` returned."""
        self.drift_time = float(numbers["drift_time"])
        self.dw_min = float(numbers["dw_min"])
        self.granularity = float(numbers["granularity"])
