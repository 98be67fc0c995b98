# cython: language_level=3, boundscheck=False, embedsignature=True
# distutils: language = c++
"""The CUDA kernels: calls over arrays on a device, with the methods of `_cpu.CpuBackend`.

This text is compiled twice: with nvcc's objects as `_cuda`, and with the same .cu files
compiled for the host as `_cuda_host`.  A backend owns a stream on one device.  Calls on
host arrays copy them there and back; calls on arrays of other libraries use these in
place and wait for the result, since nobody can know which stream frees them next.
"""
import math

import numpy as np

cimport numpy as cnp
from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_IsValid, PyCapsule_New
from libc.stdint cimport int64_t, intptr_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

cimport rpupy.rpu_base._cuda_core as cu
from rpupy.rpu_base cimport _core
from rpupy.errors import CudaError

cnp.import_array()


cdef extern from *:
    """
    #if defined(RPUPY_CUDA_ON_HOST)
    #define RPUPY_ON_HOST 1
    #else
    #define RPUPY_ON_HOST 0
    #endif
    """
    bint RPUPY_ON_HOST


cdef int _DL_DEVICE = 1 if RPUPY_ON_HOST else 2  # kDLCPU, kDLCUDA
#: Tensors that are used in place; on the host, kDLExtDev stands in for what other libraries have.
cdef int _DL_TAKEN = 12 if RPUPY_ON_HOST else 2
cdef int _DL_FLOAT = 2
cdef int _DL_UINT = 1
#: Attribute by which arrays of this backend are recognised, ours and those of others.
_INTERFACE = "__rpupy_host_array_interface__" if RPUPY_ON_HOST else "__cuda_array_interface__"


#: Calls whose events may wait on the device, and numbers that one of them has.
cdef enum:
    _EVENT_PLACES = 256
    _EVENTS = 4


cdef int _check(cu.Status status) except -1:
    if status.failed():
        name = (<bytes> cu.cudaGetErrorName(status.error)).decode()
        text = (<bytes> cu.cudaGetErrorString(status.error)).decode()
        place = f"{(<bytes> status.file).decode()}:{status.line}"
        call = (<bytes> status.call).decode()
        raise CudaError(f"{name} ({text}) from {call} at {place}", status=name, place=place)
    return 0


def device_count():
    """How many devices there are; 0 also where there is no driver."""
    cdef int count = 0
    return count if cu.cudaGetDeviceCount(&count) == cu.cudaSuccess else 0


def why_unavailable():
    """Why no device can be used, or an empty string."""
    cdef int count = 0
    cdef cu.cudaError_t status = cu.cudaGetDeviceCount(&count)
    if status != cu.cudaSuccess:
        return f"the CUDA runtime says: {(<bytes> cu.cudaGetErrorString(status)).decode()}"
    return "" if count > 0 else "there is no CUDA device"


cdef class Stream:
    """A stream on a device, and with it the place where a tile computes."""

    cdef cu.Place place

    def __cinit__(self, int device):
        _check(cu.open_place(device, &self.place))

    def __dealloc__(self):
        with nogil:
            cu.close_place(self.place)

    @property
    def device(self):
        """Number of the device."""
        return self.place.device

    @property
    def handle(self):
        """The stream as an integer, as the protocols want it."""
        return <intptr_t> self.place.stream

    def wait(self):
        """Wait until everything that was asked of the stream is done."""
        cdef cu.Status status
        with nogil:
            status = cu.wait_for(self.place)
        _check(status)


cdef class Mark:
    """A point in the work of a stream, for benchmarks."""

    cdef cu.cudaEvent_t event

    def __cinit__(self, Stream stream):
        self.event = NULL
        _check(cu.mark(stream.place, &self.event))

    def __dealloc__(self):
        if self.event != NULL:
            cu.cudaEventDestroy(self.event)

    def milliseconds_since(self, Mark earlier):
        """Time on the device between two marks; waits for the later one."""
        cdef float time = 0.0
        cdef cu.Status status
        with nogil:
            status = cu.milliseconds_between(earlier.event, self.event, &time)
        _check(status)
        return time


