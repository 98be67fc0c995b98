"""Pictures of devices under pulses. Needs matplotlib: ``pip install "rpupy[plot]"``.

Every function returns a `matplotlib.figure.Figure` that it made itself, or draws into
axes that it is given. None of them uses `matplotlib.pyplot`, shows a window or changes
a setting of matplotlib; ``figure.savefig("device.png")`` writes a picture. The numbers
that are drawn come from `rpupy.pulse_response`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rpupy.configs.devices import Device, PulsedDevice
from rpupy.parameters.base import RPUConfigBase
from rpupy.pulse_response import (
    compute_pulse_response,
    compute_pulse_statistics,
    estimate_n_steps,
    pulse_directions,
    tile_of_devices,
    without_spread,
)
from rpupy.rpu_base._common import Floats, size, whole_number
from rpupy.tiles.base import Tile

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from rpupy.fitting import DeviceFit

__all__ = [
    "compute_pulse_response",
    "compute_pulse_statistics",
    "estimate_n_steps",
    "plot_device",
    "plot_device_compact",
    "plot_device_symmetry",
    "plot_pulse_response",
]

#: Colours that the common kinds of colour blindness keep apart: Okabe and Ito (2008),
#: https://jfly.uni-koeln.de/color/.
UP, DOWN = "#0072b2", "#d55e00"
TRACES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
NOMINAL = "#000000"

WEIGHT = "weight (normalised units)"
PULSES = "number of pulses"

#: More points than a figure has pixels are left out.
_MOST_POINTS = 4000


def new_figure(width: float, height: float) -> Figure:
    """Make an empty figure that belongs to nobody else.

    Parameters
    ----------
    width, height : float
        Size in inches.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "plots need matplotlib, which is not installed: pip install"
            ' "rpupy[plot]" (or pip install matplotlib)'
        ) from error
    return Figure(figsize=(width, height), layout="constrained")


def plot_pulse_response(
    analog_tile: Tile,
    direction: ArrayLike,
    use_forward: bool = False,
    *,
    axes: Axes | None = None,
) -> Figure:
    """Draw the weights of all devices of a tile under a sequence of pulses.

    Parameters
    ----------
    analog_tile : Tile
        A tile of pulsed devices; it stays as it is.
    direction : array_like, shape (T,)
        1 for a pulse up, -1 for a pulse down.
    use_forward : bool
        Read the weights by noisy products: see `compute_pulse_response`.
    axes : matplotlib.axes.Axes, optional
        Where to draw; default: a new figure.

    Returns
    -------
    matplotlib.figure.Figure
    """
    pulses = pulse_directions(direction)
    record = compute_pulse_response(analog_tile, pulses, use_forward, initial=True)
    if axes is None:
        axes = new_figure(6.4, 4.0).subplots()
    _draw_traces(axes, record.reshape(len(record), -1))
    axes.set(xlabel=PULSES, ylabel=WEIGHT, xlim=(0, len(pulses)))
    return _figure_of(axes)


def plot_device_compact(
    device: Device | RPUConfigBase,
    w_noise: float = 0.0,
    n_steps: int | None = None,
    n_traces: int = 3,
    n_loops: int = 2,
    w_init: ArrayLike | None = None,
    use_cuda: bool = False,
    axes: Axes | None = None,
    *,
    rng: Any = None,
    **plot_kwargs: Any,
) -> Figure:
    """Draw a few devices that go up and down, and the device without any spread.

    Parameters
    ----------
    device : Device or RPUConfigBase
        A pulsed device, or the configuration of a tile of such.
    w_noise : float
        Standard deviation of the noise with which each weight is read, in weight units;
        0: the weights themselves are drawn.
    n_steps : int, optional
        Number of pulses in each direction; default: `estimate_n_steps`.
    n_traces : int
        Number of devices.
    n_loops : int
        How often they go up and down.
    w_init : float or array_like, optional
        Weights to start from; default: the lower bounds.
    use_cuda : bool
        Simulate on a GPU.
    axes : matplotlib.axes.Axes, optional
        Where to draw; default: a new figure.
    rng : None, int, numpy.random.SeedSequence or numpy.random.Generator
        As in `rpupy.tiles.Tile`.
    **plot_kwargs
        Go to ``axes.plot`` for the devices.

    Returns
    -------
    matplotlib.figure.Figure
    """
    pulses, record, nominal = _loops(
        device, w_noise, n_steps, n_traces, n_loops, w_init, use_cuda, rng
    )
    if axes is None:
        axes = new_figure(5.0, 3.2).subplots()
    _draw_traces(axes, record, **plot_kwargs)
    _draw_nominal(axes, nominal)
    axes.set(title=_name(device), xlabel=PULSES, ylabel=WEIGHT, xlim=(0, len(pulses)))
    return _figure_of(axes)


