"""Exact currents of a crossbar whose wires have resistance.

`Crossbar` solves the nodal equations of an array of conductances between word lines (one for
each input, driven by voltages) and bit lines (one for each output, held at ground, where
currents are measured).  Every wire is a chain of equal resistances.  The network is linear,
so one factorisation for the present conductances serves any number of inputs; and since
only the currents at the ends of the bit lines are measured, it amounts to a matrix, the
`effective_conductances`.

`effective_weights` does this for weights: it gives the matrix that an array with wires
multiplies by.

SciPy is needed (``pip install "rpupy[parasitics]"``).  Everything is float64.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Crossbar", "NodalSolution", "effective_weights"]

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class NodalSolution:
    """Currents and voltages of a crossbar for some inputs.

    Attributes
    ----------
    currents : ndarray of float64, shape (..., out)
        Current that each bit line delivers, from all of its connected ends, in amperes.
    residual : ndarray of float64, shape (...)
        For each input, how far Kirchhoff's current law is from being fulfilled: the
        largest sum of the currents into any node, in amperes.
    word_line_voltages, bit_line_voltages : ndarray of float64, shape (..., out, in)
        Voltages of the nodes at each crosspoint, in volts; None unless asked for.
    """

    currents: Matrix
    residual: Matrix
    word_line_voltages: Matrix | None = None
    bit_line_voltages: Matrix | None = None


class Crossbar:
    """An array of conductances between wires that have resistance.

    Word line j (input j) runs along the outputs 0, 1, ..., and is driven before output 0;
    bit line i (output i) runs along the inputs 0, 1, ..., and is held at 0 V behind the last
    input.  Between two crosspoints, and between an end and the first crosspoint, lies one
    segment.

    Parameters
    ----------
    conductances : array_like, shape (out, in)
        Conductance between word line j and bit line i at ``[i, j]``, in siemens; finite and
        at least 0.
    r_word_line, r_bit_line : float
        Resistance of a segment of either kind of wire, in ohms; 0 is an ideal wire.
    drive_both_ends : bool
        Whether word lines are driven at both of their ends, with the same voltage.
    sense_both_ends : bool
        Whether bit lines are grounded, and their currents measured, at both of their ends.

    Raises
    ------
    ImportError
        If SciPy is not installed.
    TypeError, ValueError
        If an argument has the wrong type, shape or range.

    Notes
    -----
    With ``u`` the voltages of the word-line nodes and ``v`` those of the bit-line nodes,
    Kirchhoff's current law reads, for every crosspoint, ``g (u - v) = d_word(u)`` and
    ``g (v - u) = d_bit(v)``, where ``d`` sums the currents that the neighbouring segments of
    the wire bring.  The wires of one kind are eliminated as tridiagonal systems; what is left
    is block tridiagonal in the others and is factorised block by block (Cholesky).  With n
    the smaller and m the larger side that takes of the order of m n^3 operations and
    8 m n^2 bytes, once; an input then takes m n^2 in `solve` and m n in `currents`.

    Examples
    --------
    >>> import numpy as np
    >>> from rpupy.parasitics import Crossbar
    >>> ideal = Crossbar([[1e-3, 2e-3]])  # one output, two inputs, no resistance
    >>> print(ideal.currents([1.0, 1.0]))
    [0.003]
    >>> wired = Crossbar([[1e-3, 2e-3]], r_word_line=100.0)
    >>> print(wired.currents([1.0, 1.0]).round(6))
    [0.002576]
    """

    def __init__(
        self,
        conductances: ArrayLike,
        r_word_line: float = 0.0,
        r_bit_line: float = 0.0,
        drive_both_ends: bool = False,
        sense_both_ends: bool = False,
    ) -> None:
        self.conductances = _conductances(conductances)
        self.r_word_line = _resistance(r_word_line, "r_word_line")
        self.r_bit_line = _resistance(r_bit_line, "r_bit_line")
        self.drive_both_ends = _flag(drive_both_ends, "drive_both_ends")
        self.sense_both_ends = _flag(sense_both_ends, "sense_both_ends")
        out_size, in_size = self.conductances.shape
        words = _Wires(self.r_word_line, first=True, last=self.drive_both_ends)
        bits = _Wires(self.r_bit_line, first=self.sense_both_ends, last=True)
        # Wires of one kind are eliminated first. The other kind sets the size of the blocks, so
        # it is the one with fewer wires; ideal wires, whose voltages are known, need no blocks.
        self._words_first = bits.ideal or (not words.ideal and out_size <= in_size)
        if self._words_first:
            self._network = _Network(self.conductances.T, words, bits)
        else:
            self._network = _Network(self.conductances, bits, words)
        self._effective: Matrix | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Number of outputs and inputs."""
        out_size, in_size = self.conductances.shape
        return out_size, in_size

    @property
    def effective_conductances(self) -> Matrix:
        """Current of output i for 1 V at input j, in siemens: shape (out, in), read-only."""
        if self._effective is None:
            out_size, in_size = self.shape
            # The network is reciprocal: what 1 V at the driven ends of word line j delivers to
            # bit line i is what 1 V at the sensed ends of bit line i would deliver to j.
            if out_size <= in_size:
                _, drawn, _ = self._solve(
                    np.zeros((out_size, in_size)), np.eye(out_size)
                )
                effective = -drawn
            else:
                _, _, drawn = self._solve(
                    np.eye(in_size), np.zeros((in_size, out_size))
                )
                effective = np.ascontiguousarray(-drawn.T)
            effective.flags.writeable = False
            self._effective = effective
        return self._effective

    def currents(self, voltages: ArrayLike) -> Matrix:
        """Return the currents of the outputs, by the effective conductances.

        Parameters
        ----------
        voltages : array_like, shape (..., in)
            Voltages of the word lines, in volts.

        Returns
        -------
        ndarray of float64, shape (..., out)
            In amperes.
        """
        return self._voltages(voltages) @ self.effective_conductances.T

    def solve(self, voltages: ArrayLike, nodes: bool = False) -> NodalSolution:
        """Solve for the voltages of all nodes.

        Parameters
        ----------
        voltages : array_like, shape (..., in)
            Voltages of the word lines, in volts.
        nodes : bool
            Keep the voltages of the nodes: 16 bytes for each crosspoint and input.

        Returns
        -------
        NodalSolution
        """
        given = self._voltages(voltages)
        batch = given.shape[:-1]
        out_size, in_size = self.shape
        rows = given.reshape(-1, in_size)
        currents = np.empty((len(rows), out_size))
        residual = np.empty(len(rows))
        kept = np.empty((2, len(rows) if nodes else 0, out_size, in_size))
        # So many at a time that the nodes of a chunk take some 64 MB.
        chunk = max(1, 2**22 // (out_size * in_size))
        for start in range(0, len(rows), chunk):
            part = slice(start, start + chunk)
            ground = np.zeros((len(rows[part]), out_size))
            (word, bit), _, drawn = self._solve(rows[part], ground)
            currents[part] = -drawn
            residual[part] = self._network.residual(
                *self._order(word, bit), *self._order(rows[part], ground)
            )
            if nodes:
                kept[:, part] = word, bit
        shape = (*batch, out_size, in_size)
        return NodalSolution(
            currents.reshape(*batch, out_size),
            residual.reshape(batch),
            kept[0].reshape(shape) if nodes else None,
            kept[1].reshape(shape) if nodes else None,
        )

    def _voltages(self, value: ArrayLike) -> Matrix:
        voltages = _numbers(value, "voltages")
        if voltages.ndim == 0 or voltages.shape[-1] != self.shape[1]:
            raise ValueError(
                f"voltages must have shape (..., {self.shape[1]}), got {voltages.shape}"
            )
        return voltages

    def _order(self, word: Matrix, bit: Matrix) -> tuple[Matrix, Matrix]:
        """Return a pair for words and bits as the network has it, or the other way round."""
        if not self._words_first:
            return bit, word
        if word.ndim == 3:
            return word.swapaxes(1, 2), bit.swapaxes(1, 2)
        return word, bit

    def _solve(
        self, word_ends: Matrix, bit_ends: Matrix
    ) -> tuple[tuple[Matrix, Matrix], Matrix, Matrix]:
        """Return voltages of word and bit nodes, and what flows in at each kind of ends."""
        ends = self._order(word_ends, bit_ends)
        nodes = self._network.solve(*ends)
        inflow = self._network.inflow(*nodes, *ends)
        return self._order(*nodes), *self._order(*inflow)


def effective_weights(
    weights: ArrayLike,
    g_max: float,
    w_max: float = 1.0,
    **wiring: Any,
) -> Matrix:
    """Return the weights that an array with wire resistance multiplies by.

    A weight is the difference of two conductances, ``w = w_max / g_max * (g_plus - g_minus)``,
    one of which is zero; positive and negative conductances are arrays of their own with the
    same inputs, and the outputs are subtracted.

    Parameters
    ----------
    weights : array_like, shape (out, in)
        Weights without unit.
    g_max : float
        Conductance of a weight of size `w_max`, in siemens; above 0.
    w_max : float
        Above 0.
    **wiring
        `r_word_line`, `r_bit_line`, `drive_both_ends` and `sense_both_ends` of `Crossbar`.

    Returns
    -------
    ndarray of float64, shape (out, in)

    Examples
    --------
    >>> from rpupy.parasitics import effective_weights
    >>> print(effective_weights([[0.5, -1.0]], g_max=5e-6, r_bit_line=1e4).round(4))
    [[ 0.4651 -0.9524]]
    """
    w = _numbers(weights, "weights")
    scale = _positive(g_max, "g_max") / _positive(w_max, "w_max")
    parts = (np.maximum(w, 0.0) * scale, np.maximum(-w, 0.0) * scale)
    plus, minus = (Crossbar(part, **wiring).effective_conductances for part in parts)
    return (plus - minus) / scale


@dataclass(frozen=True)
class _Wires:
    """All wires of a kind: chains of nodes with equal segments, connected at some ends."""

    resistance: float
    first: bool
    last: bool

    @property
    def ideal(self) -> bool:
        return self.resistance == 0.0

    def diagonal(self, n: int) -> Matrix:
        """Return the sum of the conductances of the segments at each of n nodes."""
        segments = np.full(n, 2.0)
        segments[0] -= not self.first
        segments[-1] -= not self.last
        return segments / self.resistance

    def arriving(self, nodes: Matrix, ends: Matrix) -> Matrix:
        """Return the current that the segments bring to each node; wires on the last axis."""
        drops = np.diff(nodes, axis=-1)
        total = np.zeros_like(nodes)
        total[..., :-1] += drops
        total[..., 1:] -= drops
        if self.first:
            total[..., 0] += ends - nodes[..., 0]
        if self.last:
            total[..., -1] += ends - nodes[..., -1]
        return total / self.resistance

    def inflow(self, nodes: Matrix, ends: Matrix) -> Matrix:
        """Return the current that flows into each wire at its connected ends."""
        total = np.zeros_like(ends)
        if self.first:
            total += ends - nodes[..., 0]
        if self.last:
            total += ends - nodes[..., -1]
        return total / self.resistance

    def inject(self, right_side: Matrix, ends: Matrix) -> None:
        """Add what the connected ends bring to the right side of the nodal equations."""
        if self.first:
            right_side[..., 0] += ends / self.resistance
        if self.last:
            right_side[..., -1] += ends / self.resistance


class _Network:
    """Nodal equations of chains that cross other wires.

    Block b is a chain of n nodes, and `crossing` wire k connects the nodes k of all blocks.
    Chains are ideal only if the crossing wires are, too.
    """

    def __init__(self, conductances: Matrix, chains: _Wires, crossing: _Wires) -> None:
        self.g = np.ascontiguousarray(conductances)
        self.chains = chains
        self.crossing = crossing
        self._pivots: Matrix | None = None
        self._factors: dict[int, tuple[Matrix, Matrix]] = {}
        if not chains.ideal:
            self._lapack = _lapack()

    # ---- one chain -------------------------------------------------------------------

    def _chain_solve(self, block: int, right_side: Matrix) -> Matrix:
        """Solve for the nodes of a chain whose devices end at 0 V; right side (n, k)."""
        if block not in self._factors:
            diagonal = self.chains.diagonal(self.g.shape[1]) + self.g[block]
            beside = np.full(len(diagonal) - 1, -1.0 / self.chains.resistance)
            if len(beside) > 0:
                diagonal, beside, _ = self._lapack.dpttrf(diagonal, beside)
            self._factors[block] = diagonal, beside
        diagonal, beside = self._factors[block]
        if len(beside) == 0:
            return right_side / diagonal[0]
        solved, _ = self._lapack.dpttrs(diagonal, beside, right_side)
        return np.asarray(solved)

    # ---- all nodes -------------------------------------------------------------------

    def _inverse_pivots(self) -> Matrix:
        """Eliminate the chains, then block after block: inverses of the pivots.

        Crossing nodes of block b obey ``S_b v_b - g_c (v_(b-1) + v_(b+1)) = r_b`` with ``g_c``
        the conductance of a segment; ``P_b = S_b - g_c^2 P_(b-1)^-1`` are the pivots. They are
        symmetric, positive definite and dominated by their diagonals, so that products with
        their inverses are as exact as triangular solves, and faster.
        """
        if self._pivots is None:
            blocks, n = self.g.shape
            segments = self.crossing.diagonal(blocks)
            coupling = 1.0 / self.crossing.resistance
            pivots = np.empty((blocks, n, n))
            above = np.triu_indices(n, 1)
            for b in range(blocks):
                devices = np.diag(self.g[b])
                pivot = devices - self.g[b][:, None] * self._chain_solve(b, devices)
                pivot[np.diag_indices(n)] += segments[b]
                if b > 0:
                    pivot -= coupling**2 * pivots[b - 1]
                factor, failed = self._lapack.dpotrf(pivot, lower=True)
                lower, _ = self._lapack.dpotri(factor, lower=True)
                if failed:
                    raise np.linalg.LinAlgError(
                        "conductances and resistances differ too much in size for float64"
                    )
                lower[above] = lower.T[above]
                pivots[b] = lower
            self._pivots = pivots
        return self._pivots

    def solve(self, chain_ends: Matrix, crossing_ends: Matrix) -> tuple[Matrix, Matrix]:
        """Return the voltages of chain and crossing nodes, each (batch, blocks, n)."""
        blocks, n = self.g.shape
        shape = (len(chain_ends), blocks, n)
        if self.crossing.ideal:
            v = np.broadcast_to(crossing_ends[:, None, :], shape)
            if self.chains.ideal:
                return np.broadcast_to(chain_ends[:, :, None], shape), v
        else:
            v = self._solve_crossing(chain_ends, crossing_ends)
        u = np.empty(shape)
        for b in range(blocks):
            right_side = self.g[b] * v[:, b]
            self.chains.inject(right_side, chain_ends[:, b])
            u[:, b] = self._chain_solve(b, right_side.T).T
        return u, v

    def _solve_crossing(self, chain_ends: Matrix, crossing_ends: Matrix) -> Matrix:
        blocks, n = self.g.shape
        pivots = self._inverse_pivots()
        coupling = 1.0 / self.crossing.resistance
        # What the ends bring to the crossing nodes, over chains and directly.
        v = np.empty((len(chain_ends), blocks, n))
        source = np.zeros(n)
        self.chains.inject(source, np.array(1.0))
        for b in range(blocks):
            unit = self.g[b] * self._chain_solve(b, source)
            v[:, b] = chain_ends[:, b, None] * unit
        self.crossing.inject(v.swapaxes(1, 2), crossing_ends)
        for b in range(blocks):
            if b > 0:
                v[:, b] += coupling * v[:, b - 1]
            # With no source so far, as where only the last ends are driven, v is zero.
            if v[:, b].any():
                v[:, b] = v[:, b] @ pivots[b]
        for b in range(blocks - 2, -1, -1):
            v[:, b] += (coupling * v[:, b + 1]) @ pivots[b]
        return v

    def inflow(
        self, u: Matrix, v: Matrix, chain_ends: Matrix, crossing_ends: Matrix
    ) -> tuple[Matrix, Matrix]:
        """Return the currents that flow into chains and crossing wires at their ends."""
        if self.chains.ideal:
            chain = np.einsum("kbn,bn->kb", u - v, self.g)
        else:
            chain = self.chains.inflow(u, chain_ends)
        if self.crossing.ideal:
            return chain, np.einsum("kbn,bn->kn", v - u, self.g)
        return chain, self.crossing.inflow(v.swapaxes(1, 2), crossing_ends)

    def residual(
        self, u: Matrix, v: Matrix, chain_ends: Matrix, crossing_ends: Matrix
    ) -> Matrix:
        """Return the largest sum of currents into any node, for each vector."""
        devices = self.g * (u - v)
        worst = np.zeros(len(u))
        if not self.chains.ideal:
            sums = self.chains.arriving(u, chain_ends) - devices
            worst = np.abs(sums).max(axis=(1, 2), initial=0.0)
        if not self.crossing.ideal:
            crossing = self.crossing.arriving(v.swapaxes(1, 2), crossing_ends)
            sums = crossing.swapaxes(1, 2) + devices
            worst = np.maximum(worst, np.abs(sums).max(axis=(1, 2), initial=0.0))
        return worst


# ---- arguments -----------------------------------------------------------------------


def _lapack() -> Any:
    try:
        return importlib.import_module("scipy.linalg.lapack")
    except ImportError:
        raise ImportError(
            'wires with resistance need SciPy: pip install "rpupy[parasitics]"'
        ) from None


def _numbers(value: ArrayLike, name: str) -> Matrix:
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be an array of real numbers: {error}") from None
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must be an array of real numbers, got {array.dtype}")
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got NaN or inf")
    return array


def _conductances(value: ArrayLike) -> Matrix:
    array = np.ascontiguousarray(_numbers(value, "conductances"))
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"conductances must have shape (out, in), got {array.shape}")
    if (array < 0.0).any():
        raise ValueError(f"conductances must be at least 0, got {array.min()}")
    array.flags.writeable = False
    return array


def _number(value: Any, name: str) -> float:
    array = _numbers(value, name)
    if array.ndim != 0:
        raise TypeError(f"{name} must be one number, got shape {array.shape}")
    return float(array)


def _resistance(value: Any, name: str) -> float:
    number = _number(value, name)
    if number < 0.0:
        raise ValueError(f"{name} must be at least 0, got {value!r}")
    return number


def _positive(value: Any, name: str) -> float:
    number = _number(value, name)
    if number <= 0.0:
        raise ValueError(f"{name} must be above 0, got {value!r}")
    return number


def _flag(value: Any, name: str) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)
