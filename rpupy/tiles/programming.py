"""Reading and writing weights as hardware must: by products and updates."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import ArrayLike

from rpupy import registry
from rpupy.configs.configs import FloatingPointRPUConfig
from rpupy.parameters.base import frozen_copy
from rpupy.rpu_base._common import (
    Floats,
    matrix,
    real_array,
    real_number,
    whole_number,
)

from .periphery import Periphery, exact_mean, flag
from .seeding import PROBES, child_seed

__all__ = ["Programming"]


class Programming(Periphery):
    """Estimates of weights from products, and writing with verification; a mixin."""

    _seed: np.random.SeedSequence
    _probes: int
    _reference: Floats | None

    def read_weights(
        self,
        apply_weight_scaling: bool = False,
        x_values: ArrayLike | None = None,
        over_sampling: int = 10,
    ) -> tuple[Floats, Floats | None]:
        """Estimate weights and bias by least squares from products in evaluation mode.

        The noise of the product stays in the estimate, and falls as one over the square
        root of the number of products. The reads are real: they move the counters of
        the evaluation products on, and no others.

        Parameters
        ----------
        apply_weight_scaling : bool
            Logical weights, mapping scales included.
        x_values : array_like of float32, shape (M, in_size), optional
            Inputs, at least as many as the array has columns. By default
            ``over_sampling * in_size`` standard normal vectors, new ones in each call.
        over_sampling : int
            At least 1; without effect if `x_values` is given. At least one vector for
            each column of the array is used.

        Returns
        -------
        weight : ndarray of float32, shape (out_size, in_size)
        bias : ndarray of float32, shape (out_size,), or None
            A digital bias is known exactly.

        Raises
        ------
        TypeError, ValueError
            If an argument has the wrong type or shape, is not finite, or if there are
            too few inputs.

        Notes
        -----
        The least squares are NumPy's: their last digits differ between machines.
        """
        scaled = flag(apply_weight_scaling, "apply_weight_scaling")
        per_input = whole_number(over_sampling, "over_sampling")
        if per_input < 1:
            raise ValueError(f"over_sampling must be at least 1, got {over_sampling!r}")
        with self.tile.lock:
            if x_values is None:
                count = max(per_input * self.in_size, self._x_size)
                seed = child_seed(self._seed, PROBES, self._probes)
                generator = np.random.default_rng(seed)
                x = generator.standard_normal((count, self.in_size), dtype=np.float32)
            else:
                x = self._probe_inputs(x_values)
                if len(x) < self._x_size:
                    raise ValueError(
                        f"x_values must have at least {self._x_size} rows, got {len(x)}"
                    )
            y = self.tile.forward(x, self.analog_bias, is_test=True)
            try:
                if self.analog_bias:
                    ones = np.ones((len(x), 1), dtype=np.float32)
                    x = np.concatenate((x, ones), axis=1)
                solution = np.linalg.lstsq(x.astype(np.float64), y, rcond=None)[0]
                found = solution.T.astype(np.float32, order="C")
                logical = self._split(found, scaled)
            except BaseException:
                # Least squares of numbers that are not finite do not converge.
                self.tile.uncount("forward_eval", len(x))
                raise
            self._probes += x_values is None
            return logical

    def _probe_inputs(self, x_values: ArrayLike) -> Floats:
        rows = real_array(x_values, "x_values")
        if rows.ndim != 2:
            raise ValueError(
                f"x_values must have shape (M, {self.in_size}), got {rows.shape}"
            )
        return matrix(rows, "x_values", (len(rows), self.in_size))

    def program_weights(
        self,
        from_reference: bool = True,
        x_values: ArrayLike | None = None,
        learning_rate: float = 0.1,
        max_iter: int = 10000,
        tolerance: float = 0.01,
        w_init: float | ArrayLike = 0.01,
    ) -> float:
        """Program the weights by writing and verifying, with the tile's own update.

        The array starts from small weights; products of known inputs, in evaluation
        mode, are compared with what they should be, and the differences are the errors
        of an update. This is repeated until their mean magnitude is below `tolerance`
        times the largest output wanted. Scales, digital bias and learning rate stay.

        Parameters
        ----------
        from_reference : bool
            Aim at the weights that were the aim before, if weights have not been set
            since. False, or if there are none: aim at the present weights of the array
            and keep them as `reference_combined_weights`.
        x_values : array_like of float32, shape (M, in_size), optional
            Inputs. By default each column of the array alone is driven with 1.
        learning_rate : float
            Learning rate of the array while it is programmed.
        max_iter : int
            Most updates, at least 0.
        tolerance : float
            Relative error that is aimed at, at least 0.
        w_init : float or array_like of shape (out_size, columns of the array)
            Start from weights that are uniform in (-w_init, w_init), or from these.

        Returns
        -------
        float
            Relative error at the end; at or above `tolerance` if `max_iter` came first.

        Raises
        ------
        TypeError, ValueError
            If an argument has the wrong type or shape, or is out of range.
        """
        resume = flag(from_reference, "from_reference")
        rate = real_number(learning_rate, "learning_rate")
        limit = real_number(tolerance, "tolerance")
        updates_left = whole_number(max_iter, "max_iter")
        if limit < 0.0:
            raise ValueError(f"tolerance must not be negative, got {tolerance!r}")
        if updates_left < 0:
            raise ValueError(f"max_iter must not be negative, got {max_iter!r}")
        if x_values is None:
            x, append_one = np.eye(self._x_size, dtype=np.float32), False
        else:
            x, append_one = self._probe_inputs(x_values), self.analog_bias
            if not len(x):
                raise ValueError("x_values must have at least 1 row, got 0")
        core = self.tile
        with self._unchanged_on_error():
            target = self._reference if resume else None
            if target is None:
                target = core.get_weights()
                target.flags.writeable = False
            wanted = self._exact_outputs(target, x, append_one)
            largest = float(np.abs(wanted).max()) or 1.0
            if isinstance(w_init, (int, float, np.generic)) or _is_0d(w_init):
                size = abs(real_number(w_init, "w_init"))
                core.set_weights_uniform_random(-size, size)
            else:
                start = matrix(w_init, "w_init", (self.out_size, self._x_size))
                core.set_weights(start)
            self._reference = target
            former_rate = core.get_learning_rate()
            core.set_learning_rate(rate)
            while True:
                errors = core.forward(x, append_one, is_test=True) - wanted
                error = exact_mean(np.abs(errors)) / largest
                if error < limit or updates_left == 0:
                    break
                core.update(x, errors, append_one)
                updates_left -= 1
            core.set_learning_rate(former_rate)
        return error

    @property
    def reference_combined_weights(self) -> Floats | None:
        """What `program_weights` last aimed at: weights of the array, read-only."""
        return self._reference

    def _exact_outputs(self, weights: Floats, x: Floats, append_one: bool) -> Floats:
        """Multiply exactly, by our own kernels: NumPy's products differ by machine."""
        core = registry.core_class("floating_point", "cpu")
        config = frozen_copy(FloatingPointRPUConfig())
        ideal = core(*weights.shape, config, np.random.SeedSequence(0))
        ideal.set_weights(weights)
        outputs: Floats = ideal.forward(x, append_one)
        return outputs

    @contextmanager
    def _unchanged_on_error(self) -> Iterator[None]:
        """Put the tile back as it is now if the block raises."""
        with self.tile.lock:
            core = self.tile.state()
            scales, bias, reference = self._scales, self._bias, self._reference
            try:
                yield
            except BaseException:
                self.tile.set_state(*core)
                self._hold(scales, bias)
                self._reference = reference
                raise


def _is_0d(value: object) -> bool:
    return isinstance(value, np.ndarray) and value.ndim == 0