def plot_device(
    device: Device | RPUConfigBase,
    w_noise: float = 0.0,
    *,
    n_steps: int | None = None,
    n_traces: int = 5,
    n_loops: int = 3,
    use_cuda: bool = False,
    smoothness: float = 0.5,
    rng: Any = None,
) -> Figure:
    """Draw an overview of a device: its response, and its steps against the weight.

    Parameters
    ----------
    device : Device or RPUConfigBase
        A pulsed device, or the configuration of a tile of such.
    w_noise : float
        Standard deviation of the noise with which each weight is read, in weight units.
    n_steps : int, optional
        Number of pulses in each direction; default: `estimate_n_steps`.
    n_traces : int
        Number of devices that are drawn; the steps are those of 20 times as many.
    n_loops : int
        How often they go up and down.
    use_cuda : bool
        Simulate on a GPU.
    smoothness : float
        Width of the average over neighbouring weights: see `compute_pulse_statistics`.
    rng : None, int, numpy.random.SeedSequence or numpy.random.Generator
        As in `rpupy.tiles.Tile`.

    Returns
    -------
    matplotlib.figure.Figure
        Left the weights of `n_traces` devices and of one without any spread; right the
        mean step up and down, its standard deviation over devices and pulses as a band,
        and the step of the device without spread as a broken line.
    """
    n_traces = size(n_traces, "n_traces")
    pulses, record, nominal = _loops(
        device, w_noise, n_steps, 20 * n_traces, n_loops, None, use_cuda, rng
    )
    figure = new_figure(10.0, 4.0)
    response, steps = figure.subplots(1, 2)
    _draw_traces(response, record[:, :n_traces])
    _draw_nominal(response, nominal)
    response.set(
        title="Response to pulses up and down",
        xlabel=PULSES,
        ylabel=WEIGHT,
        xlim=(0, len(pulses)),
    )

    low, high = np.percentile(record, (1, 99))
    nodes = np.linspace(low, high, 60) if high > low else low + np.array([0.0, 1e-6])
    for up, colour in ((True, UP), (False, DOWN)):
        way = "up" if up else "down"
        mean, std = compute_pulse_statistics(nodes, record, pulses, up, smoothness)
        steps.plot(nodes, mean, color=colour, label=f"mean step {way}")
        steps.fill_between(
            nodes,
            mean - std,
            mean + std,
            color=colour,
            alpha=0.2,
            lw=0,
            label=f"± one standard deviation, {way}",
        )
        if nominal is not None:
            at, step = _nominal_steps(nominal, pulses, up)
            steps.plot(at, step, color=NOMINAL, ls="--", lw=1)
    steps.axhline(0.0, color="0.6", lw=0.8, zorder=0)
    steps.set(
        title="Step of a pulse against the weight before it",
        xlabel=WEIGHT,
        ylabel="step (normalised units)",
    )
    steps.ticklabel_format(axis="y", style="sci", scilimits=(-3, 3))
    steps.legend(fontsize="small")
    figure.suptitle(_name(device))
    return figure


