# Declarations of cuda/launchers.h, what it includes, and cuda/dlpack.h; nothing else.
from libcpp cimport bool as cbool
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from rpupy.rpu_base._core cimport (
    CompoundArgs, PopulateArgs, ProductArgs, UpdateArgs, UpkeepArgs,
)


cdef extern from "launchers.h" nogil:
    ctypedef void* cudaStream_t
    ctypedef void* cudaEvent_t
    ctypedef enum cudaError_t:
        cudaSuccess
    ctypedef enum cudaMemcpyKind:
        cudaMemcpyHostToDevice
        cudaMemcpyDeviceToHost
        cudaMemcpyDeviceToDevice
    cudaError_t cudaGetDeviceCount(int*)
    cudaError_t cudaGetDevice(int*)
    cudaError_t cudaEventDestroy(cudaEvent_t)
    const char* cudaGetErrorName(cudaError_t)
    const char* cudaGetErrorString(cudaError_t)


cdef extern from "launchers.h" namespace "rpupy::cuda" nogil:
    cppclass Status:
        cudaError_t error
        const char* call
        const char* file
        int line
        bint failed()

    cppclass Place:
        int device
        cudaStream_t stream

    Status open_place(int, Place*)
    void close_place(const Place&)
    Status wait_for(const Place&)
    Status note_copies(const Place&)
    Status wait_for_copies(const Place&)
    Status look_at_memory(const Place&, const void*, cbool*, int*)
    Status mark(const Place&, cudaEvent_t*)
    Status milliseconds_between(cudaEvent_t, cudaEvent_t, float*)
    Status follow(const Place&, cudaStream_t)

    cppclass Buffer:
        Status reserve(int, size_t)
        void* data()
        size_t size()

    Status copy_bytes(const Place&, void*, const void*, size_t, cudaMemcpyKind)
    Status clear_bytes(const Place&, void*, size_t)

    ctypedef Status (*UpkeepLauncher)(const Place&, const UpkeepArgs&) noexcept

    Status populate(const Place&, int, const PopulateArgs&)
    Status set_uniform(const Place&, const UpkeepArgs&)
    Status clip(const Place&, const UpkeepArgs&)
    Status decay(const Place&, const UpkeepArgs&)
    Status diffuse(const Place&, const UpkeepArgs&)
    Status reset(const Place&, const UpkeepArgs&)
    Status drift(const Place&, const UpkeepArgs&)
    Status redraw_apparent(const Place&, const UpkeepArgs&)
    Status update_exact(const Place&, const UpdateArgs&)
    int64_t longest_train(const UpdateArgs&)
    size_t update_pulsed_scratch(const UpdateArgs&)
    Status update_pulsed(const Place&, int, const UpdateArgs&, void*)
    size_t update_compound_scratch(const CompoundArgs&)
    Status update_compound(const Place&, const CompoundArgs&, void*)
    Status reduce_compound(const Place&, const CompoundArgs&)
    size_t product_scratch(const ProductArgs&)
    Status product(const Place&, const ProductArgs&, void*)
    Status count_not_finite(const Place&, const float*, int64_t, uint32_t*)

    cppclass VectorLayout:
        int64_t batch
        int64_t size
        int64_t given
        int32_t features_first

    Status gather_vectors(const Place&, const VectorLayout&, const float*, float*)
    Status scatter_vectors(const Place&, const VectorLayout&, const float*, float*)
    Status scale_vectors(const Place&, const VectorLayout&, int, const float*, int64_t,
                         const float*, float*)


cdef extern from "dlpack.h" namespace "rpupy::cuda" nogil:
    struct TensorDevice:
        int32_t type
        int32_t id

    struct TensorType:
        uint8_t code
        uint8_t bits
        uint16_t lanes

    struct Tensor:
        void* data
        TensorDevice device
        int32_t ndim
        TensorType dtype
        int64_t* shape
        int64_t* strides
        uint64_t byte_offset

    struct ManagedTensor:
        Tensor tensor
        void* context
        void (*deleter)(ManagedTensor*) noexcept
