# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=True
# distutils: language = c++
"""The CPU kernels: one instruction-set table behind calls that take NumPy arrays.

Nothing here knows what a device or a noise means.  `CpuBackend` holds the named arrays of
one core tile and runs kernels over them without the GIL; the arguments have been checked by
`rpupy.rpu_base.core`, so that what reaches a kernel is float32, C order and of the right size.
"""
import math
import os

import numpy as np

cimport numpy as cnp
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.string cimport memset

from rpupy.rpu_base cimport _core
from rpupy.errors import ConfigError

cnp.import_array()

_ISA_VARIABLE = "RPUPY_ISA"


def available_isas():
    """Instruction sets that this build and this machine can run, best first."""
    found = []
    cdef int number = 0
    cdef const char* name = _core.available_isa(number)
    while name != NULL:
        found.append(name.decode())
        number += 1
        name = _core.available_isa(number)
    return tuple(found)


def _choose_isa():
    names = available_isas()
    asked = os.environ.get(_ISA_VARIABLE, "")
    if not asked:
        return names[0]
    if asked not in names:
        raise ConfigError(
            f"{_ISA_VARIABLE} must name an instruction set of this machine and build"
            f" ({', '.join(names)}), got {asked!r}"
        )
    return asked


_isa = _choose_isa()


def isa():
    """The instruction set in use; the environment variable RPUPY_ISA can lower it."""
    return _isa


def openmp_enabled():
    """Whether the kernels were built with OpenMP."""
    return bool(RPUPY_HAS_OPENMP)


def max_threads():
    """Threads that OpenMP would use by itself."""
    return _core.max_threads()


def compiler():
    """The compiler that built the kernels."""
    return (<bytes> RPUPY_COMPILER).decode()


cdef extern from *:
    """
    #if defined(_OPENMP)
    #define RPUPY_HAS_OPENMP 1
    #else
    #define RPUPY_HAS_OPENMP 0
    #endif
    #if defined(__clang__)
    #define RPUPY_COMPILER "clang " __clang_version__
    #else
    #define RPUPY_COMPILER "g++ " __VERSION__
    #endif
    """
    int RPUPY_HAS_OPENMP
    const char* RPUPY_COMPILER


def _split(const char* names):
    text = names.decode()
    return tuple(part.strip() for part in text.split(",")) if text else ()


def _device_table():
    table = {}
    cdef int number = 0
    cdef const _core.DeviceInfo* info = _core.device_info(number)
    while info != NULL:
        table[info.name.decode()] = (number, bool(info.pulsed), _split(info.params), _split(info.cell))
        number += 1
        info = _core.device_info(number)
    return table


#: Kernel name -> (number, whether it is pulsed, names of its parameters, names of its own planes).
DEVICES = _device_table()
#: Kernels in which the pulses of a mini-batch can share one draw of noise.
AGGREGATING = frozenset(
    name for name, (number, *_) in DEVICES.items() if _core.device_info(number).aggregates
)
#: Names of the fields of each struct of parameters that kernels take.
FIELDS = {
    "pulsed": _split(_core.names().pulsed),
    "pulsed_cell": _split(_core.names().pulsed_cell),
    "upkeep": _split(_core.names().upkeep),
    "drift": _split(_core.names().drift),
    "update": _split(_core.names().update),
    "io": _split(_core.names().io),
    "vector": _split(_core.names().vector),
    "one_sided": _split(_core.names().one_sided),
    "transfer": _split(_core.names().transfer),
    "mixed": _split(_core.names().mixed),
}


def decay_factor(int number, cnp.ndarray own, double alpha):
    """Factor of one decay call of a device without pulses; 1 where the call does nothing."""
    return _core.exact_decay_factor(number, <const float*> cnp.PyArray_DATA(own), _core.to_float32(alpha))


cdef class DefaultEnvironment:
    """Context in which NumPy computes as kernels do: no flush to zero, rounding to nearest.

    For conversions and scales outside of kernels, whatever the caller or a library has set.
    """

    cdef uint64_t saved

    def __enter__(self):
        self.saved = _core.enter_default_environment()

    def __exit__(self, *_):
        _core.restore_environment(self.saved)


cdef inline float* _floats(object array) noexcept:
    if array is None:
        return NULL
    return <float*> cnp.PyArray_DATA(<cnp.ndarray> array)


