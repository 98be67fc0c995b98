"""The digital numbers around a core tile: bias, mapping scales, how they act.

With mapping scales ``s`` (one for the tile, or one for each output) and a digital bias
``b``, a tile computes ``y = s * MVM(x) + b``, sends ``s * d`` backwards and
``d / (s * L)`` into the update, whose learning rate is multiplied by ``L``. So the
logical weight, which is ``s`` times that of the array, changes by ``-lr * d.T @ x``
whatever the scales are. ``L`` is 1, or one over the mean of ``s`` with
``mapping.weight_scaling_lr_compensation``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from rpupy.rpu_base._common import Floats, matrix, real_array, real_number
from rpupy.rpu_base._cpu import DefaultEnvironment

if TYPE_CHECKING:
    from rpupy.rpu_base.core import CoreTile

__all__ = ["Periphery", "exact_mean", "flag"]


def _quiet() -> np.errstate:
    # Overflow and NaN are results here: the core says what it makes of them.
    return np.errstate(over="ignore", divide="ignore", invalid="ignore")


def exact_mean(values: np.ndarray) -> float:
    """Average an array, rounded once.

    NumPy's own sums depend on the machine, and means reach the state of tiles.

    Parameters
    ----------
    values : ndarray
        At least one number, any shape.

    Returns
    -------
    float
    """
    return math.fsum(values.ravel().tolist()) / values.size


def flag(value: Any, name: str) -> bool:
    """Check an argument that is True or False.

    Parameters
    ----------
    value : bool
        The argument.
    name : str
        Its name.

    Returns
    -------
    bool

    Raises
    ------
    TypeError
        If it is of another type.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