cdef class DeviceArray:
    """Numbers on a device, in C order.

    It speaks ``__cuda_array_interface__`` and ``__dlpack__``, so that CuPy, PyTorch and
    others can use it in place.
    """

    cdef readonly tuple shape
    cdef readonly object dtype
    cdef readonly Stream stream
    cdef cu.Buffer buffer
    cdef void* data
    cdef object owner  # of memory that is not ours

    @property
    def ndim(self):
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self):
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self):
        """Bytes of all elements."""
        return self.size * self.dtype.itemsize

    @property
    def device(self):
        """Number of the device."""
        return self.stream.place.device

    def numpy(self):
        """Return a copy as a NumPy array."""
        cdef cnp.ndarray host = np.empty(self.shape, dtype=self.dtype)
        cdef size_t size = self.nbytes
        cdef void* to = cnp.PyArray_DATA(host)
        cdef cu.Status status
        with nogil:
            status = cu.copy_bytes(self.stream.place, to, self.data, size, cu.cudaMemcpyDeviceToHost)
            if not status.failed():
                status = cu.wait_for(self.stream.place)
        _check(status)
        return host

    def reshape(self, shape):
        """Return the same memory with another shape of the same size."""
        cdef DeviceArray view = _view(self.stream, self.data, tuple(shape), self.dtype, self)
        if view.size != self.size:
            raise ValueError(f"shape must have {self.size} elements, got {tuple(shape)}")
        return view

    def _described(self):
        # Calls that hand out arrays have waited for them: no stream has to be followed.
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (<intptr_t> self.data if self.size else 0, False),
            "strides": None,
            "version": 3,
            "stream": None,
        }

    @property
    def __cuda_array_interface__(self):
        """Where the numbers are, for other libraries."""
        if RPUPY_ON_HOST:
            raise AttributeError("__cuda_array_interface__: this array is on the host")
        return self._described()

    @property
    def __rpupy_host_array_interface__(self):
        """The same for the host-compiled kernels, whose memory is no CUDA memory."""
        if not RPUPY_ON_HOST:
            raise AttributeError("__rpupy_host_array_interface__: this array is on a GPU")
        return self._described()

    def __dlpack_device__(self):
        """Type and number of the device, as DLPack counts them."""
        return _DL_DEVICE, self.stream.place.device

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
        """Hand the array to another library, in place; the calls before are done."""
        if copy:
            raise BufferError("copy must not be True: the array is handed over in place")
        if dl_device is not None and tuple(dl_device) != self.__dlpack_device__():
            raise BufferError(f"dl_device must be {self.__dlpack_device__()}, got {dl_device}")
        cdef int ndim = len(self.shape)
        cdef cu.ManagedTensor* managed = <cu.ManagedTensor*> malloc(
            sizeof(cu.ManagedTensor) + ndim * sizeof(int64_t))
        if managed == NULL:
            raise MemoryError()
        managed.tensor.data = self.data
        managed.tensor.device.type = _DL_DEVICE
        managed.tensor.device.id = self.stream.place.device
        managed.tensor.ndim = ndim
        managed.tensor.dtype.code = _DL_FLOAT if self.dtype.kind == "f" else _DL_UINT
        managed.tensor.dtype.bits = 8 * self.dtype.itemsize
        managed.tensor.dtype.lanes = 1
        managed.tensor.shape = <int64_t*> (managed + 1)
        managed.tensor.strides = NULL
        managed.tensor.byte_offset = 0
        for k in range(ndim):
            managed.tensor.shape[k] = self.shape[k]
        managed.deleter = _release_managed
        managed.context = <void*> self
        _keep(self)
        return PyCapsule_New(managed, "dltensor", _release_capsule)


cdef extern from "Python.h":
    void _keep "Py_INCREF"(object)
    void _drop "Py_DECREF"(object)


cdef void _release_managed(cu.ManagedTensor* managed) noexcept with gil:
    _drop(<object> managed.context)
    free(managed)


cdef void _release_capsule(object capsule) noexcept:
    # A capsule that somebody took over has another name and is theirs to release.
    cdef cu.ManagedTensor* managed
    if PyCapsule_IsValid(capsule, "dltensor"):
        managed = <cu.ManagedTensor*> PyCapsule_GetPointer(capsule, "dltensor")
        managed.deleter(managed)


cdef DeviceArray _view(Stream stream, void* data, tuple shape, object dtype, object owner):
    cdef DeviceArray array = DeviceArray.__new__(DeviceArray)
    array.shape = shape
    array.dtype = np.dtype(dtype)
    array.stream = stream
    array.data = data
    array.owner = owner
    return array