def plot_device_symmetry(
    device: Device | RPUConfigBase,
    w_noise: float = 0.0,
    n_pulses: int = 10000,
    n_traces: int = 3,
    use_cuda: bool = False,
    w_init: ArrayLike = 1.0,
    *,
    axes: Axes | None = None,
    rng: Any = None,
) -> Figure:
    """Draw how alternating pulses lead devices to their symmetry points.

    There steps up and down are equal, so that the weight stays.

    Parameters
    ----------
    device : Device or RPUConfigBase
        A pulsed device, or the configuration of a tile of such.
    w_noise : float
        Standard deviation of the noise with which each weight is read, in weight units.
    n_pulses : int
        Number of pulses, in turns up and down.
    n_traces : int
        Number of devices.
    use_cuda : bool
        Simulate on a GPU.
    w_init : float or array_like
        Weights to start from; devices clip them.
    axes : matplotlib.axes.Axes, optional
        Where to draw; default: a new figure.
    rng : None, int, numpy.random.SeedSequence or numpy.random.Generator
        As in `rpupy.tiles.Tile`.

    Returns
    -------
    matplotlib.figure.Figure

    References
    ----------
    Kim, Rasch, Gokmen et al., arXiv:1907.10228 (2019), for the symmetry point.
    """
    n_pulses = size(n_pulses, "n_pulses")
    pulses = np.where(np.arange(n_pulses) % 2 == 0, 1, -1)
    tile = tile_of_devices(
        device, n_traces, w_noise=w_noise, w_init=w_init, use_cuda=use_cuda, rng=rng
    )
    record = _record(tile, pulses, w_noise)
    if axes is None:
        axes = new_figure(6.4, 4.0).subplots()
    _draw_traces(axes, record)
    # After each second pulse, so that the line shows the drift and not its two edges.
    _draw_nominal(axes, _nominal(device, pulses, w_init), every=2)
    axes.set(
        title=f"{_name(device)}: alternating pulses",
        xlabel=PULSES,
        ylabel=WEIGHT,
        xlim=(0, n_pulses),
    )
    return _figure_of(axes)


# ---- details -------------------------------------------------------------------------


def _loops(
    device: Any,
    w_noise: float,
    n_steps: int | None,
    n_traces: int,
    n_loops: int,
    w_init: ArrayLike | None,
    use_cuda: bool,
    rng: Any,
) -> tuple[NDArray[np.int8], Floats, Floats | None]:
    """Return pulses, weights of devices, and those of the device without spread."""
    steps = (
        estimate_n_steps(device)
        if n_steps is None
        else whole_number(n_steps, "n_steps")
    )
    n_steps, n_loops = size(steps, "n_steps"), size(n_loops, "n_loops")
    up_and_down = np.repeat(np.array([1, -1], dtype=np.int8), n_steps)
    pulses = np.tile(up_and_down, n_loops)
    tile = tile_of_devices(
        device, n_traces, w_noise=w_noise, w_init=w_init, use_cuda=use_cuda, rng=rng
    )
    return pulses, _record(tile, pulses, w_noise), _nominal(device, pulses, w_init)


def _record(tile: Tile, pulses: NDArray[Any], w_noise: float) -> Floats:
    return compute_pulse_response(tile, pulses, w_noise > 0.0, initial=True)[:, :, 0]


def _nominal(
    device: Any, pulses: NDArray[Any], w_init: ArrayLike | None
) -> Floats | None:
    """Return the weights of the device without spread; None for a unit cell."""
    device = getattr(device, "device", device)
    if not isinstance(device, PulsedDevice):
        return None
    if w_init is not None:
        w_init = float(np.mean(np.asarray(w_init, dtype=np.float64)))
    tile = tile_of_devices(without_spread(device), 1, w_init=w_init, rng=0)
    return compute_pulse_response(tile, pulses, initial=True)[:, 0, 0]


def _nominal_steps(
    nominal: Floats, pulses: NDArray[Any], up: bool
) -> tuple[Floats, Floats]:
    """Return weights, increasing, and the steps from there without any spread."""
    chosen = pulses == (1 if up else -1)
    at, step = nominal[:-1][chosen], np.diff(nominal)[chosen]
    order = np.argsort(at)
    return at[order], step[order]


def _draw_traces(axes: Axes, record: NDArray[Any], **plot_kwargs: Any) -> None:
    at = _points(len(record))
    for k, trace in enumerate(record.T):
        style: dict[str, Any] = {"color": TRACES[k % len(TRACES)], "lw": 0.9}
        axes.plot(at, trace[at], **{**style, **plot_kwargs})


