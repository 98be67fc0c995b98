"""The core tile of unit cells and compounds: a tree of device planes.

The tree of the configuration is flattened into a list of nodes, breadth first, so that the
nodes inside another stand side by side.  Device planes are numbered depth first from 0 on,
and the nodes that have others inside after them; these numbers are the planes of the random
streams.  A whole mini-batch is one kernel call (csrc/compound.h).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import attrs
import numpy as np
from numpy.typing import ArrayLike

from rpupy import threads
from rpupy.configs.compounds import reads_slice_alone
from rpupy.errors import StateError
from rpupy.events import EventCounts
from rpupy.parameters.enums import (
    AnalogMVType,
    BoundManagementType,
    NoiseManagementType,
    PulseType,
    VectorUnitCellUpdatePolicy,
)
from rpupy.parameters.io import IOParametersIRDropT

from . import _common, _cpu, periphery
from ._common import Floats, real_number, whole_number
from .core import (
    _PART_EVENTS,
    _ZEROS,
    CoreTile,
    CpuTile,
    _check_plane_numbers,
    _read_events,
)
from .plane import BASE_PLANES, DevicePlane

#: Kinds of nodes: NodeKind in csrc/kernel_table.h.
_KINDS = {
    "device": 0,
    "vector": 1,
    "one_sided": 2,
    "transfer": 3,
    "buffered": 4,
    "chopped": 5,
    "dynamic": 6,
    "mixed": 7,
}
_TRANSFERS = ("transfer", "buffered", "chopped", "dynamic")
_CHOPPERS = ("chopped", "dynamic")
#: Counters of a node: NodeCounter in csrc/kernel_table.h. Two are those of its plane.
_NODE_COUNTERS = (
    "reads",
    "writes",
    "events",
    "reset",
    "redraw",
    "updates",
    "position",
    "sweeps",
    "current",
    "choices",
)
#: What a new weight starts again.
_SCHEDULE = ("updates", "position", "sweeps")
_MOST_NODES = 256


@dataclass
class _Node:
    """One node of the tree."""

    kind: str
    config: Any
    suffix: str
    weights: str
    gamma: float = 1.0
    every: float = 0.0
    rate: float = 0.0
    number: int = 0
    index: int = 0
    first_child: int = 0
    children: list[_Node] = field(default_factory=list)
    plane: DevicePlane | None = None
    hides_nothing: bool = False
    params: Floats | None = None
    #: Parameters of reads, as they act and as kernels want them.
    io: Any = None
    read_io: Floats | None = None
    reads_are_local: bool = False
    #: What the lines of reads draw: name -> shape.
    lines: dict[str, tuple[int, ...]] = field(default_factory=dict)
    write_update: Floats | None = None
    construction_seed: int = 0
    #: Arrays of the node itself: field of CompoundNode -> name, shape, type.
    arrays: dict[str, tuple[str, tuple[int, ...], type]] = field(default_factory=dict)

    def counter(self, name: str) -> str:
        """Name of a counter among those of the tile."""
        return f"{'' if self.plane else self.kind + '_'}{name}{self.suffix}"

    def line_array(self, name: str) -> str:
        """Name of what the lines of reads drew among the arrays of the tile."""
        return f"read_{name}{self.suffix}"

    @property
    def reads_backward(self) -> bool:
        """Whether its reads are of rows."""
        return self.kind in _TRANSFERS and not self.config.transfer_columns

    def keep_sparsity(self) -> None:
        """Give room to a running mean of shares of zeros."""
        self.arrays["sparsity"] = (f"d_sparsity{self.suffix}", (1,), np.float32)

    @property
    def granularity(self) -> float:
        """Mean step, for which pulse trains are made."""
        if self.plane is not None:
            return self.plane.granularity
        return math.fsum(c.granularity for c in self.children) / len(self.children)

    @property
    def states(self) -> float:
        """Number of states."""
        if self.plane is not None:
            return float(self.plane.device.num_states())
        parts = self.children[:1] if self.kind in _TRANSFERS else self.children
        return math.fsum(c.states for c in parts) / len(parts)


class CompoundTile(CoreTile):
    """One crossbar array with a unit cell or a compound at each crosspoint.

    Arguments are those of `CoreTile`; ``config.device`` is a cell of
    `rpupy.configs.compounds`.
    """

    #: Run updates vector by vector, as the definition says; for tests.
    _stepwise = False

    # ---- construction ----------------------------------------------------------------

    def _make_planes(self) -> list[DevicePlane]:
        if self._pulse_type is PulseType.NONE_WITH_DEVICE:
            raise NotImplementedError(
                "update.pulse_type = PulseType.NONE_WITH_DEVICE is not built for unit"
                " cells and compounds"
            )
        self._root = self._node(self.config.device, "", "weights", 0)
        self._nodes = [self._root]
        for node in self._nodes:
            node.first_child = len(self._nodes)
            self._nodes += node.children
        if len(self._nodes) > _MOST_NODES:
            raise ValueError(
                f"device must have at most {_MOST_NODES} devices and cells,"
                f" got {len(self._nodes)}"
            )
        self._mark_zeros()
        leaves = [node for node in _depth_first(self._root) if not node.children]
        cells = [node for node in _depth_first(self._root) if node.children]
        for number, node in enumerate((*leaves, *cells)):
            node.number = number
        for index, node in enumerate(self._nodes):
            node.index = index
        planes = []
        for node in leaves:
            node.plane = DevicePlane(
                self, node.config, False, node.number, node.suffix, node.weights
            )
            planes.append(node.plane)
        return planes

    def _mark_zeros(self) -> None:
        """Give room to those that count zeros in the errors of their pulses."""
        update = self.config.update
        if update.d_sparsity and self._root.kind in _CHOPPERS:
            self._root.keep_sparsity()
        for node in self._nodes:
            writes, targets = update, node.children
            if node.kind in _TRANSFERS:
                writes, targets = node.config.transfer_update, node.children[1:]
            elif node.kind != "mixed":
                continue
            chopped = [part for part in targets if part.kind in _CHOPPERS]
            if writes.d_sparsity and chopped:
                name = f"write_zeros{node.suffix}"
                node.arrays["zeros"] = (name, (1,), np.float32)
                for part in chopped:
                    part.keep_sparsity()

    def _check_aggregation(self, update: Any) -> None:
        _check_aggregation(self._root, update, "UpdateParameters")

    def _node(self, config: Any, suffix: str, weights: str, seed: int) -> _Node:
        kind = getattr(config, "node", "device")
        node = _Node(kind, config, suffix, weights)
        node.construction_seed = seed or config.construction_seed
        if kind == "device":
            return node
        members = config.members()
        gammas, periods, rates = (1.0,), (0.0,) * len(members), (0.0,) * len(members)
        if kind != "mixed":
            gammas = config.gammas()
        if kind in _TRANSFERS:
            slices = self.in_size if config.transfer_columns else self.out_size
            periods, rates = config.periods(slices), config.rates()
            node.hides_nothing = config.hides_nothing()
        elif kind == "mixed":
            node.hides_nothing = True
        for k, member in enumerate(members):
            part_suffix = suffix if kind == "mixed" else f"_{k}{suffix}"
            shown = node.hides_nothing and k == len(members) - 1
            part_weights = weights if shown else f"hidden_weights{part_suffix}"
            part = self._node(member, part_suffix, part_weights, node.construction_seed)
            part.gamma, part.every, part.rate = gammas[k], periods[k], rates[k]
            node.children.append(part)
        self._bind_node(node)
        return node

    def _bind_node(self, node: _Node) -> None:
        """Pack the parameters of a node, and name its arrays."""
        config, full = node.config, (self.out_size, self.in_size)
        family = "transfer" if node.kind in _TRANSFERS else node.kind
        names, names_of_update = _cpu.FIELDS[family], _cpu.FIELDS["update"]
        node.params = _common.pack(names, config)
        if node.kind == "one_sided":
            self._bind_reads(node, "refresh_forward", config.refresh_forward)
            node.write_update = _common.pack(names_of_update, config.refresh_update)
        elif node.kind in _TRANSFERS:
            # Reads go without managements, whatever the configuration says.
            io = attrs.evolve(
                config.transfer_forward,
                noise_management=NoiseManagementType.NONE,
                bound_management=BoundManagementType.NONE,
            )
            self._bind_reads(node, "transfer_forward", io)
            node.write_update = _common.pack(names_of_update, config.transfer_update)
            length = config.transfer_update.desired_bl
            node.params[names.index("desired_bl")] = length
        elif node.kind == "mixed":
            managed = attrs.evolve(
                self.config.update, update_management=True, update_bl_management=True
            )
            node.write_update = _common.pack(names_of_update, managed)
            name = f"hidden_weights_chi{node.suffix}"
            node.arrays["buffer"] = (name, full, np.float32)
            if config.compute_sparsity:
                name = f"avg_sparsity{node.suffix}"
                node.arrays["sparsity"] = (name, (1,), np.float32)
        if node.kind in ("buffered", "chopped"):
            for k, part in enumerate(node.children[:-1]):
                name = f"buffered_FP_weight_{k}{node.suffix}"
                clash = name == part.arrays.get("buffer", ("",))[0]
                if clash or (node.kind == "buffered" and "buffer" in part.arrays):
                    raise NotImplementedError(
                        f"{type(config).__name__}.unit_cell_devices[{k}] ="
                        f" {type(part.config).__name__} is not built: both have a buffer"
                        " for it"
                    )
                owner = node if node.kind == "chopped" else part
                owner.arrays["buffer"] = (name, full, np.float32)
        if node.kind == "dynamic":
            matrices = {
                "buffer": "buffered_FP_weight",
                "mean": "running_mean_weight",
                "past_mean": "past_mean_weight",
            }
            if config.noise_gate:
                matrices |= {
                    "variance": "running_var_weight",
                    "past_variance": "past_var_weight",
                }
            for key, name in matrices.items():
                node.arrays[key] = (name + node.suffix, full, np.float32)
        if node.kind in _CHOPPERS:
            lines = full if not config.transfer_columns else full[::-1]
            node.arrays["running"] = (f"running{node.suffix}", (3,), np.float32)
            choppers = {"in_chopper": lines[0], "out_chopper": lines[1]}
            if node.kind == "dynamic":
                choppers["switched"] = lines[0]
            for key, count in choppers.items():
                node.arrays[key] = (key + node.suffix, (count,), np.uint8)

    def _bind_reads(self, node: _Node, name: str, io: Any) -> None:
        """Pack the parameters of reads, and name what their lines draw."""
        other = (AnalogMVType.NODAL, AnalogMVType.SPLIT_MODE, AnalogMVType.BIT_WISE)
        if io.mv_type in other and not io.is_perfect:
            raise NotImplementedError(
                f"{type(node.config).__name__}.{name}.mv_type = {io.mv_type} is not"
                " built for reads"
            )
        if isinstance(io, IOParametersIRDropT) and io.has_noisy_reads():
            raise NotImplementedError(
                f"{type(node.config).__name__}.{name}.apply_xdep_pcm_read_noise = True is"
                " not built for reads"
            )
        if io.noise_management is NoiseManagementType.AVERAGE_ABS_MAX:
            # The largest input of a read is 1, and so is the mean of all of them.
            io = attrs.evolve(io, noise_management=NoiseManagementType.ABS_MAX)
        node.io = io
        node.read_io = _common.pack_io(io)
        node.reads_are_local = reads_slice_alone(io)
        crosspoints = (self.out_size, self.in_size)
        outputs = crosspoints[node.reads_backward]
        node.lines = periphery.shapes(io, outputs, crosspoints)

    @property
    def _pulsed_device(self) -> bool:
        return True

    @property
    def _counts_zeros(self) -> bool:
        # A mixed precision compound makes trains for its writes alone.
        return super()._counts_zeros and self._root.kind != "mixed"

    def _sparsity_names(self) -> list[str]:
        kept = (node.arrays.get("sparsity") for node in _depth_first(self._root))
        return [found[0] for found in kept if found is not None]

    def _count_parts(self) -> int:
        return len(self._nodes)

    def _overflowing(self, meta: Mapping[str, Any]) -> set[str]:
        # Sums of planes, and what is added up without bounds.
        cells = [n for n in self._nodes if n.plane is None and not n.hides_nothing]
        digital = {
            array[0]
            for node in self._nodes
            for key, array in node.arrays.items()
            if key != "running" and array[2] is np.float32
        }
        return super()._overflowing(meta) | {n.weights for n in cells} | digital

    @property
    def _steps_into_compound(self) -> bool:
        """Whether whole steps, where there are some, are written to a part with parts."""
        return any(
            part.plane is None
            for node in self._nodes
            if node.kind in ("buffered", *_CHOPPERS)
            for part in node.children[1:]
        )

    def _plane_shapes(self) -> dict[str, tuple[tuple[int, ...], type]]:
        full = (self.out_size, self.in_size)
        shapes: dict[str, tuple[tuple[int, ...], type]] = {
            "weights": (full, np.float32)
        }
        shapes |= super()._plane_shapes()
        for node in self._nodes:
            shapes[node.weights] = (full, np.float32)
            for name, shape, dtype in node.arrays.values():
                shapes[name] = (shape, dtype)
            for name, lines in node.lines.items():
                shapes[node.line_array(name)] = (lines, np.float32)
        return shapes

    def _counter_names(self) -> tuple[str, ...]:
        names = dict.fromkeys(super()._counter_names())
        for node in self._nodes:
            names |= dict.fromkeys(node.counter(name) for name in _NODE_COUNTERS)
        return tuple(names)

    def _draw_lines(self) -> None:
        super()._draw_lines()
        for node in self._nodes:
            if node.lines:
                drawn = periphery.draw(
                    node.io, node.reads_backward, self._key, node.lines, node.number
                )
                for name, values in drawn.items():
                    array = self._backend.array_from(values)
                    self._arrays[node.line_array(name)] = array

    def _draw_devices(self) -> None:
        self._draw_lines()
        for node in self._nodes:
            if node.plane is not None:
                node.plane.draw(self._device_key(node.construction_seed))
        for node in self._nodes:
            if node.kind == "one_sided" and node.config.copy_inverted:
                first, second = (part.plane for part in node.children)
                assert first is not None and second is not None
                _invert(first, second)
        self._clear(self._root, new=True)

    # ---- kernel calls ----------------------------------------------------------------

    def _described(self) -> list[dict[str, Any]]:
        """Describe the nodes as the kernels want them."""
        return [self._describe(node) for node in self._nodes]

    def _describe(self, node: _Node) -> dict[str, Any]:
        has: dict[str, Any] = {
            "kind": _KINDS[node.kind],
            "number": node.number,
            "weights": self._arrays[node.weights],
            "granularity": node.granularity,
            "states": node.states,
            "gamma": node.gamma,
            "every": node.every,
            "rate": node.rate,
            "events": self._events[node.index],
            **{key: self._arrays[name] for key, (name, *_) in node.arrays.items()},
        }
        plane = node.plane
        if plane is not None:
            noisy = plane.has_write_noise
            return has | {
                "device": plane.binding.number,
                "true_weights": plane.true_weights,
                "apparent": plane.visible_weights if noisy else None,
                "write_noise": plane.apparent_noise,
                "dw_min_std": plane.dw_min_std,
                "pulse_ordinals": plane.array("pulse_ordinals"),
                "pulse_counters": plane.pulse_counters,
                "own": plane.own,
                "cell": plane.cell(),
                "reset_bias": plane.array("reset_bias"),
                "reset_std": plane.reset_std,
                "nominal_max": abs(float(plane.device.w_max)),
            }
        params = node.params
        if node.kind == "mixed" and node.config.granularity == 0.0:
            assert params is not None
            params = params.copy()
            params[_cpu.FIELDS["mixed"].index("granularity")] = node.granularity
        return has | {
            "first_child": node.first_child,
            "children": len(node.children),
            "params": params,
            "read_io": node.read_io,
            "lines": {name: self._arrays[node.line_array(name)] for name in node.lines},
            "reads_are_local": node.reads_are_local,
            "write_update": node.write_update,
            "hides_nothing": node.hides_nothing,
        }

    def _node_counters(self) -> np.ndarray:
        counts = [
            [self._counters[node.counter(name)] for name in _NODE_COUNTERS]
            for node in self._nodes
        ]
        return np.array(counts, dtype=np.int64)

    def _update_pulsed(self, x: Floats, d: Floats, batch: int) -> None:
        self._check_trains()
        counts = self._node_counters()
        self._backend.update_compound(
            self._described(),
            counts,
            x,
            d,
            batch,
            self._learning_rate,
            self._counters["update"],
            self._update,
            self._stepwise,
            threads.get_num_threads(),
            self._arrays.get(_ZEROS),
            (self._counters, "update"),
            [node.counter(name) for node in self._nodes for name in _NODE_COUNTERS],
        )

    def _check_trains(self) -> None:
        rate = self._learning_rate
        config = self._root.config
        if self._root.kind in _TRANSFERS and config.fast_lr > 0.0:
            rate = config.fast_lr * (rate if config.scale_fast_lr else 1.0)
        if self._root.kind != "mixed":
            self._check_train(self._update, rate, self._root.granularity)

    def _reduce(self) -> None:
        """Compute the weights that products see from those of the planes."""
        self._backend.reduce_compound(
            self._described(), self._node_counters(), threads.get_num_threads()
        )

    # ---- weights ---------------------------------------------------------------------

    def set_weights(self, weights: ArrayLike) -> None:
        """Set the weights that products see, as far as the cell can hold them.

        A vector cell writes the same to all its devices; a one-sided cell the positive
        and the negative part; a transfer compound all to its last device, and 0 to the
        others.  Buffers, choppers, means and the schedule of transfers start anew.

        Parameters
        ----------
        weights : array_like of float32, shape (out, in)

        Raises
        ------
        TypeError, ValueError
            If the argument is no finite real matrix of that shape.
        """
        array = _common.matrix(weights, "weights", (self.out_size, self.in_size))
        # What overflows is clipped to the bounds, also for a caller who makes errors of
        # NumPy's warnings: half of the parts would have changed by then.
        quiet = np.errstate(over="ignore", under="ignore")
        with self.lock, _cpu.DefaultEnvironment(), quiet:
            self._clear(self._root)
            self._set_node(self._root, array)
            self._reduce()

    def set_weights_uniform_random(self, low: float, high: float) -> None:
        """Draw weights uniformly from [low, high) and set them."""
        low, high = real_number(low, "low"), real_number(high, "high")
        if low > high:
            raise ValueError(f"low must not be above high, got {low} and {high}")
        real_number(high - low, "high - low")
        with self.lock:
            unbounded = np.array([-np.inf, np.inf], dtype=np.float32)
            self._backend.upkeep(
                "uniform",
                self._arrays["weights"],
                unbounded[0:1].reshape(()),
                unbounded[1:2].reshape(()),
                numbers=(low, high),
                ordinal=self._counters["init"],
                threads=threads.get_num_threads(),
            )
            self._counters["init"] += 1
            self.set_weights(self._read("weights"))

    def _set_node(self, node: _Node, weights: Floats) -> None:
        parts = node.children
        if node.plane is not None:
            node.plane.set_weights(weights)
        elif node.kind == "vector":
            fixed = VectorUnitCellUpdatePolicy.SINGLE_FIXED
            present = self._counters[node.counter("current")]
            for k, part in enumerate(parts):
                if node.config.update_policy is not fixed or k == present:
                    self._set_node(part, weights)
        elif node.kind == "one_sided":
            zero = np.float32(0.0)
            self._set_node(parts[1], np.maximum(weights, zero))
            self._set_node(parts[0], np.maximum(-weights, zero))
        elif node.kind == "mixed":
            self._set_node(parts[0], weights)
        else:
            for part in parts[:-1]:
                self._set_node(part, np.zeros_like(weights))
            factor = np.float32(parts[-1].gamma)
            self._set_node(parts[-1], weights / factor)

    def _clear(self, node: _Node, new: bool = False) -> None:
        """Let the schedule start anew, with empty buffers."""
        for name in _SCHEDULE:
            self._counters[node.counter(name)] = 0
        fixed = VectorUnitCellUpdatePolicy.SINGLE_FIXED
        # The present device of a cell that goes on with it alone is the user's choice.
        if node.kind == "vector" and (new or node.config.update_policy is not fixed):
            first = node.config.first_update_idx
            self._counters[node.counter("current")] = first
        for key, (name, shape, dtype) in node.arrays.items():
            start: Any = np.zeros(shape, dtype=dtype)
            if key == "running":
                start[2] = 1.0
            self._backend.write(self._arrays[name], start)
        if node is self._root and self._counts_zeros:
            self._backend.write(self._arrays[_ZEROS], np.zeros(1, dtype=np.float32))
        for part in node.children:
            self._clear(part, new)

    def get_hidden_update_index(self) -> int:
        """Return which device of a vector cell is updated or written; 0 for others."""
        if self._root.kind != "vector":
            return 0
        return int(self._counters[self._root.counter("current")])

    def set_hidden_update_index(self, index: int) -> None:
        """Choose which device of a vector cell is updated or written.

        Other cells ignore it.

        Parameters
        ----------
        index : int
            Number of the device.

        Raises
        ------
        TypeError, ValueError
            If it is not the number of a device.
        """
        number = whole_number(index, "index")
        if self._root.kind != "vector":
            return
        count = len(self._root.children)
        if not 0 <= number < count:
            raise ValueError(f"index must be in [0, {count}), got {index!r}")
        with self.lock:
            self._counters[self._root.counter("current")] = number

    # ---- maintenance -----------------------------------------------------------------

    def decay_weights(self, alpha: float = 1.0) -> None:
        """Let each device decay by its own rate, scaled by `alpha`."""
        with self.lock:
            super().decay_weights(alpha)
            self._reduce()

    def diffuse_weights(self) -> None:
        """Add one step of diffusion to each device."""
        with self.lock:
            super().diffuse_weights()
            self._reduce()

    def clip_weights(self, limit: float) -> None:
        """Limit the weights of each device to [-limit, limit] and its bounds."""
        with self.lock:
            super().clip_weights(limit)
            self._reduce()

    def drift_weights(self, delta_t: float = 1.0) -> None:
        """Let each device drift for `delta_t`."""
        with self.lock:
            super().drift_weights(delta_t)
            self._reduce()

    def _reset_planes(self, start: int, columns: int, prob: float) -> None:
        for plane in _reset_by(self._root):
            plane.reset(start, columns, prob)
        self._reduce()

    # ---- hidden parameters -----------------------------------------------------------

    def get_hidden_parameter_names(self) -> list[str]:
        """Names of what each crosspoint has: parameters, hidden weights, buffers."""
        return self._hidden_names(self._root)

    def _hidden_names(self, node: _Node) -> list[str]:
        if node.plane is not None:
            return node.plane.hidden_names()
        names = []
        for part in node.children:
            names += self._hidden_names(part)
            if node.kind != "mixed":
                names.append(f"hidden_weights{part.suffix}")
        # Buffers behind the parts of a buffered compound are its own, and come last.
        owners = node.children if node.kind == "buffered" else []
        if node.kind in (*_CHOPPERS, "mixed"):
            owners = [node]
        shape = (self.out_size, self.in_size)
        for owner in owners:
            names += [name for name, s, _ in owner.arrays.values() if s == shape]
        return names

    def get_hidden_parameters(self) -> dict[str, Floats]:
        """Return copies of the hidden parameters, each of shape (out, in)."""
        shape = (self.out_size, self.in_size)
        with self.lock:
            shown = {
                f"hidden_weights{n.suffix}": n.weights for n in self._nodes if n.suffix
            }
            return {
                name: np.array(
                    np.broadcast_to(self._read(shown.get(name, name)), shape)
                )
                for name in self.get_hidden_parameter_names()
            }

    def _set_hidden(self, values: dict[str, Floats]) -> None:
        for node in self._nodes:
            for name, shape, _ in node.arrays.values():
                if shape == (self.out_size, self.in_size):
                    self._backend.write(self._arrays[name], values[name])
            if node.plane is None:
                continue
            node.plane.take_hidden(values)
            name = f"hidden_weights{node.suffix}"
            if name in values and not node.plane.has_write_noise:
                self._backend.write(node.plane.true_weights, values[name])
            node.plane.bound()
        self._reduce()

    # ---- events ----------------------------------------------------------------------

    def _part_events(self) -> tuple[EventCounts, ...]:
        owners = {id(part): node for node in self._nodes for part in node.children}
        return tuple(
            self._node_events(node, owners.get(id(node)))
            for node in _depth_first(self._root)
        )

    def _node_events(self, node: _Node, owner: _Node | None) -> EventCounts:
        """Return the events of a node, whose slices the node above it reads."""
        name = f"hidden_weights{node.suffix}" if node.suffix else "weights"
        if node.kind == "mixed":
            name = f"hidden_weights_chi{node.suffix}"
        counts = dict(zip(_PART_EVENTS, self._events[node.index].tolist(), strict=True))
        rounds = counts.pop("rounds")
        kind = type(node.config).__name__
        if owner is None or owner.read_io is None:
            return EventCounts(name=name, kind=kind, **counts)
        length = self.in_size if owner.reads_backward else self.out_size
        return _read_events(name, kind, rounds, owner.read_io, 1, length, **counts)

    # ---- state -----------------------------------------------------------------------

    def _numbers(self) -> dict[str, Any]:
        return {"planes": [plane.numbers() for plane in self._planes]}

    def _check_numbers(self, numbers: Mapping[str, Any]) -> None:
        planes = numbers["planes"]
        wanted = set(self._planes[0].numbers())
        if not isinstance(planes, list) or len(planes) != len(self._planes):
            raise StateError(f"planes must be {len(self._planes)} objects")
        for plane in planes:
            if not isinstance(plane, dict) or set(plane) != wanted:
                raise StateError(f"each of planes must have {sorted(wanted)}")
            _check_plane_numbers(plane)

    def _set_numbers(self, numbers: Mapping[str, Any]) -> None:
        for plane, own in zip(self._planes, numbers["planes"], strict=True):
            plane.set_numbers(own)

    def check_state(self, meta: Any, arrays: Mapping[str, np.ndarray]) -> None:
        """Raise StateError if `set_state` would not take this state."""
        super().check_state(meta, arrays)
        for node in self._nodes:
            if node.plane is None and node.kind == "vector":
                name = node.counter("current")
                _check_below(meta["counters"][name], len(node.children), name)
            if node.kind in (*_TRANSFERS, "mixed"):
                slices = self.out_size
                if node.kind in _TRANSFERS and node.config.transfer_columns:
                    slices = self.in_size
                owners = [node] if node.kind == "mixed" else node.children
                for owner in owners:
                    name = owner.counter("position")
                    _check_below(meta["counters"][name], slices, name)

    # ---- text ------------------------------------------------------------------------

    def _granularity_text(self) -> str:
        return f"{self._root.granularity:g}"


class CpuCompoundTile(CompoundTile, CpuTile):
    """A core tile of cells whose arrays are NumPy arrays."""


def _depth_first(node: _Node) -> list[_Node]:
    return [node, *(n for part in node.children for n in _depth_first(part))]


def _reset_by(node: _Node) -> list[DevicePlane]:
    """Planes that a reset of columns reaches: of a transfer compound, the fast one."""
    if node.plane is not None:
        return [node.plane]
    parts = node.children[:1] if node.kind in _TRANSFERS else node.children
    return [plane for part in parts for plane in _reset_by(part)]


def _check_aggregation(node: _Node, update: Any, name: str) -> None:
    """Check what pulses of an update, and the writes that follow them, reach."""
    if node.plane is not None:
        node.plane.check_aggregation(update, name)
        return
    transfers = node.kind in _TRANSFERS
    for part in node.children[:1] if transfers else node.children:
        _check_aggregation(part, update, name)
    own = type(node.config).__name__
    if transfers:
        for part in node.children[1:]:
            writes = node.config.transfer_update
            _check_aggregation(part, writes, f"{own}.transfer_update")
    elif node.kind == "one_sided":
        for part in node.children:
            writes = node.config.refresh_update
            _check_aggregation(part, writes, f"{own}.refresh_update")


#: What each drawn array of a mirrored device is made of: source and sign.
_MIRRORED = {
    "max_bound": ("min_bound", -1.0),
    "min_bound": ("max_bound", -1.0),
    "dwmin_up": ("dwmin_down", 1.0),
    "dwmin_down": ("dwmin_up", 1.0),
    "slope_up": ("slope_down", -1.0),
    "slope_down": ("slope_up", -1.0),
    "gamma_up": ("gamma_down", 1.0),
    "gamma_down": ("gamma_up", 1.0),
    "damping_up": ("damping_down", 1.0),
    "damping_down": ("damping_up", 1.0),
    "reference": ("reference", -1.0),
}


def _invert(first: DevicePlane, second: DevicePlane) -> None:
    """Make the second plane the mirror image of what the first one drew."""
    spare = sorted(set(first.binding.cell) - _MIRRORED.keys())
    if spare:
        raise NotImplementedError(
            f"copy_inverted is not built for {type(first.device).__name__}, whose"
            f" devices draw {', '.join(spare)}"
        )
    backend = first._tile._backend
    for name in (*BASE_PLANES, *first.binding.cell):
        source, sign = _MIRRORED[name]
        value = backend.read(first.array(source)) * np.float32(sign)
        backend.write(second.array(name), value)


def _check_below(value: int, limit: int, name: str) -> None:
    if value >= limit:
        raise StateError(f"{name} must be below {limit}, got {value}")