cdef object _aligned(shape, dtype, make):
    """An array of `make`, such as np.empty, that begins with a line of the cache."""
    dtype = np.dtype(dtype)
    nbytes = dtype.itemsize * math.prod(shape)
    cdef cnp.ndarray memory = make(nbytes + 64, dtype=np.uint8)
    cdef size_t at = -<size_t> cnp.PyArray_DATA(memory) & <size_t> 63
    return memory[at : at + nbytes].view(dtype).reshape(shape)


cdef inline float _float32(double value) noexcept:
    return _core.to_float32(value)


cdef class CpuBackend:
    """Kernel calls over the arrays of one core tile.

    Parameters
    ----------
    out_size, in_size : int
        Rows and columns of the array.
    key : sequence of two int
        Key of the tile's random numbers.
    isa_name : str, optional
        Instruction set; the process-wide choice by default.
    """

    cdef const _core.KernelTable* table
    cdef _core.TileView view
    cdef object scratch
    cdef object packed
    cdef object packed_of  # the array that was packed, in that version
    cdef uint64_t packed_version
    cdef readonly uint64_t weights_version
    cdef object negative_packed
    cdef object counting  # where the last product added its rounds, and how many
    cdef int64_t counted
    cdef list negative  # weights as negative inputs see them, of either direction
    cdef uint64_t negative_version[2]

    def __cinit__(self, out_size, in_size, key, isa_name=None):
        self.table = _table(isa_name)
        self.view.out_size = out_size
        self.view.in_size = in_size
        self.view.key[0] = key[0]
        self.view.key[1] = key[1]
        self.view.plane = 0
        self.view.threads = 1
        self.scratch = None
        self.packed = self.packed_of = self.negative_packed = self.counting = None
        self.weights_version = self.packed_version = 0
        self.negative = [None, None]

    @property
    def isa(self):
        """Instruction set of these kernels."""
        return self.table.isa.decode()

    def weights_changed(self):
        """Mark what was made of the visible weights as stale."""
        self.weights_version += 1

    def nbytes(self):
        """Bytes of the packed weights and of the scratch memory."""
        held = (self.packed, self.negative_packed, *self.negative, self.scratch)
        return sum(a.nbytes for a in held if a is not None)

    cdef void* reserve(self, size_t size) except? NULL:
        if self.scratch is None or <size_t> cnp.PyArray_NBYTES(<cnp.ndarray> self.scratch) < size + 64:
            self.scratch = np.empty(max(size + 64, 4096), dtype=np.uint8)
        cdef size_t at = <size_t> cnp.PyArray_DATA(<cnp.ndarray> self.scratch)
        return <void*> ((at + 63) & ~<size_t> 63)

    def allocate(self, shape, dtype):
        """Zeros of this shape."""
        return _aligned(shape, dtype, np.zeros)

    def array_from(self, value):
        """An array of the backend's own with these numbers."""
        value = np.asarray(value)
        array = _aligned(value.shape, value.dtype, np.empty)
        array[...] = value
        return array

    def read(self, array):
        """A copy as a NumPy array."""
        return array.copy()

    def write(self, array, value):
        """Overwrite an array with numbers of the same shape."""
        array[...] = value

    def copy(self, target, source):
        """Overwrite an array with another of the same shape."""
        target[...] = source

    def all_finite(self, cnp.ndarray array):
        """Whether every number of a float32 array in C order is finite."""
        cdef const float* data = <const float*> cnp.PyArray_DATA(array)
        cdef int64_t n = cnp.PyArray_SIZE(array)
        cdef bint result
        with nogil:
            result = self.table.all_finite(data, n)
        return result

    def product(self, cnp.ndarray weights, cnp.ndarray inputs, cnp.ndarray outputs, int64_t batch,
                bint backward, cnp.ndarray io, uint64_t ordinal, uint32_t stream, int threads,
                drawn=None, stages=None, read_array=None, cnp.ndarray rounds=None,
                tuple counter=None):
        """Analog product of `batch` vectors; `stream` is the first of the pass.

        `drawn` names what the direction has of its own (`rpupy.rpu_base.periphery`), `stages`
        numbers the planes of a trace, and `read_array` stands in for the weights where the array
        is read in time slices or with noise.  The rounds of all vectors are added to `rounds`.
        With the call, `counter` (a dict and a name in it) moves on by `batch`.
        """
        cdef _core.ProductArgs args
        cdef void* scratch
        cdef bint stale = False
        cdef int64_t counted = 0
        memset(&args, 0, sizeof(args))
        args.tile = self.view
        args.tile.threads = threads
        args.input = <const float*> cnp.PyArray_DATA(inputs)
        args.output = <float*> cnp.PyArray_DATA(outputs)
        args.batch = batch
        args.backward = backward
        args.io = <const float*> cnp.PyArray_DATA(io)
        args.ordinal = ordinal
        args.stream = stream
        if drawn is not None:
            self.take_drawn(&args, weights, drawn, backward)
        if stages is not None:
            for number, plane in stages.items():
                args.stages[<int> number] = _floats(plane)
        if read_array is not None:
            weights = _take_read_array(&args.lines, read_array, weights)
        args.weights = <const float*> cnp.PyArray_DATA(weights)
        if not backward:
            stale = self.take_packed(&args, weights)
        scratch = self.reserve(self.table.product_scratch(args))
        if rounds is not None:
            args.rounds = &counted
        with nogil:
            if stale:
                self.table.pack_weights(args)
            self.table.product(args, scratch)
        if rounds is not None:
            (<int64_t*> cnp.PyArray_DATA(rounds))[0] += counted
            self.counting = rounds
            self.counted = counted
        _move_on(counter, batch)
        if stale:
            self.packed_of = weights
            self.packed_version = self.weights_version

    def uncount(self):
        """Take back the rounds of the last product that was counted."""
        if self.counting is not None:
            (<int64_t*> cnp.PyArray_DATA(<cnp.ndarray> self.counting))[0] -= self.counted
        self.counting = None

    def settle(self):
        """Add what calls have counted to the arrays that they were given: done at once here."""

    cdef int take_drawn(self, _core.ProductArgs* args, cnp.ndarray weights, dict drawn, bint backward) except -1:
        """Point to what the lines of a direction have of their own."""
        args.lines.out_noise_values = _floats(drawn.get("out_noise_values"))
        args.lines.out_nonlinearity = _floats(drawn.get("out_nonlinearity"))
        args.lines.v_offset = _floats(drawn.get("v_offset"))
        args.lines.out_nonlinearity_factor = drawn.get("out_nonlinearity_factor", 1.0)
        args.average = _floats(drawn.get("input_average"))
        asymmetry = drawn.get("w_asymmetry")
        args.lines.w_asymmetry = _floats(asymmetry)
        if asymmetry is None:
            return 0
        cdef int way = 1 if backward else 0
        if self.negative[way] is None or self.negative_version[way] != self.weights_version:
            with DefaultEnvironment(), np.errstate(over="ignore", under="ignore"):
                self.negative[way] = np.multiply(weights, asymmetry)
            self.negative_version[way] = self.weights_version
        args.negative_weights = _floats(self.negative[way])
        return 0

    cdef bint take_packed(self, _core.ProductArgs* args, object weights) except -1:
        """Point to room for packed weights; whether they have to be packed again."""
        cdef Py_ssize_t size = (self.view.out_size + 31) // 32 * 32 * self.view.in_size
        if self.packed is None:
            self.packed = _aligned((size,), np.float32, np.empty)
            self.packed_of = None
        args.packed = _floats(self.packed)
        if args.negative_weights != NULL:
            if self.negative_packed is None:
                self.negative_packed = _aligned((size,), np.float32, np.empty)
                self.packed_of = None
            args.negative_packed = _floats(self.negative_packed)
        return self.packed_of is not weights or self.packed_version != self.weights_version

    def update_exact(self, cnp.ndarray weights, cnp.ndarray x, cnp.ndarray d, int64_t batch, double lr,
                     low, high, int threads, tuple counter=None):
        """Outer products in floating point, clipped to `low` and `high` after each vector if given.

        With the call, `counter` (a dict and a name in it) moves on by `batch`.
        """
        cdef _core.UpdateArgs args
        cdef void* scratch
        memset(&args, 0, sizeof(args))
        args.tile = self.view
        args.tile.threads = threads
        args.x = <const float*> cnp.PyArray_DATA(x)
        args.d = <const float*> cnp.PyArray_DATA(d)
        args.batch = batch
        args.lr = _core.to_float32(lr)
        args.weights = <float*> cnp.PyArray_DATA(weights)
        args.low = _floats(low)
        args.high = _floats(high)
        scratch = self.reserve(self.table.update_exact_scratch(args))
        with nogil:
            self.table.update_exact(args, scratch)
        self.weights_version += 1
        _move_on(counter, batch)

    def longest_train(self, cnp.ndarray update, double lr, double granularity):
        """Words that the longest pulse train of an update may take."""
        cdef _core.UpdateArgs args
        memset(&args, 0, sizeof(args))
        args.lr = _core.to_float32(lr)
        args.granularity = _core.to_float32(granularity)
        args.update = <const float*> cnp.PyArray_DATA(update)
        return self.table.longest_train(args)

    def update_pulsed(self, int number, cnp.ndarray weights, apparent, cnp.ndarray pulse_ordinals,
                      pulse_counters, tuple cell, cnp.ndarray own, cnp.ndarray update, cnp.ndarray x, cnp.ndarray d,
                      int64_t batch, double lr, double granularity, double dw_min_std,
                      double write_noise, uint64_t ordinal, int threads, cnp.ndarray tally=None,
                      cnp.ndarray zeros=None, tuple counter=None):
        """Pulse trains of a mini-batch on the device with this number.

        Pulses down, pulses up and slots of trains are added to `tally`.  The share of zeros in the
        last vector of `d` goes to `zeros`.  With the call, `counter` (a dict
        and a name in it) moves on by `batch`.
        """
        cdef _core.UpdateArgs args
        cdef void* scratch
        cdef int k
        memset(&args, 0, sizeof(args))
        args.tile = self.view
        args.tile.threads = threads
        args.x = <const float*> cnp.PyArray_DATA(x)
        args.d = <const float*> cnp.PyArray_DATA(d)
        args.batch = batch
        args.lr = _core.to_float32(lr)
        args.ordinal = ordinal
        args.weights = <float*> cnp.PyArray_DATA(weights)
        args.apparent = _floats(apparent)
        args.write_noise = _core.to_float32(write_noise)
        args.dw_min_std = _core.to_float32(dw_min_std)
        args.granularity = _core.to_float32(granularity)
        args.pulse_ordinals = <uint32_t*> cnp.PyArray_DATA(pulse_ordinals)
        if pulse_counters is not None:
            args.pulse_counters = <int64_t*> cnp.PyArray_DATA(<cnp.ndarray> pulse_counters)
        args.update = <const float*> cnp.PyArray_DATA(update)
        args.own = <const float*> cnp.PyArray_DATA(own)
        for k in range(len(cell)):
            args.cell[k] = _floats(cell[k])
        args.tally = <int64_t*> _floats(tally)
        args.zeros = _floats(zeros)
        scratch = self.reserve(self.table.update_pulsed_scratch(args))
        with nogil:
            self.table.update_pulsed[number](args, scratch)
        self.weights_version += 1
        _move_on(counter, batch)

    def count_pulses(self, cnp.ndarray update, cnp.ndarray x, cnp.ndarray d, int64_t batch, double lr,
                     double granularity, uint64_t ordinal, int64_t first_row, int64_t rows, int threads,
                     cnp.ndarray tally=None, cnp.ndarray zeros=None):
        """Pulses of each vector on each crosspoint of some rows, (batch, rows, in) int32; down below 0.

        Slots of trains are added to `tally`, and zeros go to `zeros`, as in `update_pulsed`.
        """
        cdef _core.UpdateArgs args
        cdef void* scratch
        memset(&args, 0, sizeof(args))
        args.tile = self.view
        args.tile.threads = threads
        args.x = <const float*> cnp.PyArray_DATA(x)
        args.d = <const float*> cnp.PyArray_DATA(d)
        args.batch = batch
        args.lr = _core.to_float32(lr)
        args.granularity = _core.to_float32(granularity)
        args.update = <const float*> cnp.PyArray_DATA(update)
        args.ordinal = ordinal
        args.window.first_row = first_row
        args.window.rows = rows
        args.tally = <int64_t*> _floats(tally)
        args.zeros = _floats(zeros)
        cdef cnp.ndarray counts = np.empty((batch, rows, self.view.in_size), dtype=np.int32)
        cdef int32_t* data = <int32_t*> cnp.PyArray_DATA(counts)
        scratch = self.reserve(self.table.update_pulsed_scratch(args))
        with nogil:
            self.table.count_pulses(args, data, scratch)
        return counts

    def pulse_normals(self, cnp.ndarray crosspoints, cnp.ndarray ordinals, int threads):
        """Normal of the pulse with this ordinal at each of these crosspoints."""
        cdef _core.TileView view = self.view
        cdef int64_t n = cnp.PyArray_SIZE(crosspoints)
        cdef cnp.ndarray z = np.empty(n, dtype=np.float32)
        cdef const uint32_t* where = <const uint32_t*> cnp.PyArray_DATA(crosspoints)
        cdef const uint32_t* which = <const uint32_t*> cnp.PyArray_DATA(ordinals)
        cdef float* data = <float*> cnp.PyArray_DATA(z)
        view.threads = threads
        with nogil:
            self.table.pulse_normals(view, where, which, data, n)
        return z

    def show_pulses(self, cnp.ndarray weights, cnp.ndarray apparent, cnp.ndarray pulse_ordinals,
                    cnp.ndarray crosspoints, double write_noise):
        """Draw the apparent weights of crosspoints anew, after their last pulse."""
        cdef _core.UpdateArgs args
        cdef int64_t n = cnp.PyArray_SIZE(crosspoints)
        cdef const uint32_t* where = <const uint32_t*> cnp.PyArray_DATA(crosspoints)
        memset(&args, 0, sizeof(args))
        args.tile = self.view
        args.weights = <float*> cnp.PyArray_DATA(weights)
        args.apparent = <float*> cnp.PyArray_DATA(apparent)
        args.pulse_ordinals = <uint32_t*> cnp.PyArray_DATA(pulse_ordinals)
        args.write_noise = _core.to_float32(write_noise)
        with nogil:
            self.table.show_pulses(args, where, n)

    def update_compound(self, list nodes, cnp.ndarray counters, cnp.ndarray x, cnp.ndarray d, int64_t batch,
                        double lr, uint64_t ordinal, cnp.ndarray update, bint stepwise, int threads,
                        cnp.ndarray zeros=None, tuple counter=None, list names=None):
        """Run the update of a mini-batch on a compound.

        `nodes` describes the tree: for each node a dict with the fields of CompoundNode in
        csrc/kernel_table.h that its kind has.  `counters` (int64, a row for each node) move on.
        The share of zeros in the last vector of `d` goes to `zeros`. With the
        call, `counter` (a dict and a name in it) moves on by `batch`, and `names` (row after row) in
        the same dict take over `counters`.
        """
        cdef _core.CompoundArgs args
        cdef cnp.ndarray memory = _compound_nodes(nodes, counters)
        cdef void* scratch
        memset(&args, 0, sizeof(args))
        args.tile = self.view
        args.tile.threads = threads
        args.nodes = <const _core.CompoundNode*> cnp.PyArray_DATA(memory)
        args.count = <int> len(nodes)
        args.x = <const float*> cnp.PyArray_DATA(x)
        args.d = <const float*> cnp.PyArray_DATA(d)
        args.batch = batch
        args.lr = _core.to_float32(lr)
        args.ordinal = ordinal
        args.update = <const float*> cnp.PyArray_DATA(update)
        args.stepwise = stepwise
        args.zeros = _floats(zeros)
        scratch = self.reserve(self.table.update_compound_scratch(args))
        with nogil:
            self.table.update_compound(args, scratch)
        self.weights_changed()
        _move_on(counter, batch)
        _move_nodes_on(counter, names, counters)

    def reduce_compound(self, list nodes, cnp.ndarray counters, int threads):
        """Compute the weights that products see from those of the planes."""
        cdef _core.CompoundArgs args
        cdef cnp.ndarray memory = _compound_nodes(nodes, counters)
        memset(&args, 0, sizeof(args))
        args.tile = self.view
        args.tile.threads = threads
        args.nodes = <const _core.CompoundNode*> cnp.PyArray_DATA(memory)
        args.count = <int> len(nodes)
        with nogil:
            self.table.reduce_compound(args)
        self.weights_changed()

    def populate(self, int number, key, cnp.ndarray pulsed, cnp.ndarray own, tuple cell, tuple upkeep,
                 int threads, uint32_t plane=0):
        """Draw the planes of a pulsed device; an upkeep plane of size one gets one number."""
        cdef _core.PopulateArgs args
        memset(&args, 0, sizeof(args))
        args.tile = self.view
        args.tile.threads = threads
        _take_planes(&args, key, pulsed, own, cell, upkeep, plane)
        with nogil:
            self.table.populate[number](args)

    def upkeep(self, str operation, cnp.ndarray weights, cnp.ndarray low, cnp.ndarray high, *,
               values=(), numbers=(), uint64_t ordinal=0, int64_t first_column=0, int64_t columns=0,
               target=None, drift=None, double now=0.0, start=None, since=None, previous=None,
               int threads=1, uint32_t plane=0):
        """Run one maintenance operation over all crosspoints.

        `values` are its planes and `numbers` its scalars, in the order of UpkeepArgs in
        csrc/kernel_table.h; a plane of dimension zero is one number for all crosspoints.
        """
        cdef _core.UpkeepArgs args
        cdef _core.UpkeepFunction function
        cdef int k
        memset(&args, 0, sizeof(args))
        if operation == "uniform":
            function = self.table.set_uniform
        elif operation == "clip":
            function = self.table.clip
        elif operation == "decay":
            function = self.table.decay
        elif operation == "diffuse":
            function = self.table.diffuse
        elif operation == "reset":
            function = self.table.reset
        elif operation == "drift":
            function = self.table.drift
        elif operation == "apparent":
            function = self.table.apparent
        else:
            raise ValueError(f"operation must name an upkeep kernel, got {operation!r}")
        args.tile = self.view
        args.tile.plane = plane
        args.tile.threads = threads
        args.weights = <float*> cnp.PyArray_DATA(weights)
        args.low = <const float*> cnp.PyArray_DATA(low)
        args.high = <const float*> cnp.PyArray_DATA(high)
        args.bound_stride = 0 if low.ndim == 0 else 1
        for k in range(len(values)):
            args.value[k] = _floats(values[k])
            args.value_stride[k] = 0 if values[k].ndim == 0 else 1
        for k in range(len(numbers)):
            args.number[k] = _core.to_float32(numbers[k])
        args.ordinal = ordinal
        args.first_column = first_column
        args.columns = columns
        args.target = _floats(target)
        args.drift = _floats(drift)
        args.now = _core.to_float32(now)
        args.start = _floats(start)
        args.since = _floats(since)
        args.previous = _floats(previous)
        with nogil:
            function(args)
        self.weights_version += 1


