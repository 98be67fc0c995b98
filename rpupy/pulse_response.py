"""How devices answer to pulses, as arrays: what plots and fits start from."""

from __future__ import annotations

import math
from typing import Any

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from rpupy.configs.configs import SingleRPUConfig
from rpupy.configs.devices import Device, PulsedDevice
from rpupy.parameters.base import RPUConfigBase, thawed_copy
from rpupy.parameters.enums import (
    BoundManagementType,
    NoiseManagementType,
    PulseType,
    WeightNoiseType,
)
from rpupy.parameters.io import IOParameters
from rpupy.parameters.training import UpdateParameters
from rpupy.rpu_base._common import Floats, real_array, real_number, size
from rpupy.tiles.base import Tile

__all__ = [
    "compute_pulse_response",
    "compute_pulse_statistics",
    "estimate_n_steps",
    "pulse_directions",
    "tile_of_devices",
    "without_spread",
]


def pulse_directions(direction: ArrayLike, name: str = "direction") -> NDArray[np.int8]:
    """Check a sequence of pulses.

    Parameters
    ----------
    direction : array_like, shape (T,)
        1 for a pulse up, -1 for a pulse down.
    name : str
        What messages call it.

    Returns
    -------
    ndarray of int8, shape (T,)

    Raises
    ------
    TypeError, ValueError
        If it is no such sequence, or empty.
    """
    values = real_array(direction, name)
    if values.ndim != 1 or values.size == 0:
        raise ValueError(
            f"{name} must have shape (T,) with T of at least 1, got {values.shape}"
        )
    wrong = values[np.abs(values) != 1.0]
    if wrong.size:
        raise ValueError(f"{name} must hold 1 (up) and -1 (down), got {wrong[0]:g}")
    return values.astype(np.int8)


def compute_pulse_response(
    analog_tile: Tile,
    direction: ArrayLike,
    use_forward: bool = False,
    *,
    initial: bool = False,
) -> Floats:
    """Send single pulses to all devices of a tile and record their weights.

    A copy of the tile gets the pulses, each crosspoint one at a time whatever the
    update parameters are; the tile itself stays as it is.

    Parameters
    ----------
    analog_tile : Tile
        A tile of pulsed devices.
    direction : array_like, shape (T,)
        1 for a pulse up, -1 for a pulse down.
    use_forward : bool
        Read the weights by products in evaluation mode, one for each column, and so
        with the noise and the converters of ``forward``. False: look at them.
    initial : bool
        Put the weights before the first pulse in front.

    Returns
    -------
    ndarray of float32, shape (T, out, in), or (T + 1, out, in) with `initial`
        Weights of the array after each pulse, in its own units: without mapping scales,
        and with an analog bias as the last column.

    Raises
    ------
    TypeError, ValueError
        If this is no tile of pulsed devices, or no sequence of 1 and -1.
    """
    pulses = pulse_directions(direction)
    core = _copy_for_single_pulses(analog_tile).tile
    x = np.ones((1, core.in_size), dtype=np.float32)
    d = np.ones((1, core.out_size), dtype=np.float32)
    # An update descends: the weight goes up where x and d have different signs.
    ways = {1: -d, -1: d}
    eye = np.eye(core.in_size, dtype=np.float32)

    def read() -> Any:
        if use_forward:
            return np.asarray(core.forward(eye, is_test=True)).T
        return core.get_weights()

    record = np.empty(
        (len(pulses) + initial, core.out_size, core.in_size), dtype=np.float32
    )
    if initial:
        record[0] = read()
    for k, pulse in enumerate(pulses.tolist(), start=int(initial)):
        core.update(x, ways[pulse])
        record[k] = read()
    return record


def _copy_for_single_pulses(tile: Tile) -> Tile:
    device = getattr(getattr(tile, "rpu_config", None), "device", None)
    if not isinstance(tile, Tile) or not hasattr(device, "weight_granularity"):
        held = f" of {type(device).__name__}" if isinstance(tile, Tile) else ""
        raise TypeError(
            f"analog_tile must be a tile of pulsed devices, got {type(tile).__name__}"
            f"{held}"
        )
    config = thawed_copy(tile.rpu_config)
    # A train of one slot, which both lines fill with certainty if the learning rate is
    # at least the granularity: each vector of ones is a pulse at every crosspoint.
    config.update = UpdateParameters(
        pulse_type=PulseType.STOCHASTIC_COMPRESSED,
        desired_bl=1,
        update_management=False,
        update_bl_management=False,
    )
    twin = type(tile).__new__(type(tile))
    twin.__setstate__({**tile.__getstate__(), "config": config})
    # Well above what suffices, should the hidden parameters have changed the steps.
    twin.tile.set_learning_rate(1000.0 * config.device.weight_granularity())
    return twin