class Periphery:
    """Bias and mapping scales of a tile; a mixin, without state of its own at first."""

    rpu_config: Any
    out_size: int
    in_size: int
    in_trans: bool
    out_trans: bool
    tile: CoreTile

    #: Whether the bias is a vector that is added to the outputs.
    digital_bias: bool
    #: Whether the bias is a further column of the array.
    analog_bias: bool

    def _place_bias(self, bias: bool) -> None:
        """Decide which kind of bias there is."""
        digital = self.rpu_config.mapping.digital_bias
        self.digital_bias = bias and digital
        self.analog_bias = bias and not digital

    @property
    def _x_size(self) -> int:
        """Columns of the array."""
        return self.in_size + self.analog_bias

    def _init_periphery(self) -> None:
        """Give bias and scales their first values; the core tile must be there."""
        self._lr_factor = 1.0
        bias = np.zeros(self.out_size, dtype=np.float32) if self.digital_bias else None
        self._hold(None, bias)
        self.init_mapping_scales()

    def _hold(self, scales: Floats | None, bias: Floats | None) -> None:
        """Take over scales and bias, and what follows from them."""
        for array in (scales, bias):
            if array is not None:
                # Everyone can be shown the arrays: a change makes new ones.
                array.flags.writeable = False
        self._scales = scales
        self._bias = bias
        self._lr_factor = self._lr_factor_of(scales)
        self._update_scales = None
        if scales is not None:
            exact = scales.astype(np.float64) * self._lr_factor
            self._update_scales = exact.astype(np.float32)
        self._plain = scales is None and bias is None

    def _lr_factor_of(self, scales: Floats | None) -> float:
        if scales is None:
            return 1.0
        if not self.rpu_config.mapping.weight_scaling_lr_compensation:
            return 1.0
        return 1.0 / exact_mean(scales)

    # ---- learning rate ---------------------------------------------------------------

    def get_learning_rate(self) -> float:
        """Return the learning rate of the logical weights.

        Returns
        -------
        float
            With ``mapping.weight_scaling_lr_compensation`` that of the core tile
            differs, and this one is right to the last digit or so.
        """
        return self.tile.get_learning_rate() / self._lr_factor

    def set_learning_rate(self, learning_rate: float | None) -> None:
        """Set the learning rate of the logical weights.

        Parameters
        ----------
        learning_rate : float or None
            Positive descends, negative ascends, 0 makes updates do nothing. None keeps
            the present one.

        Raises
        ------
        TypeError, ValueError
            If it is no finite real number.
        """
        if learning_rate is None:
            return
        rate = real_number(learning_rate, "learning_rate")
        with self.tile.lock:
            self.tile.set_learning_rate(rate * self._lr_factor)

    # ---- bias ------------------------------------------------------------------------

    @property
    def bias(self) -> Floats | None:
        """Digital bias, a read-only array of shape (out_size,), or None without one.

        It is added after the scales. An analog bias is part of the weights: see
        `get_weights`.
        """
        return self._bias

    @bias.setter
    def bias(self, value: ArrayLike | None) -> None:
        checked = self._checked_bias(value)
        with self.tile.lock:
            self._hold(self._scales, checked)

    def _checked_bias(self, value: ArrayLike | None) -> Floats | None:
        if self.digital_bias:
            return _vector(value, "bias", self.out_size)
        if value is not None:
            kind = "an analog bias (see set_weights)" if self.analog_bias else "no bias"
            raise ValueError(
                f"bias must be None for a tile with {kind}, got {type(value).__name__}"
            )
        return None

    # ---- scales ----------------------------------------------------------------------

    def init_mapping_scales(self) -> None:
        """Set the mapping scales as they are before weights are set.

        They are 1 where ``mapping.weight_scaling_omega`` is above 0; otherwise there
        are none.
        """
        mapping = self.rpu_config.mapping
        if mapping.weight_scaling_omega > 0.0:
            size = self.out_size if mapping.weight_scaling_columnwise else 1
            self._assign_scales(np.ones(size, dtype=np.float32))
        else:
            self._assign_scales(None)

    @property
    def mapping_scales(self) -> Floats | None:
        """Mapping scales, read-only, of shape (1,) or (out_size,); None: no scales."""
        return self._scales

    @mapping_scales.setter
    def mapping_scales(self, value: ArrayLike | None) -> None:
        self.set_mapping_scales(value)

    def get_mapping_scales(self) -> Floats | None:
        """Return a copy of the mapping scales.

        Returns
        -------
        ndarray of float32, shape (1,) or (out_size,), or None
        """
        return None if self._scales is None else self._scales.copy()

    def set_mapping_scales(self, mapping_scales: ArrayLike | None) -> None:
        """Set the mapping scales; the array stays, so the logical weights change.

        Parameters
        ----------
        mapping_scales : float or array_like of shape (1,) or (out_size,), or None
            Numbers above 0. A float takes the place of all the scales there are; None
            does away with them.

        Raises
        ------
        TypeError, ValueError
            If they have another shape, or one is not finite or not above 0.
        """
        scales = None
        if mapping_scales is not None:
            scales = real_array(mapping_scales, "mapping_scales")
            if scales.shape not in ((), (1,), (self.out_size,)):
                raise ValueError(
                    f"mapping_scales must have shape (1,) or ({self.out_size},),"
                    f" got {scales.shape}"
                )
            illegal = ~(np.isfinite(scales) & (scales > 0.0))
            if illegal.any():
                raise ValueError(
                    "mapping_scales must be finite and above 0,"
                    f" got {scales[illegal].flat[0]}"
                )
        with self.tile.lock:
            if scales is not None:
                size = 1 if self._scales is None else self._scales.size
                scales = np.full(scales.shape or size, scales, dtype=np.float32)
            self._assign_scales(scales)

    def get_scales(self) -> Floats | None:
        """Return all digital output scales multiplied; there are only mapping scales.

        Returns
        -------
        ndarray of float32, shape (1,) or (out_size,), or None
        """
        return self.get_mapping_scales()

    def set_scales(self, scales: ArrayLike | None) -> None:
        """Set the digital output scales: see `set_mapping_scales`.

        Parameters
        ----------
        scales : float or array_like of shape (1,) or (out_size,), or None
            Numbers above 0.
        """
        self.set_mapping_scales(scales)

    def _assign_scales(self, scales: Floats | None) -> None:
        """Take new scales; the learning rate of the logical weights stays.

        The core may refuse the learning rate that this needs, so that comes first.
        """
        factor = self._lr_factor_of(scales)
        if factor != self._lr_factor:
            self.tile.set_learning_rate(self.get_learning_rate() * factor)
        self._hold(scales, self._bias)

    def _new_scales(self, combined: Floats, omega: float) -> Floats | None:
        """Scales that put the largest weight (of each row) at `omega` on the array."""
        if omega <= 0.0:
            # No scaling, so that what is written is what comes back.
            return None if self._scales is None else np.ones_like(self._scales)
        sizes = np.abs(combined)
        if self.rpu_config.mapping.weight_scaling_columnwise:
            largest = sizes.max(axis=1)
        else:
            largest = sizes.max().reshape(1)
        with _quiet(), DefaultEnvironment():
            scales: Floats = largest / np.float32(omega)
        if not np.isfinite(scales).all():
            raise ValueError(
                f"weight_scaling_omega must not be so small that {largest.max()} /"
                f" weight_scaling_omega overflows, got {omega!r}"
            )
        # A scale that is no normal number would lose the weights when they are divided.
        scales[scales < np.finfo(np.float32).tiny] = 1.0
        return scales

    # ---- weights ---------------------------------------------------------------------

    def _combined(self, weight: ArrayLike, bias: ArrayLike | None) -> Floats:
        """Check logical weights and bias; return them as one matrix for the array."""
        shape = (self.out_size, self.in_size)
        checked = matrix(weight, "weight", shape)
        if not self.analog_bias:
            return checked
        if bias is None:
            raise ValueError(
                "bias must be given for a tile with an analog bias, got None"
            )
        column = _vector(bias, "bias", self.out_size)
        return np.concatenate((checked, column[:, None]), axis=1)

    def _write(
        self,
        weight: ArrayLike,
        bias: ArrayLike | None,
        apply_weight_scaling: bool,
        omega: float | None,
    ) -> None:
        combined = self._combined(weight, bias)
        new_bias = self._bias
        if not self.analog_bias and bias is not None:
            new_bias = self._checked_bias(bias)
        if omega is None:
            omega = self.rpu_config.mapping.weight_scaling_omega
        else:
            omega = real_number(omega, "weight_scaling_omega")
        with self.tile.lock:
            if apply_weight_scaling:
                scales = self._new_scales(combined, omega)
                if scales is not None:
                    with DefaultEnvironment():
                        combined = combined / scales[:, None]
                self._assign_scales(scales)
            self.tile.set_weights(combined)
            self._hold(self._scales, new_bias)

    def _split(
        self, combined: Floats, apply_weight_scaling: bool
    ) -> tuple[Floats, Floats | None]:
        """Return weights of the array as logical weights and bias."""
        if apply_weight_scaling and self._scales is not None:
            with _quiet(), DefaultEnvironment():
                combined = combined * self._scales[:, None]
        if self.analog_bias:
            return combined[:, :-1].copy(), combined[:, -1].copy()
        return combined, None if self._bias is None else self._bias.copy()

    # ---- on the way of the data ------------------------------------------------------

    def _along_outputs(self, vector: Floats, ndim: int) -> Floats:
        """Shape a vector so that it broadcasts along the outputs of `ndim` axes."""
        if self.out_trans and ndim > 1:
            return vector.reshape(-1, *(1,) * (ndim - 1))
        return vector

    def _finish_forward(self, y: Floats) -> Floats:
        """Apply scales and bias to the outputs of the array, in place."""
        # Overflow warns as it does everywhere in NumPy: to be silent takes errstate
        # longer than both operations together.
        with DefaultEnvironment():
            if self._scales is not None:
                y *= self._along_outputs(self._scales, y.ndim)
            if self._bias is not None:
                y += self._along_outputs(self._bias, y.ndim)
        return y

    def _scaled_errors(
        self, d_input: ArrayLike, operation: np.ufunc, scales: Floats
    ) -> ArrayLike:
        """Multiply errors by scales, or divide them."""
        d = real_array(d_input, "d_input")
        if not d.ndim or d.shape[0 if self.out_trans else -1] != self.out_size:
            # It must not be broadcast. The core refuses the shape and says why.
            return d
        with DefaultEnvironment():
            scaled: Floats = operation(d, self._along_outputs(scales, d.ndim))
        return scaled


def _vector(value: Any, name: str, size: int) -> Floats:
    """Convert to a new float32 vector with finite elements."""
    vector = real_array(value, name)
    if vector.shape != (size,):
        raise ValueError(f"{name} must have shape ({size},), got {vector.shape}")
    if not np.isfinite(vector).all():
        raise ValueError(f"{name} must be finite, got NaN, inf or a number too large")
    return vector.copy()