include "_arguments.pxi"


cdef const _core.KernelTable* _table(isa_name) except NULL:
    """The kernels of an instruction set; of the one in use by default."""
    cdef const _core.KernelTable* table = _core.kernel_table((isa_name or _isa).encode())
    if table == NULL:
        raise ConfigError(
            f"isa_name must be one of {', '.join(available_isas())}, got {isa_name!r}"
        )
    return table


def draw_words(counters, key, isa_name=None):
    """Philox4x32-10 blocks of bare counters, for tests: (n, 4) uint32 -> (n, 4) uint32."""
    cdef cnp.ndarray c = np.ascontiguousarray(counters, dtype=np.uint32).reshape(-1, 4)
    cdef cnp.ndarray k = np.ascontiguousarray(key, dtype=np.uint32).reshape(2)
    cdef cnp.ndarray words = np.empty_like(c)
    cdef const _core.KernelTable* table = _table(isa_name)
    table.draw_words(<const uint32_t*> cnp.PyArray_DATA(c), <const uint32_t*> cnp.PyArray_DATA(k),
                     <uint32_t*> cnp.PyArray_DATA(words), c.shape[0])
    return words


def words_to_normals(words, isa_name=None):
    """Normals of bare blocks, for tests: (n, 4) uint32 -> (n, 4) float32."""
    cdef cnp.ndarray w = np.ascontiguousarray(words, dtype=np.uint32).reshape(-1, 4)
    cdef cnp.ndarray z = np.empty((w.shape[0], 4), dtype=np.float32)
    cdef const _core.KernelTable* table = _table(isa_name)
    table.words_to_normals(<const uint32_t*> cnp.PyArray_DATA(w), <float*> cnp.PyArray_DATA(z),
                           w.shape[0])
    return z


def evaluate(function, a, b=None, isa_name=None):
    """The kernels' own log, exp or pow of float32 arrays, for tests."""
    cdef cnp.ndarray va = np.ascontiguousarray(a, dtype=np.float32)
    cdef cnp.ndarray y = np.empty_like(va)
    cdef cnp.ndarray vb = va
    if b is not None:
        vb = np.ascontiguousarray(np.broadcast_to(np.asarray(b, dtype=np.float32), (<object> va).shape))
    cdef const _core.KernelTable* table = _table(isa_name)
    table.evaluate(("log", "exp", "pow").index(function), <const float*> cnp.PyArray_DATA(va),
                   <const float*> cnp.PyArray_DATA(vb), <float*> cnp.PyArray_DATA(y), va.size)
    return y
