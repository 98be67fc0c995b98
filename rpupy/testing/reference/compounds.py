"""Unit cells and compounds: several devices at each crosspoint.

Written from docs/compounds.md, docs/semantics.md and the docstrings of `rpupy.configs.compounds`,
one vector after the other.  A node of the tree is a `Plane` of devices or a `Cell`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from rpupy.configs.compounds import reads_slice_alone
from rpupy.parameters.enums import (
    BoundManagementType,
    NoiseManagementType,
    VectorUnitCellUpdatePolicy,
)

from .aggregate import Word, parts_of_vector
from .arithmetic import F32, LARGEST, SMALLEST_NORMAL, Floats, clip, fma
from .plane import Counting, Plane
from .product import LineDraws, Vector
from .random_numbers import Draw, Pass, RandomNumbers, Stream
from .trains import Train, Zeros, longest_train

#: Counters of every node of a tree.
COUNTERS = ("reads", "writes", "events", "updates", "position", "sweeps")
#: Counters that a cell has besides: a plane has the first two in any case.
CELL_COUNTERS = (*COUNTERS, "reset", "redraw", "current", "choices")
#: The largest count that a row of a mixed precision compound can ask for.
MOST_STEPS = F32(2147483520)

Node = Any  # a Plane or a Cell


@dataclass
class Place:
    """Where the nodes of a tree are: what they share, and their numbers."""

    shape: tuple[int, int]
    key: tuple[int, int]
    log: list[Draw]
    counters: dict[str, int]
    update: Any
    planes: Iterator[int]
    cells: Iterator[int]
    tie_distance: float = field(default=math.inf)
    made: list[Plane] = field(default_factory=list)

    def settle(self) -> None:
        """Let portions of pulses that share a draw of noise end everywhere."""
        for plane in self.made:
            plane.settle()

    def node(self, config: Any, suffix: str, construction_seed: int) -> Node:
        """Make the model of a device or a cell."""
        seed = construction_seed or config.construction_seed
        if hasattr(config, "node"):
            return CELLS[config.node](config, self, suffix, seed)
        common = (self.key, self.log, self.counters)
        number = next(self.planes)
        plane = Plane(
            self.shape, config.resolved(), True, *common, number, suffix, seed
        )
        for name in CELL_COUNTERS:
            self.counters.setdefault(name + suffix, 0)
        self.made.append(plane)
        return plane

    def random(self, number: int) -> RandomNumbers:
        """Return the random numbers of a plane or cell."""
        return RandomNumbers(self.key, self.log, number)

    def note_tie(self, values: Any, ties: Any = 0.0) -> None:
        """Note how close numbers are to where a decision changes, if not right there."""
        with np.errstate(invalid="ignore"):
            distance = np.abs(np.asarray(values, dtype=np.float64) - ties)
            distance /= 1 + np.abs(values)
        distance = distance[distance > 0]
        self.tie_distance = min(self.tie_distance, np.min(distance, initial=math.inf))

    def take_tie_distance(self) -> float:
        """Return the smallest distance since the last call."""
        distance, self.tie_distance = self.tie_distance, math.inf
        return distance


def cell_of(
    config: Any,
    update: Any,
    shape: tuple[int, int],
    key: tuple[int, int],
    log: list[Draw],
    counters: dict[str, int],
) -> Cell:
    """Make the model of a cell that is the device of a tile."""
    # Planes are numbered depth first, and behind them the cells, also depth first.
    numbers = count(_planes_in(config))
    place = Place(shape, key, log, counters, update, count(0), numbers)
    cell = place.node(config, "", 0)
    cell.clear(new=True)
    return cell


def _planes_in(config: Any) -> int:
    if not hasattr(config, "node"):
        return 1
    return sum(_planes_in(member) for member in config.members())


class Cell(Counting):
    """What all cells share.

    Parameters
    ----------
    config : rpupy.configs.compounds.Cell
    place : Place
    suffix : str
        What names of arrays and counters end in.
    construction_seed : int
        Of the devices inside; 0: each has its own.
    """

    def __init__(
        self, config: Any, place: Place, suffix: str, construction_seed: int
    ) -> None:
        self.prefix = f"{config.node}_"
        super().__init__(place.counters, suffix, CELL_COUNTERS)
        self.config = config
        self.place = place
        self.number = next(place.cells)
        self.members: list[Node] = [
            place.node(member, self.suffix_of(k), construction_seed)
            for k, member in enumerate(config.members())
        ]
        self.random = place.random(self.number)
        #: What the lines of its reads drew.
        self.drawn: dict[str, Any] = {}
        self.zeros = Zeros()  # of its writes
        #: Matrices that are hidden parameters, by name without suffix.
        self.buffers: dict[str, Floats] = {}

    def line_draws(self) -> LineDraws:
        """Return what draws for the lines of its reads."""
        return LineDraws(self.random, self.place.shape)

    def suffix_of(self, k: int) -> str:
        """Return what names of member `k` end in."""
        return f"_{k}{self.suffix}"

    # ---- properties (compounds.md 0.3, 0.4) ------------------------------------------

    @property
    def gammas(self) -> list[Any]:
        """Factors of the members."""
        return [F32(gamma) for gamma in self.config.gammas()]

    @property
    def weights(self) -> Floats:
        """The effective weight: one chain of sums in the order of the members."""
        total = self.members[0].weights * self.gammas[0]
        for member, gamma in zip(self.members[1:], self.gammas[1:], strict=True):
            total = fma(gamma, member.weights, total)
        return np.asarray(total)

    @property
    def granularity(self) -> float:
        """Mean over the members."""
        return math.fsum(m.granularity for m in self.members) / len(self.members)

    @property
    def states(self) -> float:
        """Number of states: mean over the members."""
        return math.fsum(m.states for m in self.members) / len(self.members)

    # ---- one vector ------------------------------------------------------------------

    def update(self, x: Floats, d: Floats, lr: Any, batch: int, train: Train) -> None:
        """Update with a vector of a mini-batch of `batch` vectors."""
        if lr == 0:
            return
        self.begin()
        rate = self.pulse_rate(x, d, lr, batch, train.update)
        words = train.words(x, d, rate, self.granularity)
        if train.update.d_sparsity:
            self.count_zeros(train, batch)
        if train.aggregates:
            self.receive_in_portions(words, lr, train)
        else:
            self.receive(words)
        self.finish(lr, batch)

    def receive_in_portions(self, words: list[Word], lr: Any, train: Train) -> None:
        """Pass pulses on that wait for the end of their portion.

        Those of a mini-batch are counted from its first vector; a write is a portion.
        """
        longest = max(len(words), 1)
        if not train.write:
            rate = self.longest_rate(lr)
            longest = longest_train(train.update, rate, self.granularity)
        for part, is_last in parts_of_vector(words, train.vector, longest):
            self.receive(part, at_once=True)
            if is_last or train.write:
                self.place.settle()

    def longest_rate(self, lr: Any) -> Any:
        """Return the rate for which portions reckon with the length of trains."""
        return lr

    def count_zeros(self, train: Train, batch: int) -> None:
        """Note the share of zeros in the errors."""
        train.zeros.last = train.zero_share

    def begin(self) -> None:
        """Decide what the next vector does."""

    def pulse_rate(self, x: Floats, d: Floats, lr: Any, batch: int, update: Any) -> Any:
        """Return the rate for which trains are made."""
        return lr

    def receive(self, words: list[Word], at_once: bool = False) -> None:
        """Pass pulses on to the members."""
        raise NotImplementedError

    def finish(self, lr: Any, batch: int) -> None:
        """Count a vector, and do what is due behind it."""
        raise NotImplementedError

    # ---- reads and writes ------------------------------------------------------------

    def read(self, source: Node, number: int, io: Any, columns: bool = True) -> Floats:
        """Read a column or a row of a member."""
        lines = self.place.shape[1] if columns else self.place.shape[0]
        drawn = dict(self.drawn)
        if "w_asymmetry" in drawn and not columns:
            drawn["w_asymmetry"] = drawn["w_asymmetry"].T
        vector = Vector(
            self.place.random(source.number),
            source.weights if columns else source.weights.T,
            io,
            Pass.READ,
            source.counted("reads"),
            drawn,
            # The largest input of each read is 1, and so is the mean of all of them.
            average=F32(1),
            backward=not columns,
        )
        values = vector.product(_one_hot(lines, number))
        self.place.tie_distance = min(self.place.tie_distance, vector.tie_distance)
        return values

    def write(
        self,
        target: Node,
        number: int,
        values: Floats,
        lr: Any,
        update: Any,
        columns: bool = True,
        batch: int = 1,
    ) -> None:
        """Add ``lr * values`` to a column or a row of a member."""
        lines = self.place.shape[1] if columns else self.place.shape[0]
        x, d = _one_hot(lines, number), -values
        if not columns:
            x, d = d, x
        ordinal = target.counted("writes")
        random = self.place.random(target.number)
        train = Train(update, random, ordinal, write=True, zeros=self.zeros)
        target.update(x, d, lr, batch, train)

    # ---- weights and upkeep ----------------------------------------------------------

    def set_weights(self, weights: Floats) -> None:
        """Set the weights, with buffers and schedule as of a new cell."""
        self.clear()
        self.write_members(weights)

    def write_members(self, weights: Floats) -> None:
        """Set the weights of the members."""
        raise NotImplementedError

    def clear(self, new: bool = False) -> None:
        """Let buffers and schedule start anew, but no ordinal of a random number."""
        for node in (self, *self.members):
            for name in ("updates", "position", "sweeps"):
                node.set_count(name, 0)
        for buffer in self.buffers.values():
            buffer[...] = 0
        self.zeros.last = F32(0)
        for member in self.members:
            if isinstance(member, Cell):
                member.clear(new)

    def decay(self, alpha: float) -> None:
        """Let each device decay."""
        for member in self.members:
            member.decay(alpha)

    def diffuse(self) -> None:
        """Let each device diffuse."""
        for member in self.members:
            member.diffuse()

    def clip(self, limit: float) -> None:
        """Clip each device."""
        for member in self.members:
            member.clip(limit)

    def drift(self, delta_t: float) -> None:
        """Let each device drift."""
        for member in self.members:
            member.drift(delta_t)

    @property
    def reset_by(self) -> list[Node]:
        """Members that a reset of columns reaches."""
        return self.members

    def reset(self, start: int, columns: int, probability: float) -> None:
        """Reset columns."""
        for member in self.reset_by:
            member.reset(start, columns, probability)

    # ---- hidden parameters and state (10) --------------------------------------------

    def get_hidden(self) -> dict[str, Floats]:
        """Return copies of all hidden parameters, by their full names."""
        hidden: dict[str, Floats] = {}
        for k, member in enumerate(self.members):
            hidden |= member.get_hidden()
            hidden[f"hidden_weights{self.suffix_of(k)}"] = member.weights.copy()
        return hidden | self._own_hidden()

    def _own_hidden(self) -> dict[str, Floats]:
        return {name + self.suffix: b.copy() for name, b in self.buffers.items()}

    def set_hidden(self, parameters: Mapping[str, ArrayLike]) -> None:
        """Overwrite all hidden parameters; weights are clipped, counters stay."""
        for name, buffer in self.buffers.items():
            buffer[...] = parameters[name + self.suffix]
        for member in self.members:
            member.set_hidden(parameters)

    def adopt(
        self, numbers: list[Any], arrays: Mapping[str, Any], weights: str
    ) -> None:
        """Take the state of a cell of a core tile; what is taken leaves `numbers`."""
        for name in self.drawn:
            self.drawn[name] = np.array(arrays[f"read_{name}{self.suffix}"])
        for name, buffer in self.buffers.items():
            buffer[...] = arrays[name + self.suffix]
        self.zeros.last = arrays.get("write_zeros" + self.suffix, [F32(0)])[0]
        for k, member in enumerate(self.members):
            named = self._name_of_weights(k, weights)
            if isinstance(member, Cell):
                member.adopt(numbers, arrays, named)
            else:
                member.adopt(numbers.pop(0), arrays, named)

    def _name_of_weights(self, k: int, weights: str) -> str:
        return f"hidden_weights{self.suffix_of(k)}"

    def arrays(self, weights: str) -> dict[str, Any]:
        """Return the arrays of the state of a core tile, by their names there."""
        found: dict[str, Any] = {weights: self.weights}
        for k, member in enumerate(self.members):
            found |= member.arrays(self._name_of_weights(k, weights))
        own = {**self.buffers, **self.lines(), "write_zeros": [self.zeros.last]}
        own |= {f"read_{name}": values for name, values in self.drawn.items()}
        return found | {name + self.suffix: array for name, array in own.items()}

    def lines(self) -> dict[str, Any]:
        """Return what lines have, by name without suffix."""
        return {}


class VectorCell(Cell):
    """Devices whose weights add up (1, 2)."""

    @property
    def policy(self) -> VectorUnitCellUpdatePolicy:
        """Who gets the pulses."""
        policy: VectorUnitCellUpdatePolicy = self.config.update_policy
        return policy

    @property
    def current(self) -> int:
        """Number of the present device."""
        return self.count("current")

    @current.setter
    def current(self, number: int) -> None:
        self.set_count("current", number)

    @property
    def chosen(self) -> list[Node]:
        """Members that get the present vector."""
        if self.policy is VectorUnitCellUpdatePolicy.ALL:
            return self.members
        return [self.members[self.current]]

    def begin(self) -> None:
        """Choose the device."""
        n = len(self.members)
        vector = self.counted("choices")
        if self.policy is VectorUnitCellUpdatePolicy.SINGLE_SEQUENTIAL:
            self.current = (self.current + 1) % n
        elif self.policy is VectorUnitCellUpdatePolicy.SINGLE_RANDOM:
            word = self.random.words(Stream.SELECT, 0, vector)
            self.current = int(word) * n >> 32
        for member in self.chosen:
            if isinstance(member, Cell):
                member.begin()

    def receive(self, words: list[Word], at_once: bool = False) -> None:
        """Give the same pulses to all that are chosen."""
        for member in self.chosen:
            member.receive(words, at_once)

    def finish(self, lr: Any, batch: int) -> None:
        """Let those finish that had the vector, then count it."""
        one = self.policy is not VectorUnitCellUpdatePolicy.ALL
        if one and any(isinstance(member, Cell) for member in self.members):
            self.place.settle()
        _finish(self.chosen, lr, batch)
        self.counted("updates")

    def write_members(self, weights: Floats) -> None:
        """Write the same to all, or with a fixed policy to the present one."""
        fixed = self.policy is VectorUnitCellUpdatePolicy.SINGLE_FIXED
        for member in self.chosen if fixed else self.members:
            member.set_weights(weights)

    def clear(self, new: bool = False) -> None:
        """Go back to the first device, where the policy moves on from it."""
        super().clear(new)
        if new or self.policy is not VectorUnitCellUpdatePolicy.SINGLE_FIXED:
            self.current = self.config.first_update_idx


class OneSidedCell(Cell):
    """Two devices that only go up (3)."""

    def __init__(
        self, config: Any, place: Place, suffix: str, construction_seed: int
    ) -> None:
        super().__init__(config, place, suffix, construction_seed)
        self.minus, self.plus = self.members
        self.drawn = self.line_draws().of(config.refresh_forward, False)
        if config.copy_inverted:
            self._mirror()

    def _mirror(self) -> None:
        """Let device 1 go up as device 0 goes down."""
        drawn, mirrored = self.minus.hidden, self.plus.hidden
        # What upkeep alone reads is not copied.
        kept = ("decay_scales", "diffusion_rates", "reset_bias", "drift_nu")
        for name in mirrored.keys() - kept:
            turned = name.replace("up", "-").replace("down", "up").replace("-", "down")
            if name in ("max_bound", "min_bound"):
                turned = "min_bound" if name == "max_bound" else "max_bound"
            is_weight = name.startswith(
                ("max_bound", "min_bound", "slope", "reference")
            )
            mirrored[name][...] = drawn[turned] * F32(-1 if is_weight else 1)

    def receive(self, words: list[Word], at_once: bool = False) -> None:
        """Give what raises the weight to one device, what lowers it to the other."""
        for member, raises in ((self.plus, True), (self.minus, False)):
            turned = [
                (np.where(up == raises, n, 0), np.ones_like(up)) for n, up in words
            ]
            member.receive(turned, at_once)

    def finish(self, lr: Any, batch: int) -> None:
        """Count the vector, and refresh if it is time to."""
        self.counted("updates")
        period = self.config.refresh_every
        if self.config.units_in_mbatch:
            period *= batch
        if self.config.refresh_every > 0 and self.count("updates") % period == 0:
            self.place.settle()
            self.refresh()

    def refresh(self) -> None:
        """Reset what is high on both sides, and write the difference again."""
        p = self.config
        # One ordinal of resets for a refresh.
        resets = [member.counted("reset") for member in self.members]
        redraws = [member.counted("redraw") for member in self.members]
        for column in range(self.place.shape[1]):
            plus = self.read(self.plus, column, p.refresh_forward)
            minus = self.read(self.minus, column, p.refresh_forward)
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                high = plus / abs(F32(self.plus.device.w_max))
                low = minus / abs(F32(self.minus.device.w_max))
            upper, lower = F32(p.refresh_upper_thres), F32(p.refresh_lower_thres)
            hit = np.where(
                plus > minus,
                (high > upper) & (low > lower),
                (high > lower) & (low > upper),
            )
            for limit in (upper, lower):
                self.place.note_tie(np.stack([high, low]), limit)
            chosen = np.zeros(self.place.shape, dtype=np.bool_)
            chosen[:, column] = hit
            for member, reset, redraw in zip(
                self.members, resets, redraws, strict=True
            ):
                member.reset_some(chosen, reset, redraw)
            zero = F32(0)
            for member, difference in (
                (self.plus, plus - minus),
                (self.minus, minus - plus),
            ):
                target = np.where(hit, np.maximum(difference, zero), zero)
                if target.any():
                    self.write(member, column, target, F32(1), p.refresh_update)
                else:
                    member.counted("writes")

    def write_members(self, weights: Floats) -> None:
        """Write the positive part to one device, the negative one to the other."""
        zero = F32(0)
        self.plus.set_weights(np.maximum(weights, zero))
        self.minus.set_weights(np.maximum(-weights, zero))


class TransferChain(Cell):
    """Tiki-taka: from a fast array to slower ones (4)."""

    def __init__(
        self, config: Any, place: Place, suffix: str, construction_seed: int
    ) -> None:
        super().__init__(config, place, suffix, construction_seed)
        rows, columns = place.shape
        self.columns: bool = config.transfer_columns
        self.slices, self.length = (columns, rows) if self.columns else (rows, columns)
        self.fast, self.last = self.members[0], self.members[-1]
        self.io = attrs.evolve(
            config.transfer_forward,
            noise_management=NoiseManagementType.NONE,
            bound_management=BoundManagementType.NONE,
        )
        self.drawn = self.line_draws().of(self.io, not self.columns)

    @property
    def hides_all(self) -> bool:
        """Whether the last array is what products see."""
        *others, last = self.gammas
        return last == 1 and not any(others)

    @property
    def weights(self) -> Floats:
        """The effective weight."""
        if self.hides_all:
            seen: Floats = self.last.weights
            return seen
        return super().weights

    def _name_of_weights(self, k: int, weights: str) -> str:
        if self.hides_all and self.members[k] is self.last:
            return weights
        return super()._name_of_weights(k, weights)

    @property
    def states(self) -> float:
        """Number of states: that of the fast device."""
        states: float = self.fast.states
        return states

    @property
    def reset_by(self) -> list[Node]:
        """The fast device."""
        return [self.fast]

    def write_members(self, weights: Floats) -> None:
        """Write all to the last array."""
        for member in self.members[:-1]:
            member.set_weights(np.zeros_like(weights))
        self.last.set_weights(weights / self.gammas[-1])

    # ---- one vector ------------------------------------------------------------------

    def begin(self) -> None:
        """Let the fast array begin."""
        if isinstance(self.fast, Cell):
            self.fast.begin()

    def pulse_rate(self, x: Floats, d: Floats, lr: Any, batch: int, update: Any) -> Any:
        """Return the rate of the fast array."""
        return self.fast_rate(lr)

    def longest_rate(self, lr: Any) -> Any:
        """Return the same one."""
        return self.fast_rate(lr)

    def fast_rate(self, lr: Any) -> Any:
        """Return the rate of the fast array."""
        fast = F32(self.config.fast_lr)
        if not fast > 0:
            return lr
        return _finite(fast * lr) if self.config.scale_fast_lr else fast

    def receive(self, words: list[Word], at_once: bool = False) -> None:
        """Give pulses to the fast array."""
        self.fast.receive(words, at_once)

    def finish(self, lr: Any, batch: int) -> None:
        """Count the vector, and transfer what is due."""
        _finish([self.fast], lr, batch)
        self.counted("updates")
        for k in range(len(self.members)):
            every = self.period(k, batch)
            if every > 0 and self.count("updates") % every == 0:
                if not self.cuts_slices:
                    self.place.settle()
                self.transfer(k, lr)

    @property
    def cuts_slices(self) -> bool:
        """Whether an event ends portions of the slices alone that are read.

        It does where this is the whole cell, made of devices, and where a slice is all
        that its read depends on.
        """
        devices = all(isinstance(member, Plane) for member in self.members)
        return self.suffix == "" and devices and reads_slice_alone(self.io)

    def base_periods(self) -> list[float]:
        """Return the periods of all sources (4.1; slices instead of lengths: 12.5)."""
        p = self.config
        if p.transfer_every_vec:
            return list(p.transfer_every_vec)
        reads = min(p.n_reads_per_transfer, self.slices)
        periods = [float(p.transfer_every)]
        for _ in self.members[1:]:
            periods.append(periods[-1] * self.slices / reads)
        if p.no_self_transfer:
            periods[-1] = 0.0
        return periods

    def period(self, k: int, batch: int) -> int:
        """Return the period of a source in vectors."""
        base = F32(self.base_periods()[k])
        if self.config.units_in_mbatch:
            return max(int(np.ceil(base * F32(batch))), 0)
        return max(_round_half_up(base), 0)

    def rate(self, k: int, lr: Any) -> Any:
        """Return the rate of transfers out of a member."""
        p = self.config
        eta = F32(p.transfer_lr_vec[k] if p.transfer_lr_vec else p.transfer_lr)
        return eta * lr if p.scale_transfer_lr else eta

    def transfer(self, k: int, lr: Any) -> None:
        """Move slices from a member to the next one."""
        source = self.members[k]
        reads = min(self.config.n_reads_per_transfer, self.slices)
        event = source.counted("events")
        first = source.count("position")
        if self.config.random_selection:
            word = self.place.random(source.number).words(
                Stream.SELECT, 0, event, draw=1
            )
            first = int(word) * self.slices >> 32
        # From the last member to itself nothing moves but the slice.
        eta = self.rate(k, lr) if source is not self.last else 0
        if eta != 0:
            for number in range(first, first + reads):
                self.move(k, number % self.slices, event, eta)
        source.set_count("position", (first + reads) % self.slices)

    def move(self, k: int, number: int, event: int, eta: Any) -> None:
        """Move one slice."""
        source, target = self.members[k], self.members[k + 1]
        if isinstance(source, Plane) and source.waiting:
            read = np.zeros(self.place.shape, dtype=np.bool_)
            self.slice_of(read, number)[...] = True
            source.settle(read)
        values = self.read(source, number, self.io, self.columns)
        # Each slice is reset behind its own read.
        if self.config.with_reset_prob > 0.0:
            random = self.place.random(source.number)
            if random.happens(
                self.config.with_reset_prob, Stream.SELECT, number, event, draw=2
            ):
                _reset_column(source, number)
        self.pass_on(k, target, number, values, event, eta)

    def pass_on(
        self, k: int, target: Node, number: int, values: Floats, event: int, eta: Any
    ) -> None:
        """Write what was read: W_t[slice] += eta * v."""
        self.write_slice(target, number, values, eta)

    def write_slice(self, target: Node, number: int, values: Floats, lr: Any) -> None:
        """Write to a slice of the target."""
        reads = min(self.config.n_reads_per_transfer, self.slices)
        self.write(
            target, number, values, lr, self.config.transfer_update, self.columns, reads
        )

    def write_steps(self, target: Node, number: int, steps: Floats, may: bool) -> None:
        """Write whole steps, if there are any and they may be written."""
        if may and steps.any():
            lr = F32(self.config.step) * F32(target.granularity)
            self.write_slice(target, number, steps, lr)
        else:
            target.counted("writes")

    def slice_of(self, array: NDArray[Any], number: int) -> NDArray[Any]:
        """Return a view of a slice."""
        return array[:, number] if self.columns else array[number]

    @property
    def most(self) -> np.float32:
        """Steps of a crosspoint in a write, at most."""
        return F32(self.config.transfer_update.desired_bl)

    def with_factors(self, k: int, eta: Any) -> Any:
        """Return the rate where buffers are between arrays."""
        source, target = self.gammas[k], self.gammas[min(k + 1, len(self.members) - 1)]
        return eta * (source / target) if source > 0 and target > 0 else eta

    def whole_steps(self, value: Any) -> Any:
        """Round towards zero, up to what a write can carry."""
        self.place.note_tie(value, np.rint(value))
        return clip(np.trunc(value), -self.most, self.most)


class BufferedChain(TransferChain):
    """TTv2: a buffer in weight units between the arrays (5)."""

    def __init__(
        self, config: Any, place: Place, suffix: str, construction_seed: int
    ) -> None:
        super().__init__(config, place, suffix, construction_seed)
        for k in range(len(self.members) - 1):
            self.buffers[f"buffered_FP_weight_{k}"] = np.zeros(
                place.shape, dtype=np.float32
            )

    def rate(self, k: int, lr: Any) -> Any:
        """Return the rate of transfers out of a member."""
        return self.with_factors(k, super().rate(k, lr))

    def pass_on(
        self, k: int, target: Node, number: int, values: Floats, event: int, eta: Any
    ) -> None:
        """Let the buffer take what was read, and write what goes beyond the threshold."""
        p = self.config
        buffer = self.slice_of(self.buffers[f"buffered_FP_weight_{k}"], number)
        threshold = F32(p.thres_scale) * F32(target.granularity)
        total = _finite(fma(abs(eta), values, buffer))
        steps = self.whole_steps(total / threshold)
        if p.forget_buffer:
            left = F32(p.momentum) * total
        else:
            sub = F32(1) - clip(F32(p.momentum), F32(0), F32(1))
            left = fma(steps * threshold, -sub, total)
        buffer[...] = np.where(steps != 0, _finite(left), total)
        self.write_steps(target, number, steps, True)


class ChoppedTransfer(TransferChain):
    """TTv3: choppers on both sides of the fast array (6)."""

    #: Name of the buffer among hidden parameters.
    buffer_name = "buffered_FP_weight_0"

    def __init__(
        self, config: Any, place: Place, suffix: str, construction_seed: int
    ) -> None:
        super().__init__(config, place, suffix, construction_seed)
        self.buffers[self.buffer_name] = np.zeros(place.shape, dtype=np.float32)
        self.in_chopper = np.zeros(self.slices, dtype=np.bool_)
        self.out_chopper = np.zeros(self.length, dtype=np.bool_)
        self.x_mean = self.d_mean = F32(0)
        self.last_rate = F32(1)
        self.sparsity = F32(0)

    def clear(self, new: bool = False) -> None:
        """Let choppers and running maxima start anew, too."""
        super().clear(new)
        self.in_chopper[...] = self.out_chopper[...] = False
        self.x_mean = self.d_mean = self.sparsity = F32(0)
        self.last_rate = F32(1)

    def adopt(
        self, numbers: list[Any], arrays: Mapping[str, Any], weights: str
    ) -> None:
        """Take the state of a cell of a core tile."""
        super().adopt(numbers, arrays, weights)
        self.in_chopper[...] = arrays["in_chopper" + self.suffix]
        self.out_chopper[...] = arrays["out_chopper" + self.suffix]
        self.x_mean, self.d_mean, self.last_rate = arrays["running" + self.suffix]
        self.sparsity = arrays.get("d_sparsity" + self.suffix, [F32(0)])[0]

    def lines(self) -> dict[str, Any]:
        """Return choppers, and the running maxima with the last rate."""
        return {
            "in_chopper": self.in_chopper,
            "out_chopper": self.out_chopper,
            "running": np.array([self.x_mean, self.d_mean, self.last_rate]),
            "d_sparsity": [self.sparsity],
        }

    @property
    def turned(self) -> NDArray[np.bool_]:
        """Where the product of both choppers is -1."""
        x, d = self.in_chopper, self.out_chopper
        if not self.columns:
            x, d = d, x
        return d[:, None] != x[None, :]

    @property
    def weights(self) -> Floats:
        """The effective weight, with the present choppers."""
        if self.hides_all:
            return super().weights
        a = self.gammas[0] * self.fast.weights
        shown = np.where(self.turned, -a, a)
        return np.asarray(fma(self.gammas[1], self.last.weights, shown))

    # ---- rates -----------------------------------------------------------------------

    def base_periods(self) -> list[float]:
        """Return the periods: only the fast array has one."""
        p = self.config
        first = p.transfer_every_vec[0] if p.transfer_every_vec else p.transfer_every
        return [float(first), 0.0]

    def period(self, k: int, batch: int) -> int:
        """Return the period of a source in vectors."""
        base = F32(self.base_periods()[k])
        if base < 0 and k == 0:
            states = F32(self.fast.states)
            return max(1, _round_half_up(states / F32(self.slices) * abs(base)))
        return super().period(k, batch)

    def pulse_rate(self, x: Floats, d: Floats, lr: Any, batch: int, update: Any) -> Any:
        """Return the rate of the fast array, by running maxima if asked for.

        The running maxima move here and not in `begin`: they have a use only where this
        compound makes the trains.
        """
        p = self.config
        if not (p.auto_scale and p.fast_lr > 0):
            rate = super().pulse_rate(x, d, lr, batch, update)
            self.last_rate = abs(rate)
            return rate
        tau = self.mean_rate(batch)
        self.x_mean = _running_mean(self.x_mean, np.abs(x).max(), tau)
        self.d_mean = _running_mean(self.d_mean, np.abs(d).max(), tau)
        rate = F32(p.fast_lr) * F32(update.desired_bl) * F32(self.fast.granularity)
        if p.scale_fast_lr:
            rate = _finite(rate * abs(lr))
        if self.x_mean > 0 and self.d_mean > 0:
            rate = rate / (self.x_mean * self.d_mean)
            rate = clip(rate, SMALLEST_NORMAL, LARGEST)
        self.last_rate = rate
        return -rate if p.scale_fast_lr and lr < 0 else rate

    def mean_rate(self, batch: int) -> Any:
        """Return the rate of running means."""
        return (F32(1) - F32(self.config.auto_momentum)) / F32(batch)

    def count_zeros(self, train: Train, batch: int) -> None:
        """Take in the share of zeros of the vector before, and note that of this one."""
        before, rate = train.zeros.last, self.mean_rate(batch)
        self.sparsity = _running_mean(self.sparsity, before, rate)
        super().count_zeros(train, batch)

    def rate(self, k: int, lr: Any) -> Any:
        """Return the rate of transfers."""
        return self.with_factors(k, super().rate(k, lr))

    def scale(self, eta: Any) -> Any:
        """Return what turns a read into steps of the buffer."""
        p = self.config
        fast, slow = F32(self.fast.granularity), F32(self.last.granularity)
        unit = (
            F32(p.buffer_granularity) if p.buffer_granularity > 0 else F32(1)
        ) * fast
        if p.auto_granularity > 0:
            unit = unit * (
                F32(p.auto_granularity)
                / (F32(self.slices) * abs(F32(p.transfer_every)))
            )
        if p.correct_gradient_magnitudes:
            return _finite(abs(eta) / self.last_rate / (unit * (slow / fast)))
        return _finite(abs(eta) / unit)

    # ---- one vector ------------------------------------------------------------------

    def longest_rate(self, lr: Any) -> Any:
        """Return a rate above all others where each vector has its own."""
        p = self.config
        return np.inf if p.auto_scale and p.fast_lr > 0 else self.fast_rate(lr)

    def receive(self, words: list[Word], at_once: bool = False) -> None:
        """Give pulses to the fast array, turned over by the choppers."""
        turned = self.turned
        self.fast.receive([(pulses, up ^ turned) for pulses, up in words], at_once)

    @property
    def sweeps_of_period(self) -> int:
        """Reads of a slice from one regular flip of its chopper to the next."""
        if not self.config.in_chop_prob > 0:
            return 2
        return max(int(np.ceil(F32(1) / F32(self.config.in_chop_prob))), 2)

    def pass_on(
        self, k: int, target: Node, number: int, values: Floats, event: int, eta: Any
    ) -> None:
        """Let the buffer take what was read, write, and move the choppers."""
        buffer = self.slice_of(self.buffers[self.buffer_name], number)
        signed = np.where(self.in_chopper[number] != self.out_chopper, -values, values)
        held = np.zeros_like(buffer) if self.config.no_buffer else buffer
        steps, buffer[...] = self.take_steps(
            fma(self.scale(eta), signed, held),
            clip(F32(self.config.momentum), F32(0), F32(1)),
        )
        self.write_steps(target, number, steps, True)
        self.move_choppers(number, event)

    def take_steps(self, total: Any, kept: Any) -> tuple[Any, Any]:
        """Return the steps in the buffer, and what is left of it."""
        total = _finite(total)
        steps = self.whole_steps(total)
        if self.config.forget_buffer:
            left = F32(self.config.momentum) * total
        else:
            left = self.capped(fma(steps, kept - F32(1), total))
        return steps, np.where(np.abs(total) >= 1, _finite(left), total)

    def capped(self, left: Any) -> Any:
        """Limit what is left in the buffer."""
        return left

    def move_choppers(self, number: int, event: int) -> None:
        """Flip the chopper of the slice, and behind a sweep those of the other side."""
        if self.in_chopper_flips(number, event):
            self.in_chopper[number] ^= True
            self.in_chopper_flipped(number)
        if number == self.slices - 1:
            if self.config.out_chop_prob > 0:
                self.out_chopper ^= self.random.happens(
                    self.config.out_chop_prob,
                    Stream.CHOP_OUT,
                    np.arange(self.length),
                    event,
                )
            self.counted("sweeps")

    def in_chopper_flips(self, number: int, event: int) -> bool:
        """Whether the chopper of a slice flips behind its read."""
        p = self.config
        if not p.in_chop_prob > 0:
            return False
        if p.in_chop_random:
            return bool(
                self.random.happens(p.in_chop_prob, Stream.CHOP_IN, number, event)
            )
        period = self.sweeps_of_period
        return self.count("sweeps") % period + 1 == period

    def in_chopper_flipped(self, number: int) -> None:
        """Note that a chopper flipped."""


class DynamicTransfer(ChoppedTransfer):
    """TTv4: a reference from the running mean of the reads (7, and the noise gate)."""

    buffer_name = "buffered_FP_weight"

    def __init__(
        self, config: Any, place: Place, suffix: str, construction_seed: int
    ) -> None:
        super().__init__(config, place, suffix, construction_seed)
        names = ["running_mean_weight", "past_mean_weight"]
        if config.noise_gate:
            names += ["running_var_weight", "past_var_weight"]
        for name in names:
            self.buffers[name] = np.zeros(place.shape, dtype=np.float32)
        self.switched = np.zeros(self.slices, dtype=np.bool_)
        self.ever_switched = np.zeros(self.slices, dtype=np.bool_)

    def clear(self, new: bool = False) -> None:
        """Forget the switches, too."""
        super().clear(new)
        self.switched[...] = self.ever_switched[...] = False

    def adopt(
        self, numbers: list[Any], arrays: Mapping[str, Any], weights: str
    ) -> None:
        """Take the state of a cell of a core tile."""
        super().adopt(numbers, arrays, weights)
        flags = arrays["switched" + self.suffix]
        self.switched[...] = flags & 1 != 0
        self.ever_switched[...] = flags & 2 != 0

    def lines(self) -> dict[str, Any]:
        """Return which slices switched behind their last read, and which ever did."""
        switched = self.switched + 2 * self.ever_switched
        return super().lines() | {"switched": switched}

    def pass_on(
        self, k: int, target: Node, number: int, values: Floats, event: int, eta: Any
    ) -> None:
        """Let the buffer take the change against the past mean."""
        p = self.config
        sweeps = self.count("sweeps")
        rho = min(F32(p.tail_weightening) / F32(self.sweeps_of_period), F32(1))
        views = {n: self.slice_of(b, number) for n, b in self.buffers.items()}
        buffer = views[self.buffer_name]
        mean, past = views["running_mean_weight"], views["past_mean_weight"]
        gate_is_open = np.ones(self.length, dtype=np.bool_)
        if self.switched[number]:
            past[...] = mean
        moved = values - mean
        mean[...] = fma(rho, moved, mean)
        if p.noise_gate:
            variance, past_variance = (
                views["running_var_weight"],
                views["past_var_weight"],
            )
            if self.switched[number]:
                past_variance[...] = variance
            variance[...] = fma(rho * moved, moved, variance) * (F32(1) - rho)
            if rho < 1 and self.ever_switched[number]:
                error = (variance + past_variance) * (rho / (F32(2) * (F32(1) - rho)))
                distance = (mean - past) * (mean - past)
                gate_is_open = distance > error
                with np.errstate(divide="ignore", invalid="ignore"):
                    self.place.note_tie((distance - error) / (distance + error))
        self.switched[number] = False
        change = values - past
        change = np.where(self.in_chopper[number] != self.out_chopper, -change, change)
        scale = self.scale(eta)
        if p.experimental_correct_accumulation:
            read = F32(sweeps % self.sweeps_of_period + 1)
            scale = scale / min(read, F32(1) / F32(self.fast.granularity))
        steps, left = self.take_steps(fma(scale, change, buffer), F32(p.momentum))
        buffer[...] = np.where(gate_is_open, left, buffer)
        steps = np.where(gate_is_open, steps, F32(0))
        self.write_steps(target, number, steps, sweeps > self.sweeps_of_period)
        self.move_choppers(number, event)

    def capped(self, left: Any) -> Any:
        """Limit what is left in the buffer, if asked for."""
        cap = F32(self.config.buffer_cap) * self.most
        return clip(left, -cap, cap) if cap > 0 else left

    def in_chopper_flipped(self, number: int) -> None:
        """Note that a chopper flipped."""
        self.switched[number] = self.ever_switched[number] = True


class MixedPrecision(Cell):
    """A digital matrix of gradients, written row by row (8)."""

    def __init__(
        self, config: Any, place: Place, suffix: str, construction_seed: int
    ) -> None:
        super().__init__(config, place, suffix, construction_seed)
        self.device = self.members[0]
        self.chi = np.zeros(place.shape, dtype=np.float32)
        self.sparsity = F32(0)
        self.buffers["hidden_weights_chi"] = self.chi
        self.managed = attrs.evolve(
            place.update, update_management=True, update_bl_management=True
        )

    def suffix_of(self, k: int) -> str:
        """Return what names of the device end in: nothing more."""
        return self.suffix

    @property
    def weights(self) -> Floats:
        """The weights of the device."""
        weights: Floats = self.device.weights
        return weights

    def clear(self, new: bool = False) -> None:
        """Forget the mean share of zeros, too."""
        super().clear(new)
        self.sparsity = F32(0)

    def adopt(
        self, numbers: list[Any], arrays: Mapping[str, Any], weights: str
    ) -> None:
        """Take the state of a cell of a core tile."""
        super().adopt(numbers, arrays, weights)
        self.sparsity = arrays.get("avg_sparsity" + self.suffix, [F32(0)])[0]

    def lines(self) -> dict[str, Any]:
        """Return the mean share of zeros."""
        return {"avg_sparsity": [self.sparsity]}

    def get_hidden(self) -> dict[str, Floats]:
        """Return the hidden parameters of the device, and chi."""
        hidden: dict[str, Floats] = self.device.get_hidden() | self._own_hidden()
        return hidden

    def _name_of_weights(self, k: int, weights: str) -> str:
        return weights

    def write_members(self, weights: Floats) -> None:
        """Write to the device."""
        self.device.set_weights(weights)

    @property
    def granularity(self) -> float:
        """Granularity of a step of chi."""
        granularity: float = self.config.granularity or self.device.granularity
        return granularity

    # ---- one vector ------------------------------------------------------------------

    def update(self, x: Floats, d: Floats, lr: Any, batch: int, train: Train) -> None:
        """Add the gradient, and transfer if it is time to."""
        p = self.config
        x = self.quantised(
            x, p.n_x_bins, p.stoc_round_x, Stream.QUANTISE_X, train.ordinal
        )
        d = self.quantised(
            d, p.n_d_bins, p.stoc_round_d, Stream.QUANTISE_D, train.ordinal
        )
        if p.compute_sparsity:
            share = F32(np.count_nonzero(x == 0)) / F32(x.size)
            share *= F32(np.count_nonzero(d == 0)) / F32(d.size)
            change = (share - self.sparsity) / F32(self.count("updates") + 1)
            self.sparsity = self.sparsity + change
        self.chi[...] = fma((lr * d)[:, None], x[None, :], self.chi)
        every = p.transfer_every * batch
        vectors = self.count("updates")
        if every > 0 and vectors > 0 and vectors % every == 0:
            self.transfer()
        self.counted("updates")

    def quantised(
        self, v: Floats, bins: int, random: bool, stream: Stream, ordinal: int
    ) -> Floats:
        """Round to a symmetric grid of the range of the vector."""
        if bins <= 0:
            return v
        half = F32(bins // 2)
        largest = np.abs(v).max()
        # A grid of one level has no width.
        width = largest / half if largest > 0 and half > 0 else F32(1)
        shift = F32(0)
        if random:
            u = self.random.uniforms(stream, np.arange(v.size), ordinal)
            shift = u - F32(0.5)
        return np.asarray(clip(np.rint(v / width + shift), -half, half) * width)

    def transfer(self) -> None:
        """Write whole steps of some rows."""
        p = self.config
        outputs = self.place.shape[0]
        rows = outputs if p.n_rows_per_transfer < 0 else p.n_rows_per_transfer
        rows = min(rows, outputs)
        if rows == 0 or p.transfer_lr == 0.0:
            return
        event = self.counted("events")
        first = self.count("position")
        if p.random_row and rows < outputs:
            word = self.random.words(Stream.SELECT, 0, event, draw=1)
            first = int(word) * outputs >> 32
        unit = F32(self.granularity)
        for number in range(rows):
            row = (first + number) % outputs
            # The device is told how many rows there are in the run that does not wrap.
            before_end = min(rows, outputs - first)
            run = before_end if number < before_end else rows - before_end
            chi = self.chi[row]
            self.place.note_tie(chi / unit, np.rint(chi / unit))
            steps = np.trunc(clip(chi / unit, -MOST_STEPS, MOST_STEPS))
            chi[...] = fma(steps, -unit, chi)
            ordinal = self.device.counted("writes")
            random = self.place.random(self.device.number)
            self.device.update(
                steps,
                _one_hot(outputs, row),
                unit * F32(p.transfer_lr),
                run,
                Train(self.managed, random, ordinal, write=True, zeros=self.zeros),
            )
        self.set_count("position", (first + rows) % outputs)


CELLS: dict[str, type[Cell]] = {
    "vector": VectorCell,
    "one_sided": OneSidedCell,
    "transfer": TransferChain,
    "buffered": BufferedChain,
    "chopped": ChoppedTransfer,
    "dynamic": DynamicTransfer,
    "mixed": MixedPrecision,
}


def _one_hot(size: int, line: int) -> Floats:
    values = np.zeros(size, dtype=np.float32)
    values[line] = 1
    return values


def _finite(value: Any) -> Any:
    return clip(value, -LARGEST, LARGEST)


def _round_half_up(value: Any) -> int:
    return int(np.floor(value + F32(0.5)))


def _running_mean(running: Any, value: Any, rate: Any) -> Any:
    if running <= 0:
        return value
    if value <= 0:
        return running
    return _finite(fma(rate, value, (F32(1) - rate) * running))


def _finish(members: list[Node], lr: Any, batch: int) -> None:
    for member in members:
        if isinstance(member, Cell):
            member.finish(lr, batch)


def _reset_column(node: Node, column: int) -> None:
    """Reset a column behind its read; of a transfer compound, that of the fast array."""
    reset, redraw = node.counted("reset"), node.counted("redraw")
    if isinstance(node, Cell):
        for member in node.reset_by:
            _reset_column(member, column)
        return
    chosen = np.zeros(node.true_weights.shape, dtype=np.bool_)
    chosen[:, column] = True
    node.reset_some(chosen, reset, redraw)
