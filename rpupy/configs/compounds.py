r"""Unit cells and compounds: several devices at each crosspoint, and who gets the pulses.

In all equations :math:`W_k` are the weights of device ``k`` of the cell (the *hidden*
weights), :math:`W` is what products see, and :math:`g` is the granularity, the mean step of
a device. Every device has its own draws; decay, diffusion and drift act on each on its own.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import attrs

from rpupy.errors import ConfigError
from rpupy.parameters.base import (
    Parameters,
    choice,
    define,
    flag,
    integer,
    part,
    parts,
    real,
    reals,
)
from rpupy.parameters.effects import Setting
from rpupy.parameters.enums import (
    AnalogMVType,
    BoundManagementType,
    NoiseManagementType,
    PulseType,
    VectorUnitCellUpdatePolicy,
    WeightNoiseType,
)
from rpupy.parameters.io import IOParameters
from rpupy.parameters.training import UpdateParameters

from .devices import IdealDevice, PulsedDevice

__all__ = [
    "BufferedTransferCompound",
    "ChoppedTransferCompound",
    "DifferenceUnitCell",
    "DigitalRankUpdateCell",
    "DynamicTransferCompound",
    "MixedPrecisionCompound",
    "OneSidedUnitCell",
    "ReferenceUnitCell",
    "TransferCompound",
    "UnitCell",
    "VectorUnitCell",
]


#: Devices of a cell, at most.
_MOST = 255
#: Fields of IOParameters that leave the read of a slice a matter of that slice alone.
_OF_A_SLICE = frozenset(
    {
        "is_perfect",
        "inp_bound",
        "inp_res",
        "inp_asymmetry",
        "out_bound",
        "out_noise",
        "out_noise_std",
        "out_nonlinearity",
        "out_nonlinearity_std",
        "out_res",
        "out_sto_round",
        "out_scale",
        "out_asymmetry",
        "r_series",
        "slope_calibration",
        "v_offset_std",
        "v_offset_w_min",
        "w_noise",
        "w_noise_type",
        "noise_management",
        "nm_decay",
        "nm_thres",
        "bound_management",
        "max_bm_factor",
        "max_bm_res",
        "bm_test_negative_bound",
    }
)


class Cell(Parameters):
    """What all cells have in common; no fields of its own."""

    __slots__ = ()

    #: Kind of node in the kernels (csrc/kernel_table.h); empty for a class that is a base.
    node: ClassVar[str] = ""

    def members(self) -> tuple[Any, ...]:
        """Devices and cells inside, one for each hidden weight."""
        raise NotImplementedError

    def exact_device(self) -> IdealDevice:
        """Give what takes the place of the cell in updates without pulses."""
        return IdealDevice()

    def requires_diffusion(self) -> bool:
        """Whether a diffusion step follows each mini-batch: if a device asks for it."""
        return any(member.requires_diffusion() for member in self.members())

    def requires_decay(self) -> bool:
        """Whether a decay step follows each mini-batch: if a device asks for it."""
        return any(member.requires_decay() for member in self.members())

    def validate(self) -> None:
        """Check that this is a cell and not only the base of some."""
        super().validate()
        if not self.node:
            raise ConfigError(
                f"{type(self).__name__} is only a base for cells; take one such as"
                " VectorUnitCell"
            )

    def _refuse(self, name: str, rule: str, value: object) -> ConfigError:
        return ConfigError(f"{type(self).__name__}.{name} must {rule}, got {value}")


def _default_transfer_update() -> UpdateParameters:
    return UpdateParameters(
        desired_bl=1, update_bl_management=False, update_management=False
    )


@define
class UnitCell(Cell):
    """Base of cells that list their devices.

    Parameters
    ----------
    unit_cell_devices : list of PulsedDevice or UnitCell
        The devices.
    construction_seed : int
        Seed of all draws of the devices; 0: they follow the seed of the tile.
    """

    unit_cell_devices: list[Any] = parts(lambda: (PulsedDevice, UnitCell))
    construction_seed: int = integer(0, low=0, high=math.inf, effect=Setting())

    def members(self) -> tuple[Any, ...]:
        """Devices and cells inside, one for each hidden weight."""
        return tuple(self.unit_cell_devices)

    def gammas(self) -> tuple[float, ...]:
        """Give the factor of each member in the effective weight."""
        raise NotImplementedError

    def validate(self) -> None:
        """Check the devices.

        Raises
        ------
        ConfigError
            If an entry of the list is no pulsed device and no unit cell.
        """
        super().validate()
        for k, member in enumerate(self.unit_cell_devices):
            if not isinstance(member, (PulsedDevice, UnitCell)):
                raise self._refuse(
                    f"unit_cell_devices[{k}]",
                    "be a pulsed device or a unit cell",
                    type(member).__name__,
                )

    def _check_count(self, low: int, high: float = math.inf) -> None:
        count = len(self.unit_cell_devices)
        if not low <= count <= high:
            rule = f"have {low}" if low == high else f"have at least {low}"
            if low < high < math.inf:
                rule = f"have {low} to {high:g}"
            raise self._refuse("unit_cell_devices", f"{rule} devices", count)

    def _check_length(self, name: str) -> None:
        given, count = len(getattr(self, name)), len(self.members())
        if given not in (0, count):
            raise self._refuse(name, f"be empty or have {count} numbers", given)


@define
class VectorUnitCell(UnitCell):
    r"""Devices whose weights add up: :math:`W = \sum_k \gamma_k W_k`.

    Parameters
    ----------
    update_policy : VectorUnitCellUpdatePolicy
        Which devices get the pulses of a vector: all of them the same ones, or one that
        stays, that is the next one for each vector, or that is drawn for each vector.
    first_update_idx : int
        Number of the device at the start. With SINGLE_SEQUENTIAL the first vector goes
        to the one behind it.
    gamma_vec : list of float
        Factors :math:`\gamma_k`; empty: ``1 / n`` each.

    Notes
    -----
    Setting weights writes the same to all devices (with SINGLE_FIXED to the present one
    alone), without regard to the factors. Pulse trains are made for the mean granularity
    of the devices. Phenomenological.
    """

    node: ClassVar[str] = "vector"

    update_policy: VectorUnitCellUpdatePolicy = choice(VectorUnitCellUpdatePolicy.ALL)
    first_update_idx: int = integer(0, low=0, effect=Setting())
    gamma_vec: list[float] = reals((), least=0, most=_MOST)

    def gammas(self) -> tuple[float, ...]:
        """Give the factor of each member in the effective weight."""
        count = len(self.members())
        return tuple(self.gamma_vec) or (1.0 / count,) * count

    def validate(self) -> None:
        """Check the number of devices and of factors.

        Raises
        ------
        ConfigError
            If there is no device, or a number does not fit the devices.
        """
        super().validate()
        self._check_count(1)
        self._check_length("gamma_vec")
        if self.first_update_idx >= len(self.members()):
            raise self._refuse(
                "first_update_idx",
                f"be below the number of devices, {len(self.members())}",
                self.first_update_idx,
            )


@define
class ReferenceUnitCell(VectorUnitCell):
    """A device and a reference that is not updated: ``W = W_0 - W_1``.

    One given device stands for both; of more than two, the first two count. The
    reference starts at 0 and is written with ``set_hidden_update_index(1)``.

    Parameters
    ----------
    update_policy : VectorUnitCellUpdatePolicy
        Keep at SINGLE_FIXED.
    first_update_idx : int
        The device that is updated.
    gamma_vec : list of float
        Factors of the two.

    Notes
    -----
    Phenomenological.
    """

    update_policy: VectorUnitCellUpdatePolicy = choice(
        VectorUnitCellUpdatePolicy.SINGLE_FIXED
    )
    gamma_vec: list[float] = reals((1.0, -1.0), least=0, most=_MOST)

    def members(self) -> tuple[Any, ...]:
        """Device and reference."""
        devices = self.unit_cell_devices
        return tuple(devices[:2]) if len(devices) > 1 else tuple(devices) * 2


@define
class OneSidedUnitCell(UnitCell):
    r"""Two devices that only go up: :math:`W = W_1 - W_0`.

    What is to increase the weight is a pulse up on device 1, what is to decrease it one
    on device 0. Both saturate, so that they are refreshed from time to time: where both
    are high, they are reset, and their difference is written again.

    Parameters
    ----------
    unit_cell_devices : list of PulsedDevice
        One device, or two of a class; the parameters of the first one count for both.
    refresh_every : int
        Period of the refresh; 0 or below: never.
    units_in_mbatch : bool
        Count that period in mini-batches. False: in vectors.
    refresh_upper_thres, refresh_lower_thres : float
        A crosspoint is refreshed when the larger device is read above the first and the
        smaller one above the second, both as fractions of ``abs(w_max)``.
    refresh_forward : IOParameters
        Reads of the refresh.
    refresh_update : UpdateParameters
        Writes of the refresh, one for each column and device.
    copy_inverted : bool
        Let device 1 go up as device 0 goes down: it takes the parameters that device 0
        drew, with up and down exchanged and signs turned. What is not drawn stays: the
        curve of ExpStepDevice and the nodes of PiecewiseStepDevice.

    Notes
    -----
    Phenomenological.
    """

    node: ClassVar[str] = "one_sided"

    refresh_every: int = integer(0, effect=Setting())
    units_in_mbatch: bool = flag(
        True,
        effect=Setting(
            needs=("refresh_every",),
            splits="the period of the refresh counts mini-batches",
        ),
    )
    refresh_upper_thres: float = real(0.75, effect=Setting(needs=("refresh_every",)))
    refresh_lower_thres: float = real(0.25, effect=Setting(needs=("refresh_every",)))
    refresh_forward: IOParameters = part(IOParameters)
    refresh_update: UpdateParameters = part(UpdateParameters)
    copy_inverted: bool = flag(False)

    def members(self) -> tuple[Any, ...]:
        """Device 0, which lowers the weight, and device 1, which raises it."""
        return tuple(self.unit_cell_devices[:1]) * 2

    def gammas(self) -> tuple[float, ...]:
        """Give the factor of each member in the effective weight."""
        return (-1.0, 1.0)

    def validate(self) -> None:
        """Check the devices.

        Raises
        ------
        ConfigError
            If there is not one device, or two of a class.
        """
        super().validate()
        self._check_count(1, 2)
        kinds = {type(member) for member in self.unit_cell_devices}
        if len(kinds) > 1 or not issubclass(min(kinds, key=str), PulsedDevice):
            raise self._refuse(
                "unit_cell_devices",
                "be pulsed devices of one class",
                " and ".join(sorted(kind.__name__ for kind in kinds)),
            )
        _check_write(self, "refresh_update")


@define
class DifferenceUnitCell(OneSidedUnitCell):
    """The former name of OneSidedUnitCell."""


@define
class TransferCompound(UnitCell):
    r"""Tiki-taka (TTv1): a fast array that learns, and is moved to a slow one.

    Pulses go to the first device alone. From time to time a slice of it, a column or a
    row, is read, and what was read is written to the next device:
    :math:`W_{k+1} \leftarrow W_{k+1} + \eta_k\, \mathrm{read}(W_k)`.

    Parameters
    ----------
    unit_cell_devices : list of PulsedDevice or UnitCell
        At least two. The first is the fast one; all others are alike.
    gamma : float
        Factor: device ``k`` of ``n`` counts ``gamma**(n - 1 - k)``, the last one 1.
    gamma_vec : list of float
        Factors of all devices instead; the last one must not be 0.
    transfer_every : float
        Period of the transfers out of the first device; 0 or below: none. That of each
        further device is longer by the number of slices over `n_reads_per_transfer`.
    no_self_transfer : bool
        Let the last device have no period. False: it counts slices, and moves nothing.
    transfer_every_vec : list of float
        Periods of all devices instead.
    units_in_mbatch : bool
        Count periods in mini-batches, and round up. False: in vectors.
    n_reads_per_transfer : int
        Slices that are moved together; ``n_cols_per_transfer`` is the same.
    transfer_columns : bool
        Move columns (forward reads of one input). False: rows.
    with_reset_prob : float
        Probability that a column of the source is reset behind its read.
    random_selection : bool
        Draw the first slice of each transfer. False: go on in order.
    fast_lr : float
        Learning rate of the first device; 0 or below: that of the tile.
    scale_fast_lr : bool
        Multiply `fast_lr` by the learning rate of the tile.
    transfer_lr : float
        Rate :math:`\eta` of the writes.
    transfer_lr_vec : list of float
        Rate of each source instead.
    scale_transfer_lr : bool
        Multiply these by the learning rate of the tile.
    transfer_forward : IOParameters
        Reads; without their noise management and bound management.
    transfer_update : UpdateParameters
        Pulses of the writes.

    Notes
    -----
    Pulse trains of the first device are made for the mean granularity of all devices.

    References
    ----------
    Gokmen and Haensch, Front. Neurosci. 14:103 (2020), doi:10.3389/fnins.2020.00103.
    """

    node: ClassVar[str] = "transfer"
    aliases: ClassVar[dict[str, str]] = {"n_cols_per_transfer": "n_reads_per_transfer"}

    gamma: float = real(0.0, effect=Setting())
    gamma_vec: list[float] = reals((), least=0, most=_MOST)
    transfer_every: float = real(1.0, effect=Setting())
    no_self_transfer: bool = flag(True)
    transfer_every_vec: list[float] = reals((), least=0, most=_MOST)
    units_in_mbatch: bool = flag(
        True, effect=Setting(splits="the periods of transfers count mini-batches")
    )
    n_reads_per_transfer: int = integer(1, low=1, effect=Setting())
    transfer_columns: bool = flag(True)
    with_reset_prob: float = real(0.0, low=0, high=1, effect=Setting())
    random_selection: bool = flag(False)
    fast_lr: float = real(1.0, effect=Setting())
    scale_fast_lr: bool = flag(True)
    transfer_lr: float = real(1.0, effect=Setting())
    transfer_lr_vec: list[float] = reals((), least=0, most=_MOST)
    scale_transfer_lr: bool = flag(True)
    transfer_forward: IOParameters = part(IOParameters)
    transfer_update: UpdateParameters = part(UpdateParameters)

    def gammas(self) -> tuple[float, ...]:
        """Give the factor of each member in the effective weight."""
        last = len(self.members()) - 1
        return tuple(self.gamma_vec) or tuple(
            float(self.gamma ** (last - k)) for k in range(last + 1)
        )

    def hides_nothing(self) -> bool:
        """Whether the last array alone is what products see."""
        *others, last = self.gammas()
        return last == 1.0 and not any(others)

    def periods(self, slices: int) -> tuple[float, ...]:
        """Give the periods of the transfers out of each device.

        Parameters
        ----------
        slices : int
            Columns or rows that a device has.

        Returns
        -------
        tuple of float
        """
        if self.transfer_every_vec:
            return tuple(self.transfer_every_vec)
        longer = slices / min(self.n_reads_per_transfer, slices)
        periods = [self.transfer_every * longer**k for k in range(len(self.members()))]
        if self.no_self_transfer:
            periods[-1] = 0.0
        return tuple(periods)

    def rates(self) -> tuple[float, ...]:
        """Give the rates of the transfers out of each device."""
        count = len(self.members())
        return tuple(self.transfer_lr_vec) or (self.transfer_lr,) * count

    def validate(self) -> None:
        """Check the devices, and what belongs to each of them.

        Raises
        ------
        ConfigError
            If there are fewer than two devices, if those behind the second differ from
            it, if a list does not have a number for each, if the last factor is 0, or if
            rows are to be reset.
        """
        super().validate()
        self._check_count(2)
        for k, member in enumerate(self.members()[2:], start=2):
            if member != self.members()[1]:
                raise self._refuse(
                    f"unit_cell_devices[{k}]", "equal the second device", member
                )
        for name in ("gamma_vec", "transfer_every_vec", "transfer_lr_vec"):
            self._check_length(name)
        if self.gammas()[-1] == 0.0:
            raise self._refuse("gamma_vec", "end in another number than 0", 0.0)
        if self.with_reset_prob > 0.0 and not self.transfer_columns:
            raise self._refuse(
                "with_reset_prob", "be 0 where rows are moved", self.with_reset_prob
            )
        _check_write(self, "transfer_update")


@define
class BufferedTransferCompound(TransferCompound):
    r"""TTv2: a digital buffer between the arrays, which passes on whole pulses alone.

    For each crosspoint of a slice that was read as ``v``, with the threshold
    :math:`\theta` = ``thres_scale * g`` of the target,

    .. math::

        h \leftarrow h + |\eta| v, \quad
        n = \mathrm{clip}(\mathrm{trunc}(h / \theta), -N, N)

    and where ``n`` is not 0, ``n`` pulses are written (``N`` is
    ``transfer_update.desired_bl``) and the buffer loses them.

    Parameters
    ----------
    thres_scale : float
        Threshold in units of the granularity of the target.
    step : float
        Learning rate of the write in the same units.
    momentum : float
        Part of the buffer that stays.
    forget_buffer : bool
        Behind pulses ``h`` becomes ``momentum * h``. False: it loses ``(1 - momentum) n
        theta``.

    Notes
    -----
    If both factors :math:`\gamma` are above 0, :math:`\eta` is multiplied by that of the
    source over that of the target.

    References
    ----------
    Gokmen, Front. Artif. Intell. 4:699148 (2021), doi:10.3389/frai.2021.699148.
    """

    node: ClassVar[str] = "buffered"

    transfer_update: UpdateParameters = part(
        UpdateParameters, default=_default_transfer_update
    )
    thres_scale: float = real(1.0, above=0, effect=Setting())
    step: float = real(1.0, effect=Setting())
    momentum: float = real(0.1, effect=Setting())
    forget_buffer: bool = flag(True)


@define
class ChoppedTransferCompound(TransferCompound):
    r"""TTv3 (c-TTv2): a buffer, and signs that change, so that offsets average out.

    Each input and each output line has a chopper, a sign. The fast array gets its pulses
    with the product of both signs, and what is read of it gets them again. Behind the
    read of a slice its chopper may flip. The buffer counts pulses:

    .. math::

        h \leftarrow h + \frac{|\eta|}{\beta g_0} \sigma v, \quad
        n = \mathrm{clip}(\mathrm{trunc}(h), -N, N)

    Exactly two devices; one slice is moved at a time, in order.

    Parameters
    ----------
    transfer_every : float
        As in TransferCompound; below 0: so many times the number of states of the fast
        device over the number of slices, in vectors.
    in_chop_prob : float
        Probability that the chopper of a slice flips behind its read; 0 or below: never.
    in_chop_random : bool
        Draw it. False: all flip regularly, once in ``max(ceil(1 / in_chop_prob), 2)``
        reads.
    out_chop_prob : float
        Probability that a chopper of the other side flips behind a whole sweep.
    buffer_granularity : float
        Factor :math:`\beta`; 0 or below: 1.
    auto_granularity : float
        Above 0: multiply :math:`\beta` by ``auto_granularity / (slices *
        abs(transfer_every))``.
    step : float
        Learning rate of a write in units of the granularity of the slow device.
    momentum : float
        Part of the buffer that stays.
    forget_buffer : bool
        Behind pulses ``h`` becomes ``momentum * h``. False: it loses ``(1 - momentum) n``.
    no_buffer : bool
        Keep nothing between reads.
    auto_scale : bool
        Take ``fast_lr * desired_bl * g_0`` over the product of the running largest
        input and error for the rate of the fast array.
    auto_momentum : float
        Momentum of these running maxima; their rate is ``1 - auto_momentum`` over the
        size of the mini-batch.
    correct_gradient_magnitudes : bool
        Divide what is read by the rate of the fast array, and let the buffer count in
        pulses of the slow device.

    Notes
    -----
    With :math:`\gamma_0` other than 0 (residual learning), products see
    :math:`\gamma_0 \chi_{ij} W_0 + \gamma_1 W_1`, with the product of both signs.

    References
    ----------
    Rasch, Carta, Fagbohungbe and Gokmen, Nat. Commun. 15:7133 (2024),
    doi:10.1038/s41467-024-51221-z.
    """

    node: ClassVar[str] = "chopped"

    units_in_mbatch: bool = flag(
        False, effect=Setting(splits="the periods of transfers count mini-batches")
    )
    scale_fast_lr: bool = flag(False)
    transfer_update: UpdateParameters = part(
        UpdateParameters, default=_default_transfer_update
    )
    in_chop_prob: float = real(0.1, high=1, effect=Setting())
    in_chop_random: bool = flag(True)
    out_chop_prob: float = real(0.0, high=1, effect=Setting())
    buffer_granularity: float = real(1.0, effect=Setting())
    auto_granularity: float = real(0.0, effect=Setting())
    step: float = real(1.0, effect=Setting())
    momentum: float = real(0.0, effect=Setting())
    forget_buffer: bool = flag(True)
    no_buffer: bool = flag(False)
    auto_scale: bool = flag(
        False, effect=Setting(splits="the rate of auto_scale depends on their size")
    )
    auto_momentum: float = real(0.99, effect=Setting())
    correct_gradient_magnitudes: bool = flag(False)

    def periods(self, slices: int) -> tuple[float, ...]:
        """Give the periods of the transfers out of each device."""
        # Only the first device is ever moved.
        return ((*self.transfer_every_vec, self.transfer_every)[0], 0.0)

    def validate(self) -> None:
        """Check what this algorithm leaves no choice of.

        Raises
        ------
        ConfigError
            If there are not two devices, if several or random slices or a reset are
            asked for, if ``auto_scale`` has no ``fast_lr``, or if a period below 0 is to
            count mini-batches.
        """
        self._check_count(2, 2)
        super().validate()
        if self.n_reads_per_transfer != 1:
            raise self._refuse(
                "n_reads_per_transfer", "be 1", self.n_reads_per_transfer
            )
        if self.random_selection:
            raise self._refuse("random_selection", "be False", True)
        if self.with_reset_prob != 0.0:
            raise self._refuse("with_reset_prob", "be 0", self.with_reset_prob)
        if self.auto_scale and not self.fast_lr > 0.0:
            raise self._refuse("fast_lr", "be above 0 with auto_scale", self.fast_lr)
        if self.units_in_mbatch and self.periods(1)[0] < 0.0:
            raise self._refuse(
                "units_in_mbatch", "be False where transfer_every is below 0", True
            )
        if self.auto_granularity > 0.0 and self.transfer_every == 0.0:
            raise self._refuse(
                "transfer_every", "not be 0 with auto_granularity", self.transfer_every
            )


@define
class DynamicTransferCompound(ChoppedTransferCompound):
    r"""TTv4 (AGAD): choppers, and a reference that is estimated from the reads themselves.

    What goes into the buffer is the difference between a read and :math:`\mu_p`, the
    running mean of the reads at the end of the last period of the chopper. The mean
    moves with the rate :math:`\rho = \min(` ``tail_weightening`` :math:`/ n, 1)`, where
    ``n`` is the period ``max(ceil(1 / in_chop_prob), 2)``.

    Parameters
    ----------
    in_chop_prob : float
        As in ChoppedTransferCompound, above 0.
    in_chop_random : bool
        As in ChoppedTransferCompound.
    tail_weightening : float
        Weight of the last reads of a period in the mean, above 0.
    buffer_cap : float
        Above 0 and without `forget_buffer`: limit the buffer behind pulses to this times
        ``transfer_update.desired_bl``.
    experimental_correct_accumulation : bool
        Divide what is read by the number of the read in its period.
    noise_gate : bool
        Leave out a read while the means of this period and the last do not differ by
        more than their standard error. False: as in the reference library.

    Notes
    -----
    Nothing is written during the first sweeps, as many as a period has and one more.
    `no_buffer` has no effect. The noise gate keeps, for each crosspoint, a running
    variance ``q`` beside the mean, and its squared standard error is
    :math:`q \rho / (2 (1 - \rho))`. With :math:`\rho = 1` the gate is open.

    References
    ----------
    Rasch, Carta, Fagbohungbe and Gokmen, Nat. Commun. 15:7133 (2024),
    doi:10.1038/s41467-024-51221-z.
    """

    node: ClassVar[str] = "dynamic"

    in_chop_random: bool = flag(False)
    in_chop_prob: float = real(0.1, above=0, high=1, effect=Setting())
    experimental_correct_accumulation: bool = flag(False)
    buffer_cap: float = real(0.0, effect=Setting())
    tail_weightening: float = real(5.0, above=0, effect=Setting())
    noise_gate: bool = flag(True)

    def validate(self) -> None:
        """Check the momentum of `auto_scale`.

        Raises
        ------
        ConfigError
            If it is not between 0 and 1.
        """
        super().validate()
        if not 0.0 < self.auto_momentum < 1.0:
            raise self._refuse("auto_momentum", "be in (0, 1)", self.auto_momentum)


@define
class DigitalRankUpdateCell(Cell):
    """Base of compounds that compute the update digitally.

    Parameters
    ----------
    device : PulsedDevice or UnitCell
        What holds the weights.
    construction_seed : int
        Seed of all draws of the device; 0: they follow the seed of the tile.
    """

    device: Any = part(VectorUnitCell, kinds=(PulsedDevice, UnitCell))
    construction_seed: int = integer(0, low=0, high=math.inf, effect=Setting())

    def members(self) -> tuple[Any, ...]:
        """List the device, the only member."""
        return (self.device,)


@define
class MixedPrecisionCompound(DigitalRankUpdateCell):
    r"""Gradients that are added up in a digital matrix, and written when they are large.

    .. math::

        \chi \leftarrow \chi + \eta\, d x^T, \quad
        n = \mathrm{trunc}(\chi / \epsilon), \quad
        \chi \leftarrow \chi - n \epsilon, \quad
        W \leftarrow W - \epsilon\, n

    where the last step sends pulses to the device, row by row.

    Parameters
    ----------
    transfer_every : int
        Period of the writes in mini-batches; 0 or below: never.
    n_rows_per_transfer : int
        Rows that are written together; -1: all, 0: none.
    random_row : bool
        Draw the first of them, if there are fewer than all.
    granularity : float
        :math:`\epsilon`; 0: the granularity of the device.
    transfer_lr : float
        Factor on what is written, and not on what :math:`\chi` loses; 0: never write.
    n_x_bins, n_d_bins : int
        Levels to which inputs and errors are quantised, over the range of each vector; 0
        or below: none. An even number has those of the next odd one.
    stoc_round_x, stoc_round_d : bool
        Round at random.
    compute_sparsity : bool
        Average over all vectors the share of inputs that are 0 times the share of errors
        that are, once both are quantised (``tile.get_sparsity()``).

    Notes
    -----
    The first write comes one period late, behind the first vector of the next period, as
    in the reference library.

    References
    ----------
    Nandakumar et al., Front. Neurosci. 14:406 (2020), doi:10.3389/fnins.2020.00406.
    """

    node: ClassVar[str] = "mixed"

    transfer_every: int = integer(
        1, effect=Setting(splits="the period of the writes counts mini-batches")
    )
    n_rows_per_transfer: int = integer(-1, low=-1, effect=Setting())
    random_row: bool = flag(False)
    granularity: float = real(0.0, low=0, effect=Setting())
    transfer_lr: float = real(1.0, effect=Setting())
    n_x_bins: int = integer(0, effect=Setting())
    n_d_bins: int = integer(0, effect=Setting())
    stoc_round_x: bool = flag(True)
    stoc_round_d: bool = flag(True)
    compute_sparsity: bool = flag(False)

    def validate(self) -> None:
        """Check that sparsity is that of levels.

        Raises
        ------
        ConfigError
            If it is asked for without levels of both sides.
        """
        super().validate()
        if self.compute_sparsity and min(self.n_x_bins, self.n_d_bins) <= 0:
            raise ConfigError(
                "MixedPrecisionCompound.compute_sparsity must come with n_x_bins and"
                f" n_d_bins above 0, got {self.n_x_bins} and {self.n_d_bins}"
            )


def reads_slice_alone(io: IOParameters) -> bool:
    """Whether a read with these parameters depends on nothing but the slice itself.

    Parameters
    ----------
    io : IOParameters
        Parameters of a product whose input is 1 at one line and 0 at all others.

    Returns
    -------
    bool
    """
    if io.is_perfect or io.mv_type is AnalogMVType.IDEAL:
        return True
    defaults = type(io)()
    wide = (
        io.w_noise_type is WeightNoiseType.PCM_READ,
        io.noise_management is NoiseManagementType.ABS_MAX_NP_SUM,
        io.bound_management is BoundManagementType.ITERATIVE_WORST_CASE,
    )
    return not any(wide) and all(
        getattr(io, field.name) == getattr(defaults, field.name)
        for field in attrs.fields(type(io))
        if field.name not in _OF_A_SLICE
    )


def _check_write(cell: Cell, name: str) -> None:
    """Check that the writes of a cell are made of pulses."""
    kind = getattr(cell, name).pulse_type
    if kind in (PulseType.NONE, PulseType.NONE_WITH_DEVICE):
        raise ConfigError(
            f"{type(cell).__name__}.{name}.pulse_type must be a type with pulses,"
            f" got {kind}"
        )
