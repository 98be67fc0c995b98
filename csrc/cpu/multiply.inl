// Purpose: the fixed-order matrix product: C[r, c] = one chain of fma over k, ascending, started at 0 or at C.
// Included by: kernels.inl.
// Invariants: lanes are columns and a chain is never split, so tiles, batches and threads cannot change a bit.
// Blocks of kDepth terms store the chains to C and load them again, which keeps them.

namespace rpupy {
namespace RPUPY_ISA_NAME {

constexpr int64_t kPanel = kLanes == 8 ? 16 : 32;   // columns that a micro kernel holds in registers
constexpr int64_t kDepth = 64 * 1024 / 4 / kPanel;  // terms between two visits of C: a panel of this depth stays in L2
constexpr int kVectors = static_cast<int>(kPanel / kLanes);
// Rows by kVectors accumulators, leaving registers for a panel row and a broadcast.
constexpr int kMaxRows = kLanes == 16 ? 12 : (kLanes == 8 ? 6 : 2);
constexpr int64_t kCopied = 64 / kPanel;  // panels that are copied together: runs of memory, and fewer pages at a time
// Few rows have few chains: they take several panels together, so that no chain waits for its last term.
constexpr int panels_for(int rows) { return kLanes == 4 ? 1 : (rows == 1 ? 4 : (rows <= 3 ? 2 : 1)); }

RPUPY_HD int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

// P panels that are `next` numbers apart. With kMagnitudes, B counts with the magnitudes of its elements.
template <int R, int P, bool kMagnitudes>
static void micro_kernel(const float* a, int64_t lda, const float* b, int64_t ldb, int64_t next, int64_t depth,
                         float* c, int64_t ldc, bool resume) {
  constexpr int kAll = P * kVectors;
  f32v acc[R][kAll];
#pragma GCC unroll 12
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < kAll; ++v) acc[r][v] = resume ? load(c + r * ldc + v * kLanes) : f32v{};
  }
  for (int64_t k = 0; k < depth; ++k) {
    f32v row[kAll];
#pragma GCC unroll 16
    for (int v = 0; v < kAll; ++v) {
      row[v] = load(b + k * ldb + v / kVectors * next + v % kVectors * kLanes);
      if (kMagnitudes) row[v] = magnitude(row[v]);
    }
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) {
      const f32v factor = all_lanes<f32v>(a[r * lda + k]);
#pragma GCC unroll 16
      for (int v = 0; v < kAll; ++v) acc[r][v] = fma(factor, row[v], acc[r][v]);
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < kAll; ++v) store(c + r * ldc + v * kLanes, acc[r][v]);
  }
}

using MicroKernel = void (*)(const float*, int64_t, const float*, int64_t, int64_t, int64_t, float*, int64_t, bool);

template <int R, bool kMagnitudes>
struct MicroKernels {
  static MicroKernel one(int rows) {
    return rows == R ? micro_kernel<R, 1, kMagnitudes> : MicroKernels<R - 1, kMagnitudes>::one(rows);
  }
  static MicroKernel several(int rows) {
    return rows == R ? micro_kernel<R, panels_for(R), kMagnitudes> : MicroKernels<R - 1, kMagnitudes>::several(rows);
  }
};
template <bool kMagnitudes>
struct MicroKernels<1, kMagnitudes> {
  static MicroKernel one(int) { return micro_kernel<1, 1, kMagnitudes>; }
  static MicroKernel several(int) { return micro_kernel<1, panels_for(1), kMagnitudes>; }
};

// One panel of columns for any number of rows. `c` has room for a whole panel.
template <bool kMagnitudes = false>
static void multiply_panel(int64_t rows, const float* a, int64_t lda, const float* b, int64_t ldb, int64_t depth,
                           float* c, int64_t ldc, bool resume) {
  const int64_t blocks = (rows + kMaxRows - 1) / kMaxRows;
  for (int64_t block = 0; block < blocks; ++block) {
    const int64_t from = rows * block / blocks;
    const int64_t to = rows * (block + 1) / blocks;
    MicroKernels<kMaxRows, kMagnitudes>::one(static_cast<int>(to - from))(a + from * lda, lda, b, ldb, 0, depth,
                                                                          c + from * ldc, ldc, resume);
  }
}

// Panels in order, `next` numbers apart. `c` has room for all of them.
template <bool kMagnitudes>
static void multiply_panels(int64_t panels, int64_t rows, const float* a, int64_t lda, const float* b, int64_t next,
                            int64_t depth, float* c, int64_t ldc, bool resume) {
  if (rows == 0) return;
  int64_t p = 0;
  const int together = rows <= kMaxRows ? panels_for(static_cast<int>(rows)) : 1;
  for (; together > 1 && p + together <= panels; p += together) {
    MicroKernels<kMaxRows, kMagnitudes>::several(static_cast<int>(rows))(a, lda, b + p * next, kPanel, next, depth,
                                                                         c + p * kPanel, ldc, resume);
  }
  for (; p < panels; ++p) {
    multiply_panel<kMagnitudes>(rows, a, lda, b + p * next, kPanel, depth, c + p * kPanel, ldc, resume);
  }
}

