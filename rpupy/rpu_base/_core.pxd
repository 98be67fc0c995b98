# Declarations of csrc/kernel_table.h, and nothing else.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t


cdef extern from "kernel_table.h" namespace "rpupy" nogil:
    enum:
        kMaxCellPlanes
        kUpkeepPlanes
        kProductStages

    struct TileView:
        int64_t out_size
        int64_t in_size
        uint32_t key[2]
        uint32_t plane
        int32_t threads

    struct PopulateArgs:
        TileView tile
        const float* pulsed
        const float* own
        float* cell[12]
        float* upkeep[4]
        int64_t upkeep_stride[4]

    struct Window:
        int64_t first_row
        int64_t rows
        int64_t first_column
        int64_t columns

    struct UpdateArgs:
        TileView tile
        const float* x
        const float* d
        int64_t batch
        float lr
        uint64_t ordinal
        float* weights
        float* apparent
        float write_noise
        float dw_min_std
        float granularity
        uint32_t* pulse_ordinals
        int64_t* pulse_counters
        const float* update
        const float* own
        float* cell[12]
        const float* low
        const float* high
        const float* rates
        uint32_t train_plane
        int32_t write_train
        int32_t route
        Window window
        int64_t* tally
        float* zeros

    struct ReadLadder:
        int64_t segments
        int64_t per_segment
        int64_t front
        int32_t timed
        float wire
        float leak
        float offset
        float noise
        float per_microsiemens

    struct LineParams:
        const float* out_noise_values
        const float* out_nonlinearity
        const float* v_offset
        float out_nonlinearity_factor
        const float* w_asymmetry
        const float* slice_offset
        float charge_unit
        ReadLadder ladder

    struct ProductArgs:
        TileView tile
        const float* weights
        float* packed
        const float* negative_weights
        float* negative_packed
        const float* input
        float* output
        int64_t batch
        int32_t backward
        const float* io
        uint64_t ordinal
        uint32_t stream
        LineParams lines
        float* average
        float* stages[16]
        int64_t* rounds

    struct UpkeepArgs:
        TileView tile
        float* weights
        const float* low
        const float* high
        int64_t bound_stride
        const float* value[2]
        int64_t value_stride[2]
        float number[2]
        uint64_t ordinal
        int64_t first_column
        int64_t columns
        float* target
        const float* drift
        float now
        float* start
        float* since
        float* previous

    enum:
        kNodeCounters
        kNodeEvents

    struct CompoundNode:
        int32_t kind
        int32_t first_child
        int32_t children
        uint32_t number
        float* weights
        float granularity
        float states
        int64_t* counters
        float gamma
        float every
        float rate
        int32_t device
        UpdateArgs update
        const float* reset_bias
        int64_t reset_stride
        float reset_std
        float nominal_max
        const float* params
        const float* read_io
        LineParams read_lines
        int32_t reads_are_local
        const float* write_update
        int32_t hides_nothing
        float* buffer
        float* mean
        float* past_mean
        float* variance
        float* past_variance
        float* running
        float* sparsity
        uint8_t* in_chopper
        uint8_t* out_chopper
        uint8_t* switched
        float* zeros
        int64_t* events

    struct CompoundArgs:
        TileView tile
        const CompoundNode* nodes
        int32_t count
        const float* x
        const float* d
        int64_t batch
        float lr
        uint64_t ordinal
        const float* update
        float* zeros
        int32_t stepwise

    ctypedef void (*PopulateFunction)(const PopulateArgs&) noexcept nogil
    ctypedef void (*UpdateFunction)(const UpdateArgs&, void*) noexcept nogil
    ctypedef void (*UpkeepFunction)(const UpkeepArgs&) noexcept nogil

    struct KernelTable:
        const char* isa
        void (*pack_weights)(const ProductArgs&) noexcept nogil
        void (*product)(const ProductArgs&, void*) noexcept nogil
        size_t (*product_scratch)(const ProductArgs&) noexcept nogil
        UpdateFunction update_exact
        size_t (*update_exact_scratch)(const UpdateArgs&) noexcept nogil
        size_t (*update_pulsed_scratch)(const UpdateArgs&) noexcept nogil
        int64_t (*longest_train)(const UpdateArgs&) noexcept nogil
        bint (*all_finite)(const float*, int64_t) noexcept nogil
        UpkeepFunction set_uniform
        UpkeepFunction clip
        UpkeepFunction decay
        UpkeepFunction diffuse
        UpkeepFunction reset
        UpkeepFunction drift
        UpkeepFunction apparent
        void (*update_compound)(const CompoundArgs&, void*) noexcept nogil
        size_t (*update_compound_scratch)(const CompoundArgs&) noexcept nogil
        void (*reduce_compound)(const CompoundArgs&) noexcept nogil
        const PopulateFunction* populate
        const UpdateFunction* update_pulsed
        void (*draw_words)(const uint32_t*, const uint32_t*, uint32_t*, int64_t) noexcept nogil
        void (*words_to_normals)(const uint32_t*, float*, int64_t) noexcept nogil
        void (*evaluate)(int32_t, const float*, const float*, float*, int64_t) noexcept nogil
        void (*count_pulses)(const UpdateArgs&, int32_t*, void*) noexcept nogil
        void (*pulse_normals)(const TileView&, const uint32_t*, const uint32_t*, float*, int64_t) noexcept nogil
        void (*show_pulses)(const UpdateArgs&, const uint32_t*, int64_t) noexcept nogil

    struct DeviceInfo:
        const char* name
        const char* params
        const char* cell
        bint pulsed
        bint aggregates

    struct Names:
        const char* pulsed
        const char* pulsed_cell
        const char* upkeep
        const char* drift
        const char* update
        const char* io
        const char* vector
        const char* one_sided
        const char* transfer
        const char* mixed

    const DeviceInfo* device_info(int)
    const Names& names()
    float exact_decay_factor(int, const float*, float)
    const KernelTable* kernel_table(const char*)
    const char* available_isa(int)
    int max_threads()
    uint64_t enter_default_environment()
    void restore_environment(uint64_t)
    float to_float32(double)