cdef DeviceArray _empty(Stream stream, tuple shape, object dtype):
    cdef DeviceArray array = _view(stream, NULL, shape, dtype, None)
    _check(array.buffer.reserve(stream.place.device, array.nbytes))
    array.data = array.buffer.data()
    return array


cdef void* _data(object array) except? NULL:
    """Device memory of an array, or host memory of a plane that is one number."""
    if array is None:
        return NULL
    if isinstance(array, DeviceArray):
        return (<DeviceArray> array).data
    return cnp.PyArray_DATA(<cnp.ndarray> array)


cdef inline float* _floats(object array) except? NULL:
    return <float*> _data(array)


cdef inline float _float32(double value) noexcept:
    return <float> value


include "_arguments.pxi"


def _c_order(shape, strides, unit):
    """Whether strides (in units, None for C order) are those of an array in C order."""
    if strides is None or math.prod(shape) == 0:
        return True
    for length, stride in zip(reversed(shape), reversed(tuple(strides))):
        if length != 1 and stride != unit:
            return False
        unit *= length
    return True


cdef class CudaBackend:
    """Kernel calls over the arrays of one core tile on a device.

    Parameters
    ----------
    out_size, in_size : int
        Rows and columns of the array.
    key : sequence of two int
        Key of the tile's random numbers.
    device : int, optional
        Number of the device; the current one of the CUDA runtime by default.
    """

    cdef _core.TileView view
    cdef readonly Stream stream
    cdef cu.Buffer scratch
    cdef cu.Buffer first_stage
    cdef cu.Buffer second_stage
    cdef cu.Buffer counter
    cdef DeviceArray events  # a place for each of the last calls that count, not read until somebody asks
    cdef DeviceArray part_events  # the same for the parts of a compound, in one place for all calls
    cdef list parts               # the host arrays that it will be added to; empty before the first call
    cdef list counting       # the host arrays that the places will be added to, or None
    cdef readonly uint64_t weights_version

    def __cinit__(self, out_size, in_size, key, device=None):
        cdef int current = 0
        if device is None:
            if cu.cudaGetDevice(&current) != cu.cudaSuccess:
                current = 0
            device = current
        self.stream = Stream(device)
        memset(&self.view, 0, sizeof(self.view))
        self.view.out_size = out_size
        self.view.in_size = in_size
        self.view.key[0] = key[0]
        self.view.key[1] = key[1]
        self.view.threads = 1
        self.weights_version = 0
        self.events = self.allocate((_EVENT_PLACES, _EVENTS), np.int64)
        self.counting, self.parts = [], []

    @property
    def device(self):
        """Number of the device."""
        return self.stream.place.device

    def weights_changed(self):
        """Mark what was made of the visible weights as stale."""
        self.weights_version += 1

    def nbytes(self):
        """Bytes of the scratch memory and of the room for host arrays."""
        return self.scratch.size() + self.first_stage.size() + self.second_stage.size()

    # ---- arrays ------------------------------------------------------------------------

    def allocate(self, shape, dtype):
        """Zeros of this shape; a single number stays on the host."""
        cdef DeviceArray array
        if shape == ():
            return np.zeros((), dtype=dtype)
        array = _empty(self.stream, tuple(shape), dtype)
        _check(cu.clear_bytes(self.stream.place, array.data, array.nbytes))
        return array

    def empty(self, shape):
        """A float32 array on the device whose elements are not set."""
        return _empty(self.stream, tuple(shape), np.float32)

    def array_from(self, value):
        """A copy on the device; a single number stays on the host."""
        if value.shape == ():
            return np.array(value)
        array = _empty(self.stream, value.shape, value.dtype)
        self.write(array, value)
        return array

    def read(self, array):
        """A copy as a NumPy array."""
        return array.numpy() if isinstance(array, DeviceArray) else array.copy()

    def write(self, DeviceArray array, value):
        """Overwrite an array with numbers of the same shape."""
        cdef cnp.ndarray host = np.ascontiguousarray(value, dtype=array.dtype)
        cdef const void* data = cnp.PyArray_DATA(host)
        cdef size_t size = array.nbytes
        cdef cu.Status status
        with nogil:
            status = cu.copy_bytes(self.stream.place, array.data, data, size,
                                   cu.cudaMemcpyHostToDevice)
            if not status.failed():
                status = cu.wait_for(self.stream.place)
        _check(status)

    def duplicate(self, array):
        """A copy on the device; a single number stays on the host."""
        if not isinstance(array, DeviceArray):
            return array.copy()
        cdef DeviceArray twin = _empty(self.stream, array.shape, array.dtype)
        self.copy(twin, array)
        return twin

    def copy(self, DeviceArray target, DeviceArray source):
        """Overwrite an array with another of the same shape."""
        _check(cu.copy_bytes(self.stream.place, target.data, source.data, target.nbytes,
                             cu.cudaMemcpyDeviceToDevice))

    def device_array(self, value, name):
        """View an array that is on this device; None if it is on no device.

        Raises
        ------
        TypeError, ValueError
            If it is of another type than float32, on another device or not in C order.
        """
        if isinstance(value, (np.ndarray, np.generic, list, tuple, float, int)):
            return None
        described = getattr(value, _INTERFACE, None)
        if described is not None:
            return self._described_array(value, described, name)
        if hasattr(value, "__dlpack_device__"):
            kind, number = value.__dlpack_device__()
            if int(kind) == _DL_TAKEN:
                return self._dlpack_array(value, int(number), name)
        return None

    def _described_array(self, value, described, name):
        shape, strides = tuple(described["shape"]), described.get("strides")
        if np.dtype(described["typestr"]) != np.float32:
            raise TypeError(f"{name} must be of float32, got {described['typestr']}")
        if not _c_order(shape, strides, 4):
            raise ValueError(f"{name} must be in C order on the device, got strides {strides}")
        cdef void* data = <void*> <intptr_t> described["data"][0]
        if math.prod(shape) > 0:
            self.check_memory(data, name)
        producer = described.get("stream")
        if producer is not None:
            _check(cu.follow(self.stream.place, <cu.cudaStream_t> <intptr_t> producer))
        return _view(self.stream, data, shape, np.float32, value)

    cdef int check_memory(self, void* data, object name) except -1:
        """Refuse memory that this device cannot use: the protocol does not say where it is."""
        cdef cu.cbool usable = False
        cdef int device = -1
        _check(cu.look_at_memory(self.stream.place, data, &usable, &device))
        if not usable:
            where = f"device {device}" if device >= 0 else "memory of the host"
            raise ValueError(f"{name} must be on device {self.device}, got {where}")
        return 0

    def _dlpack_array(self, value, number, name):
        cdef cu.ManagedTensor* managed
        if number != self.device:
            raise ValueError(f"{name} must be on device {self.device}, got {number}")
        capsule = value.__dlpack__(stream=self.stream.handle)
        if not PyCapsule_IsValid(capsule, "dltensor"):
            raise TypeError(f"{name} must hand over a DLPack tensor, got {capsule!r}")
        managed = <cu.ManagedTensor*> PyCapsule_GetPointer(capsule, "dltensor")
        dtype = managed.tensor.dtype
        if dtype.code != _DL_FLOAT or dtype.bits != 32 or dtype.lanes != 1:
            raise TypeError(f"{name} must be of float32, got DLPack type {dtype}")
        shape = tuple(managed.tensor.shape[k] for k in range(managed.tensor.ndim))
        strides = None
        if managed.tensor.strides != NULL:
            strides = tuple(managed.tensor.strides[k] for k in range(managed.tensor.ndim))
        if not _c_order(shape, strides, 1):
            raise ValueError(f"{name} must be in C order on the device, got strides {strides}")
        # The capsule, not taken over, releases the tensor when the view is gone.
        return _view(self.stream, <char*> managed.tensor.data + managed.tensor.byte_offset, shape,
                     np.float32, capsule)

    cdef void* staged(self, object array, cu.Buffer* room) except? NULL:
        """Memory on the device that holds a float32 array, which may be on the host."""
        if isinstance(array, DeviceArray):
            return (<DeviceArray> array).data
        return self.copied(array, room)

    cdef void* copied(self, object array, cu.Buffer* room) except? NULL:
        """Memory of our own with a copy of a float32 array, wherever that is."""
        cdef bint here = isinstance(array, DeviceArray)
        cdef size_t size = array.nbytes
        cdef const void* data = _data(array)
        cdef cu.cudaMemcpyKind kind = cu.cudaMemcpyDeviceToDevice if here else cu.cudaMemcpyHostToDevice
        cdef cu.Status status
        with nogil:
            status = room.reserve(self.stream.place.device, size)
            if not status.failed():
                status = cu.copy_bytes(self.stream.place, room.data(), data, size, kind)
            if status.failed():
                # An array before this one may still be on its way.
                cu.wait_for(self.stream.place)
        _check(status)
        return room.data()

    def wait(self):
        """Wait until all calls so far are done."""
        self.stream.wait()

    def all_finite(self, array):
        """Whether every number of a float32 array is finite."""
        cdef uint32_t count = 0
        cdef cu.Status status
        cdef DeviceArray numbers
        if not isinstance(array, DeviceArray):
            return bool(np.isfinite(array).all())
        numbers = array
        cdef int64_t n = numbers.size
        _check(self.counter.reserve(self.stream.place.device, sizeof(uint32_t)))
        with nogil:
            status = cu.count_not_finite(self.stream.place, <const float*> numbers.data, n,
                                         <uint32_t*> self.counter.data())
            if not status.failed():
                status = cu.copy_bytes(self.stream.place, &count, self.counter.data(),
                                       sizeof(uint32_t), cu.cudaMemcpyDeviceToHost)
            if not status.failed():
                status = cu.wait_for(self.stream.place)
        _check(status)
        return count == 0

    # ---- events ------------------------------------------------------------------------

    cdef int64_t* place_for(self, object counts) except? NULL:
        """Memory on the device, zeros, where a call counts; NULL if nobody wants to know."""
        if counts is None:
            return NULL
        if len(self.counting) == _EVENT_PLACES:
            self.settle()
        # What a call leaves there that fails is added to nothing.
        self.counting.append(None)
        return <int64_t*> self.events.data + (len(self.counting) - 1) * _EVENTS

    cdef int count(self, object counts) except -1:
        """The last call to which place_for gave memory has succeeded."""
        if counts is not None:
            self.counting[len(self.counting) - 1] = counts
        return 0

    def uncount(self):
        """Take back the rounds of the last product that was counted."""
        if self.counting:
            self.counting[len(self.counting) - 1] = None

    def forget(self):
        """Drop what updates of a compound have counted since `settle`."""
        if self.parts:
            _check(cu.clear_bytes(self.stream.place, self.part_events.data, self.part_events.nbytes))

    def settle(self):
        """Add what calls have counted to the arrays that they were given."""
        if self.parts:
            found = self.part_events.numpy()
            _check(cu.clear_bytes(self.stream.place, self.part_events.data, self.part_events.nbytes))
            for events, more in zip(self.parts, found):
                events += more
        if not self.counting:
            return
        found = self.events.numpy()
        _check(cu.clear_bytes(self.stream.place, self.events.data, self.events.nbytes))
        for place, counts in enumerate(self.counting):
            if counts is not None:
                counts += found[place, :len(counts)]
        self.counting = []

    # ---- kernels -----------------------------------------------------------------------

    def product(self, weights, inputs, outputs, int64_t batch, bint backward, cnp.ndarray io,
                uint64_t ordinal, uint32_t stream, int threads, drawn=None, stages=None,
                read_array=None, rounds=None, tuple counter=None):
        """Analog product of `batch` vectors; `stream` is the first of the pass.

        `drawn` names what the direction has of its own (`rpupy.rpu_base.periphery`), `stages`
        numbers the planes of a trace, which are on the host, and `read_array` stands in for the
        weights where the array is read in time slices or with noise.  The rounds of all vectors
        are added to `rounds`, at the latest by `settle`.
        With the call, `counter` (a dict and a name in it) moves on by `batch`.
        """
        cdef _core.ProductArgs args
        cdef cu.Status status
        cdef bint host_outputs = not isinstance(outputs, DeviceArray)
        cdef size_t size
        cdef void* to = NULL
        memset(&args, 0, sizeof(args))
        args.tile = self.view
        args.weights = _floats(weights)
        args.batch = batch
        args.backward = backward
        args.io = <const float*> cnp.PyArray_DATA(io)
        args.ordinal = ordinal
        args.stream = stream
        if drawn is not None:
            args.lines.out_noise_values = _floats(drawn.get("out_noise_values"))
            args.lines.out_nonlinearity = _floats(drawn.get("out_nonlinearity"))
            args.lines.v_offset = _floats(drawn.get("v_offset"))
            args.lines.out_nonlinearity_factor = drawn.get("out_nonlinearity_factor", 1.0)
            args.lines.w_asymmetry = _floats(drawn.get("w_asymmetry"))
            args.average = _floats(drawn.get("input_average"))
        if read_array is not None:
            args.weights = _floats(_take_read_array(&args.lines, read_array, weights))
        traced = {}
        if stages is not None:
            traced = {number: self.allocate(plane.shape, np.float32) for number, plane in stages.items()}
            for number, plane in traced.items():
                args.stages[<int> number] = _floats(plane)
        _check(self.scratch.reserve(self.stream.place.device, cu.product_scratch(args)))
        if host_outputs:
            size = cnp.PyArray_NBYTES(<cnp.ndarray> outputs)
            to = cnp.PyArray_DATA(<cnp.ndarray> outputs)
            _check(self.second_stage.reserve(self.stream.place.device, size))
            args.output = <float*> self.second_stage.data()
        else:
            args.output = _floats(outputs)
        args.rounds = self.place_for(rounds)
        args.input = <const float*> self.staged(inputs, &self.first_stage)
        with nogil:
            status = cu.product(self.stream.place, args, self.scratch.data())
            if host_outputs and not status.failed():
                status = cu.copy_bytes(self.stream.place, to, args.output, size,
                                       cu.cudaMemcpyDeviceToHost)
            if not status.failed():
                status = cu.wait_for(self.stream.place)
        _check(status)
        self.count(rounds)
        _move_on(counter, batch)
        for number, plane in traced.items():
            stages[number][...] = plane.numpy()

    def update_exact(self, weights, x, d, int64_t batch, float lr, low, high, int threads,
                     tuple counter=None):
        """Outer products in floating point, clipped to `low` and `high` after each vector if given.

        With the call, `counter` (a dict and a name in it) moves on by `batch`.
        """
        cdef _core.UpdateArgs args
        cdef cu.Status status
        memset(&args, 0, sizeof(args))
        args.tile = self.view
        args.batch = batch
        args.lr = lr
        args.weights = _floats(weights)
        args.low = _floats(low)
        args.high = _floats(high)
        args.x = <const float*> self.staged(x, &self.first_stage)
        args.d = <const float*> self.staged(d, &self.second_stage)
        with nogil:
            status = cu.note_copies(self.stream.place)
            if not status.failed():
                status = cu.update_exact(self.stream.place, args)
        self.weights_version += 1
        self.release(x, d, status)
        _move_on(counter, batch)

    def longest_train(self, cnp.ndarray update, float lr, float granularity):
        """Words that the longest pulse train of an update may take."""
        cdef _core.UpdateArgs args
        memset(&args, 0, sizeof(args))
        args.lr = lr
        args.granularity = granularity
        args.update = <const float*> cnp.PyArray_DATA(update)
        return cu.longest_train(args)

    def update_pulsed(self, int number, weights, apparent, pulse_ordinals, pulse_counters, tuple cell,
                      cnp.ndarray own, cnp.ndarray update, x, d, int64_t batch, float lr,
                      float granularity, float dw_min_std, float write_noise, uint64_t ordinal,
                      int threads, tally=None, zeros=None, tuple counter=None):
        """Pulse trains of a mini-batch on the device with this number.

        Pulses down, pulses up and slots of trains are added to `tally`, at the latest by `settle`.
        The share of zeros in the last vector of `d` goes to `zeros`.  With the call, `counter` (a dict
        and a name in it) moves on by `batch`.
        """
        cdef _core.UpdateArgs args
        cdef cu.Status status
        cdef int k
        memset(&args, 0, sizeof(args))
        args.tile = self.view
        args.batch = batch
        args.lr = lr
        args.ordinal = ordinal
        args.weights = _floats(weights)
        args.apparent = _floats(apparent)
        args.write_noise = write_noise
        args.dw_min_std = dw_min_std
        args.granularity = granularity
        args.pulse_ordinals = <uint32_t*> _data(pulse_ordinals)
        args.pulse_counters = <int64_t*> _data(pulse_counters)
        args.update = <const float*> cnp.PyArray_DATA(update)
        args.own = <const float*> cnp.PyArray_DATA(own)
        for k in range(len(cell)):
            args.cell[k] = _floats(cell[k])
        _check(self.scratch.reserve(self.stream.place.device, cu.update_pulsed_scratch(args)))
        args.tally = self.place_for(tally)
        args.zeros = _floats(zeros)
        args.x = <const float*> self.staged(x, &self.first_stage)
        args.d = <const float*> self.staged(d, &self.second_stage)
        with nogil:
            status = cu.note_copies(self.stream.place)
            if not status.failed():
                status = cu.update_pulsed(self.stream.place, number, args, self.scratch.data())
        self.weights_version += 1
        self.release(x, d, status)
        self.count(tally)
        _move_on(counter, batch)

    cdef int release(self, object x, object d, cu.Status status) except -1:
        """Wait until the caller may change or free x and d, then raise what a call has answered."""
        cdef cu.Status waited
        cdef bint in_place = isinstance(x, DeviceArray) or isinstance(d, DeviceArray)
        with nogil:
            if in_place:
                waited = cu.wait_for(self.stream.place)
            else:
                waited = cu.wait_for_copies(self.stream.place)
        _check(status)
        return _check(waited)

    def update_compound(self, list nodes, cnp.ndarray counters, x, d, int64_t batch, float lr,
                        uint64_t ordinal, cnp.ndarray update, bint stepwise, int threads,
                        zeros=None, tuple counter=None, list names=None):
        """Run the update of a mini-batch on a compound.

        `nodes` describes the tree: for each node a dict with the fields of CompoundNode in
        csrc/kernel_table.h that its kind has.  `counters` (int64, a row for each node) move on.
        The share of zeros in the last vector of `d` goes to `zeros`. With the
        call, `counter` (a dict and a name in it) moves on by `batch`, and `names` (row after row) in
        the same dict take over `counters`.
        """
        cdef _core.CompoundArgs args
        cdef cnp.ndarray memory = _compound_nodes(nodes, counters)
        cdef _core.CompoundNode* node = <_core.CompoundNode*> cnp.PyArray_DATA(memory)
        cdef cu.Status status
        cdef int k
        if not self.parts:
            self.part_events = self.allocate((len(nodes), _core.kNodeEvents), np.int64)
            self.parts = [has["events"] for has in nodes]
        for k in range(len(nodes)):
            node[k].update.tally = <int64_t*> self.part_events.data + k * _core.kNodeEvents
        memset(&args, 0, sizeof(args))
        args.tile = self.view
        args.nodes = node
        args.count = <int> len(nodes)
        args.batch = batch
        args.lr = lr
        args.ordinal = ordinal
        args.update = <const float*> cnp.PyArray_DATA(update)
        args.stepwise = stepwise
        args.zeros = _floats(zeros)
        _check(self.scratch.reserve(self.stream.place.device, cu.update_compound_scratch(args)))
        # Copies, also of arrays on the device: once these are made nobody waits, and what could
        # fail has come before the first change.
        args.x = <const float*> self.copied(x, &self.first_stage)
        args.d = <const float*> self.copied(d, &self.second_stage)
        with nogil:
            status = cu.wait_for(self.stream.place)
            if not status.failed():
                status = cu.update_compound(self.stream.place, args, self.scratch.data())
        self.weights_changed()
        _check(status)
        _move_on(counter, batch)
        _move_nodes_on(counter, names, counters)

    def reduce_compound(self, list nodes, cnp.ndarray counters, int threads):
        """Compute the weights that products see from those of the planes."""
        cdef _core.CompoundArgs args
        cdef cnp.ndarray memory = _compound_nodes(nodes, counters)
        cdef cu.Status status
        memset(&args, 0, sizeof(args))
        args.tile = self.view
        args.nodes = <const _core.CompoundNode*> cnp.PyArray_DATA(memory)
        args.count = <int> len(nodes)
        with nogil:
            status = cu.reduce_compound(self.stream.place, args)
        self.weights_changed()
        _check(status)

    def populate(self, int number, key, cnp.ndarray pulsed, cnp.ndarray own, tuple cell, tuple upkeep,
                 int threads, uint32_t plane=0):
        """Draw the planes of a pulsed device; an upkeep plane of size one gets one number."""
        cdef _core.PopulateArgs args
        cdef cu.Status status
        memset(&args, 0, sizeof(args))
        args.tile = self.view
        _take_planes(&args, key, pulsed, own, cell, upkeep, plane)
        with nogil:
            status = cu.populate(self.stream.place, number, args)
        _check(status)

    def upkeep(self, str operation, weights, low, high, *, values=(), numbers=(),
               uint64_t ordinal=0, int64_t first_column=0, int64_t columns=0, target=None,
               drift=None, float now=0.0, start=None, since=None, previous=None, int threads=1,
               uint32_t plane=0):
        """Run one maintenance operation over all crosspoints.

        `values` are its planes and `numbers` its scalars, in the order of UpkeepArgs in
        csrc/kernel_table.h; a plane of dimension zero is one number for all crosspoints.
        """
        cdef _core.UpkeepArgs args
        cdef cu.UpkeepLauncher function
        cdef cu.Status status
        cdef int k
        memset(&args, 0, sizeof(args))
        if operation == "uniform":
            function = cu.set_uniform
        elif operation == "clip":
            function = cu.clip
        elif operation == "decay":
            function = cu.decay
        elif operation == "diffuse":
            function = cu.diffuse
        elif operation == "reset":
            function = cu.reset
        elif operation == "drift":
            function = cu.drift
        elif operation == "apparent":
            function = cu.redraw_apparent
        else:
            raise ValueError(f"operation must name an upkeep kernel, got {operation!r}")
        args.tile = self.view
        args.tile.plane = plane
        args.weights = _floats(weights)
        args.low = _floats(low)
        args.high = _floats(high)
        args.bound_stride = 0 if low.ndim == 0 else 1
        for k in range(len(values)):
            args.value[k] = _floats(values[k])
            args.value_stride[k] = 0 if values[k].ndim == 0 else 1
        for k in range(len(numbers)):
            args.number[k] = numbers[k]
        args.ordinal = ordinal
        args.first_column = first_column
        args.columns = columns
        args.target = _floats(target)
        args.drift = _floats(drift)
        args.now = now
        args.start = _floats(start)
        args.since = _floats(since)
        args.previous = _floats(previous)
        with nogil:
            status = function(self.stream.place, args)
        self.weights_version += 1
        _check(status)

    # ---- vectors of other libraries ----------------------------------------------------

    def gather_vectors(self, DeviceArray array, tuple batch_shape, int64_t size, bint features_first):
        """Vectors with features last, and ones behind those that are given."""
        cdef cu.VectorLayout layout
        cdef DeviceArray gathered = _empty(self.stream, (*batch_shape, size), np.float32)
        layout.batch = math.prod(batch_shape)
        layout.size = size
        layout.given = array.shape[0 if features_first else -1]
        layout.features_first = features_first
        _check(cu.gather_vectors(self.stream.place, layout, <const float*> array.data,
                                 <float*> gathered.data))
        return gathered

    def scatter_vectors(self, DeviceArray array, int64_t shown, bint features_first):
        """The first `shown` features of vectors, first or last."""
        cdef cu.VectorLayout layout
        batch_shape = array.shape[:-1]
        shape = (shown, *batch_shape) if features_first else (*batch_shape, shown)
        cdef DeviceArray scattered = _empty(self.stream, shape, np.float32)
        layout.batch = math.prod(batch_shape)
        layout.size = array.shape[-1]
        layout.given = shown
        layout.features_first = features_first
        _check(cu.scatter_vectors(self.stream.place, layout, <const float*> array.data,
                                  <float*> scattered.data))
        self.stream.wait()
        return scattered

    def scale_vectors(self, DeviceArray array, str operation, cnp.ndarray scales, bint features_first):
        """Vectors times, by or plus one number or one for each feature, as a new array."""
        cdef cu.VectorLayout layout
        cdef DeviceArray scaled = _empty(self.stream, array.shape, np.float32)
        cdef int code = ("multiply", "divide", "add").index(operation)
        layout.size = layout.given = array.shape[0 if features_first else -1]
        layout.batch = array.size // layout.size
        layout.features_first = features_first
        _check(cu.scale_vectors(self.stream.place, layout, code,
                                <const float*> self.staged(scales, &self.second_stage), scales.size,
                                <const float*> array.data, <float*> scaled.data))
        self.stream.wait()
        return scaled