// Copies `depth` rows of up to kPanel columns next to each other, with zeros behind the last column.
static void copy_panel(const float* b, int64_t ldb, int64_t columns, int64_t depth, float* panel) {
  for (int64_t k = 0; k < depth; ++k) {
    for (int64_t c = 0; c < kPanel; c += kLanes) {
      const int64_t left = columns - c;
      const f32v v = left >= kLanes ? load(b + k * ldb + c)
                                    : (left > 0 ? load_part(b + k * ldb + c, static_cast<int>(left)) : f32v{});
      store(panel + k * kPanel + c, v);
    }
  }
}

// Whole panels, row by row of memory.
static void copy_panels(const float* b, int64_t ldb, int64_t panels, int64_t depth, float* to) {
  for (int64_t k = 0; k < depth; ++k) {
    for (int64_t p = 0; p < panels; ++p) {
#pragma GCC unroll 8
      for (int64_t c = 0; c < kPanel; c += kLanes) {
        store(to + (p * depth + k) * kPanel + c, load(b + k * ldb + p * kPanel + c));
      }
    }
  }
}

// ---- rows of memory ------------------------------------------------------------------------------

constexpr int kStreamed = 8;             // rows of B that pass by a row of C together
constexpr int64_t kStreamColumns = 512;  // of them, that stay in L1 for the other rows of C

// K terms of one row of C. `c` has room for whole vectors.
template <int K, bool kMagnitudes>
static void stream_rows(const float* a, const float* b, int64_t ldb, int64_t columns, float* c, bool resume) {
  f32v factor[K];
#pragma GCC unroll 8
  for (int k = 0; k < K; ++k) factor[k] = all_lanes<f32v>(a[k]);
  for (int64_t j = 0; j < columns; j += kLanes) {
    const int64_t left = columns - j;
    f32v sum = resume ? load(c + j) : f32v{};
#pragma GCC unroll 8
    for (int k = 0; k < K; ++k) {
      const float* at = b + k * ldb + j;
      const f32v row = left >= kLanes ? load(at) : load_part(at, static_cast<int>(left));
      sum = fma(factor[k], kMagnitudes ? magnitude(row) : row, sum);
    }
    store(c + j, sum);
  }
}

// C = A B of few rows, for B in C order, which is read once from beginning to end.
template <bool kMagnitudes>
static void multiply_few_rows(int64_t rows, const float* a, int64_t lda, const float* b, int64_t ldb, int64_t depth,
                              int64_t columns, float* c, int64_t ldc) {
  int64_t k = 0;
  for (; k + kStreamed <= depth; k += kStreamed) {
    for (int64_t r = 0; r < rows; ++r) {
      stream_rows<kStreamed, kMagnitudes>(a + r * lda + k, b + k * ldb, ldb, columns, c + r * ldc, k > 0);
    }
  }
  for (; k < depth; ++k) {
    for (int64_t r = 0; r < rows; ++r) {
      stream_rows<1, kMagnitudes>(a + r * lda + k, b + k * ldb, ldb, columns, c + r * ldc, k > 0);
    }
  }
}

// C = A B for B in C order. `c` has room for whole panels; `panel` for kCopied * kDepth * kPanel numbers.
template <bool kMagnitudes = false>
static void multiply_rows(int64_t rows, const float* a, int64_t lda, const float* b, int64_t ldb, int64_t depth,
                          int64_t first_column, int64_t last_column, float* c, int64_t ldc, float* panel) {
  if (rows <= kMaxRows) {
    const int64_t step = rows == 1 ? last_column - first_column : kStreamColumns;
    for (int64_t column = first_column; column < last_column; column += step) {
      const int64_t columns = last_column - column < step ? last_column - column : step;
      multiply_few_rows<kMagnitudes>(rows, a, lda, b + column, ldb, depth, columns, c + column, ldc);
    }
    return;
  }
  for (int64_t k = 0; k < depth; k += kDepth) {
    const int64_t part = depth - k < kDepth ? depth - k : kDepth;
    int64_t column = first_column;
    for (; column + kPanel <= last_column;) {
      const int64_t whole = (last_column - column) / kPanel;
      const int64_t panels = whole < kCopied ? whole : kCopied;
      copy_panels(b + k * ldb + column, ldb, panels, part, panel);
      multiply_panels<kMagnitudes>(panels, rows, a + k, lda, panel, part * kPanel, part, c + column, ldc, k > 0);
      column += panels * kPanel;
    }
    if (column < last_column) {
      copy_panel(b + k * ldb + column, ldb, last_column - column, part, panel);
      multiply_panel<kMagnitudes>(rows, a + k, lda, panel, kPanel, part, c + column, ldc, k > 0);
    }
  }
}