def tile_of_devices(
    device: Device | RPUConfigBase,
    n_traces: int,
    *,
    w_noise: float = 0.0,
    w_init: ArrayLike | None = None,
    use_cuda: bool = False,
    rng: Any = None,
) -> Tile:
    """Build a tile of one column, whose crosspoints are independent devices.

    Parameters
    ----------
    device : Device or RPUConfigBase
        A pulsed device, or the configuration of a tile of such.
    n_traces : int
        Number of devices.
    w_noise : float
        Standard deviation, in weight units, of the noise with which ``forward`` reads a
        weight; 0: it reads exactly. Only for a device; a configuration keeps its own.
    w_init : float or array_like of shape (n_traces,), optional
        Weights to start from; default: the lower bounds. Devices clip them.
    use_cuda : bool
        Build it on a GPU.
    rng : None, int, numpy.random.SeedSequence or numpy.random.Generator
        As in `rpupy.tiles.Tile`.

    Returns
    -------
    Tile

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or out of range.
    """
    n_traces = size(n_traces, "n_traces")
    noise = real_number(w_noise, "w_noise")
    if noise < 0.0:
        raise ValueError(f"w_noise must not be negative, got {w_noise!r}")
    if isinstance(device, RPUConfigBase):
        if noise:
            raise ValueError(
                "w_noise must be 0 with a configuration, which has a forward.w_noise"
                f" of its own, got {w_noise!r}"
            )
        config: Any = thawed_copy(device)
    else:
        own: Any = thawed_copy(_pulsed(device))
        config = SingleRPUConfig(device=own, forward=_reading(noise))
    tile: Tile = config.tile_class(n_traces, 1, rpu_config=config, rng=rng)
    if use_cuda:
        tile = tile.cuda()
    if w_init is None:
        w_init = -1e30
    weights = real_array(w_init, "w_init")
    if weights.shape not in ((), (1,), (n_traces,)):
        raise ValueError(
            f"w_init must have shape () or ({n_traces},), got {weights.shape}"
        )
    tile.tile.set_weights(np.broadcast_to(weights, (n_traces,)).reshape(n_traces, 1))
    return tile


def _pulsed(device: Any) -> Any:
    if not isinstance(device, Device) or not hasattr(device, "weight_granularity"):
        raise TypeError(
            "device must be a pulsed device, such as ConstantStepDevice(), got"
            f" {device.__name__ if isinstance(device, type) else type(device).__name__}"
        )
    return device


def _reading(w_noise: float) -> IOParameters:
    """Products without converters, whose only error is the noise of the weight."""
    return IOParameters(
        inp_res=0.0,
        out_res=0.0,
        out_bound=0.0,
        out_noise=0.0,
        bound_management=BoundManagementType.NONE,
        noise_management=NoiseManagementType.NONE,
        w_noise=w_noise,
        w_noise_type=WeightNoiseType.ADDITIVE_CONSTANT
        if w_noise
        else WeightNoiseType.NONE,
    )


def estimate_n_steps(rpu_config: RPUConfigBase | Device) -> int:
    """Estimate how many pulses lead a device through its range.

    Parameters
    ----------
    rpu_config : RPUConfigBase or Device
        A pulsed device, or a configuration with one.

    Returns
    -------
    int
        The mean range over the mean step at weight 0, rounded up. Devices whose steps
        shrink need more pulses to come near a bound, or never reach it.
    """
    device = _pulsed(getattr(rpu_config, "device", rpu_config))
    return max(math.ceil(device.num_states()), 1)


def without_spread(device: PulsedDevice) -> PulsedDevice:
    """Copy a device without what differs between devices, pulses and reads.

    Parameters
    ----------
    device : PulsedDevice
        The device.

    Returns
    -------
    PulsedDevice
        The same with all fields of names in ``_dtod`` and ``_std`` at 0.
    """
    kind: Any = type(_pulsed(device))
    spreads = [
        field.name
        for field in attrs.fields(kind)
        if field.name.endswith(("_dtod", "_std"))
    ]
    bare = thawed_copy(device)
    for name in spreads:
        setattr(bare, name, 0.0)
    return bare


def compute_pulse_statistics(
    w_nodes: ArrayLike,
    w_trace: ArrayLike,
    direction: ArrayLike,
    up_direction: bool,
    smoothness: float = 0.5,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Estimate the mean and the spread of steps as functions of the weight.

    Parameters
    ----------
    w_nodes : array_like, shape (K,)
        Weights at which to estimate, increasing, in equal distances.
    w_trace : array_like, shape (T + 1, ...)
        Weights before the first pulse and after each, of any number of devices.
    direction : array_like, shape (T,)
        1 for a pulse up, -1 for a pulse down.
    up_direction : bool
        Whether to look at the pulses up or at those down.
    smoothness : float
        Standard deviation of the Gaussian kernel, in distances of nodes; above 0.

    Returns
    -------
    mean, std : ndarray, shape (K,)
        Step of the weight by one pulse, and its standard deviation over pulses and
        devices. NaN where fewer than two steps start within three kernel widths.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range.
    """
    nodes = real_array(w_nodes, "w_nodes").astype(np.float64)
    trace = real_array(w_trace, "w_trace").astype(np.float64)
    pulses = pulse_directions(direction)
    if nodes.ndim != 1 or nodes.size < 2 or not (np.diff(nodes) > 0).all():
        raise ValueError("w_nodes must be a vector of at least 2 increasing weights")
    if trace.ndim == 0 or len(trace) != len(pulses) + 1:
        raise ValueError(
            f"w_trace must have shape (T + 1, ...) with T = {len(pulses)}, got"
            f" {trace.shape}"
        )
    if real_number(smoothness, "smoothness") <= 0.0:
        raise ValueError(f"smoothness must be above 0, got {smoothness!r}")
    chosen = pulses == (1 if up_direction else -1)
    starts = trace[:-1][chosen].ravel()
    steps = np.diff(trace, axis=0)[chosen].ravel()
    width = float(smoothness) * (nodes[1] - nodes[0])
    order = np.argsort(starts)
    starts, steps = starts[order], steps[order]
    first = np.searchsorted(starts, nodes - 3.0 * width, side="left")
    last = np.searchsorted(starts, nodes + 3.0 * width, side="right")
    mean = np.full(nodes.shape, np.nan)
    std = np.full(nodes.shape, np.nan)
    for k, (a, b) in enumerate(zip(first, last, strict=True)):
        if b - a < 2:
            continue
        weight = np.exp(-0.5 * ((starts[a:b] - nodes[k]) / width) ** 2)
        total = weight.sum()
        mean[k] = weight @ steps[a:b] / total
        std[k] = math.sqrt(weight @ (steps[a:b] - mean[k]) ** 2 / total)
    return mean, std