def _draw_nominal(axes: Axes, nominal: Floats | None, every: int = 1) -> None:
    if nominal is None:
        return
    at = every * _points((len(nominal) + every - 1) // every)
    axes.plot(
        at, nominal[at], color=NOMINAL, ls="--", lw=1.2, label="no spread, no noise"
    )
    _leave_room_below(axes)
    axes.legend(fontsize="small", loc="lower left")


def _leave_room_below(axes: Axes) -> None:
    """Make place for a legend below all that is drawn."""
    low, high = axes.get_ylim()
    axes.set_ylim(low - 0.12 * (high - low), high)


def _points(count: int) -> NDArray[Any]:
    if count <= _MOST_POINTS:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, _MOST_POINTS).astype(np.int64))


def _figure_of(axes: Axes) -> Figure:
    figure = axes.get_figure(root=True)
    assert figure is not None
    return figure


def _name(device: Any) -> str:
    return type(getattr(device, "device", device)).__name__


# ---- fits ----------------------------------------------------------------------------


def draw_fit(fit: DeviceFit, n_traces: int = 3) -> Figure:
    """Draw how well a device explains the records that it was fitted to.

    Parameters
    ----------
    fit : rpupy.fitting.DeviceFit
        The fit; `DeviceFit.plot` calls this.
    n_traces : int
        Number of cells whose records are drawn.

    Returns
    -------
    matplotlib.figure.Figure
    """
    shown = min(size(n_traces, "n_traces"), len(fit.weights))
    figure = new_figure(13.0, 4.0)
    records, residuals, histogram = figure.subplots(
        1, 3, gridspec_kw={"width_ratios": [5, 5, 3]}
    )
    predicted = fit.weights[:, 1:] - fit.residuals
    at = _points(len(fit.pulses))
    for k in range(shown):
        colour = TRACES[k % len(TRACES)]
        records.plot(
            at + 1,
            fit.weights[k, 1:][at],
            color=colour,
            ls="",
            marker=".",
            markersize=2,
            label="readings" if k == 0 else None,
        )
        records.plot(
            at + 1,
            predicted[k][at],
            color=NOMINAL,
            lw=0.7,
            label="prediction of each from those before" if k == 0 else None,
        )
    _leave_room_below(records)
    records.set(
        title=f"{shown} of {len(fit.weights)} cells", xlabel=PULSES, ylabel=WEIGHT
    )
    records.legend(fontsize="small", loc="lower left", markerscale=4)

    starts = np.where(np.isfinite(fit.residuals), fit.weights[:, :-1], np.nan)
    for way, colour, label in ((1, UP, "pulses up"), (-1, DOWN, "pulses down")):
        chosen = fit.pulses == way
        w, z = starts[:, chosen].ravel(), fit.standardised_residuals[:, chosen].ravel()
        seen = np.isfinite(w) & np.isfinite(z)
        order = np.argsort(w[seen], kind="stable")
        if order.size < 20:
            continue
        parts = np.array_split(order, 20)
        centres = [float(w[seen][part].mean()) for part in parts]
        means = np.array([float(z[seen][part].mean()) for part in parts])
        stds = np.array([float(z[seen][part].std()) for part in parts])
        residuals.plot(
            centres, means, color=colour, marker="o", markersize=3, label=label
        )
        residuals.fill_between(
            centres, means - stds, means + stds, color=colour, alpha=0.15, lw=0
        )
    for level in (-1.0, 0.0, 1.0):
        residuals.axhline(level, color="0.5", lw=0.8, ls="-" if level == 0 else ":")
    residuals.set(
        title="Residuals: mean ± one standard deviation",
        xlabel="weight before the pulse (normalised units)",
        ylabel="standardised residual",
        ylim=(-2.5, 2.5),
    )
    residuals.legend(fontsize="small", loc="upper right")

    z = fit.standardised_residuals[np.isfinite(fit.standardised_residuals)]
    bins = np.linspace(-4.0, 4.0, 41)
    histogram.hist(z, bins, density=True, color=TRACES[5], label="residuals")
    fine = np.linspace(-4.0, 4.0, 200)
    law = np.exp(-0.5 * fine**2) / np.sqrt(2.0 * np.pi)
    histogram.plot(fine, law, color=NOMINAL, ls="--", lw=1.2, label="normal law")
    histogram.set(
        title="Their distribution", xlabel="standardised residual", ylabel="density"
    )
    histogram.set_ylim(0.0, 1.25 * histogram.get_ylim()[1])
    histogram.legend(fontsize="small", loc="upper left")
    figure.suptitle(f"{type(fit.config).__name__} fitted to records")
    return figure