// ---- packed weights ------------------------------------------------------------------------------

// Packed weights: panels of kPanel outputs; in a panel input after input, each with its kPanel weights.
RPUPY_HD float* panel_of(float* packed, int64_t panel, int64_t in_size) { return packed + panel * in_size * kPanel; }

#if RPUPY_LANES == 16
// A 16 x 16 block, rows to columns, in registers.
RPUPY_HD void transpose_block(const float* from, int64_t ld, float* to) {
  __m512 r[16], t[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) r[i] = _mm512_loadu_ps(from + i * ld);
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    t[2 * i] = _mm512_unpacklo_ps(r[2 * i], r[2 * i + 1]);
    t[2 * i + 1] = _mm512_unpackhi_ps(r[2 * i], r[2 * i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    r[4 * i] = _mm512_shuffle_ps(t[4 * i], t[4 * i + 2], 0x44);
    r[4 * i + 1] = _mm512_shuffle_ps(t[4 * i], t[4 * i + 2], 0xEE);
    r[4 * i + 2] = _mm512_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0x44);
    r[4 * i + 3] = _mm512_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0xEE);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0xDD);
    t[i + 8] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0xDD);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    _mm512_storeu_ps(to + i * kPanel, _mm512_shuffle_f32x4(t[i], t[i + 8], 0x88));
    _mm512_storeu_ps(to + (i + 8) * kPanel, _mm512_shuffle_f32x4(t[i], t[i + 8], 0xDD));
    _mm512_storeu_ps(to + (i + 4) * kPanel, _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0x88));
    _mm512_storeu_ps(to + (i + 12) * kPanel, _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0xDD));
  }
}
#elif RPUPY_LANES == 8
// The same, in four blocks of 8 x 8.
RPUPY_HD void transpose_block(const float* from, int64_t ld, float* to) {
#pragma GCC unroll 4
  for (int part = 0; part < 4; ++part) {
    const float* rows = from + part / 2 * 8 * ld + part % 2 * 8;
    float* columns = to + part % 2 * 8 * kPanel + part / 2 * 8;
    __m256 r[8], t[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) r[i] = _mm256_loadu_ps(rows + i * ld);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      t[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
      t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
    }
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i) {
      r[4 * i] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0x44);
      r[4 * i + 1] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0xEE);
      r[4 * i + 2] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0x44);
      r[4 * i + 3] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0xEE);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      _mm256_storeu_ps(columns + i * kPanel, _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
      _mm256_storeu_ps(columns + (i + 4) * kPanel, _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
    }
  }
}
#else
RPUPY_HD void transpose_block(const float* from, int64_t ld, float* to) {
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < 16; ++j) to[j * kPanel + i] = from[i * ld + j];
  }
}
#endif

static void pack_panel(const float* weights, int64_t in_size, int64_t outputs, float* panel) {
  for (int64_t j = 0; j < in_size; j += 16) {
    for (int64_t i = 0; i < kPanel; i += 16) {
      if (j + 16 <= in_size && i + 16 <= outputs) {
        transpose_block(weights + i * in_size + j, in_size, panel + j * kPanel + i);
        continue;
      }
      for (int64_t jj = j; jj < j + 16 && jj < in_size; ++jj) {
        for (int64_t ii = i; ii < i + 16; ++ii) {
          panel[jj * kPanel + ii] = ii < outputs ? weights[ii * in_size + jj] : 0.0f;
        }
      }
    }
  }
}

static void pack_weights(const TileView& tile, const float* weights, float* packed) {
  const int threads = worthwhile_threads(tile.threads, tile.out_size * tile.in_size / 4);
  run_team(threads, [&](const Member& member) {
    int64_t from, to;
    member.share(tile.out_size, kPanel, from, to);
    for (int64_t i = from; i < to; i += kPanel) {
      pack_panel(weights + i * tile.in_size, tile.in_size, tile.out_size - i,
                 panel_of(packed, i / kPanel, tile.in_size));
    }
  });
}

static void pack_weights(const ProductArgs& args) {
  pack_weights(args.tile, args.weights, args.packed);
  if (args.negative_packed != nullptr) pack_weights(args.tile, args.negative_weights, args.negative_packed);
}

}  // namespace RPUPY_ISA_NAME
}  // namespace rpupy
