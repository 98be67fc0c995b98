// Purpose: the fixed-order matrix product on the SMs: C[r, c] = one chain of fma over k, ascending.
// Included by: update.cu and product.cu.
// Invariants: a chain belongs to one thread from its first term to its last, so tiles, grids and batches cannot change a
// bit. A thread has the columns c, c + 16, c + 32, c + 48 of a tile of 64, which is how outputs share random words.
#pragma once

#include "launch.h"

namespace rpupy {
namespace cuda {

// The shape of a block: kThreadRows x kThreadColumns threads with kRowsEach x kColumnsEach chains each, which take
// kDepth terms at a time from shared memory.
template <int kThreadRows_, int kRowsEach_, int kDepth_>
struct ChainShape {
  static constexpr int kThreadRows = kThreadRows_;
  static constexpr int kThreadColumns = 16;
  static constexpr int kRowsEach = kRowsEach_;
  static constexpr int kColumnsEach = 4;
  static constexpr int kDepth = kDepth_;
  static constexpr int kRows = kThreadRows * kRowsEach;
  static constexpr int kColumns = kThreadColumns * kColumnsEach;
  static constexpr int kThreads = kThreadRows * kThreadColumns;
};
using ManyRows = ChainShape<16, 4, 16>;
// A few vectors cannot fill tall tiles; narrower blocks keep more SMs busy.
using FewRows = ChainShape<4, 1, 32>;
constexpr int64_t kFewRows = 16;

// The chains of one thread.
template <class Shape, class Kept>
struct Chains {
  static constexpr int kRowsEach = Shape::kRowsEach;
  static constexpr int kColumnsEach = Shape::kColumnsEach;

  float sum[Shape::kRowsEach][Shape::kColumnsEach];
  Kept kept[Shape::kRowsEach][Shape::kColumnsEach];

  static RPUPY_BLOCK int row(int r) {
    return static_cast<int>(threadIdx.x) / Shape::kThreadColumns + r * Shape::kThreadRows;
  }
  static RPUPY_BLOCK int column(int c) {
    return static_cast<int>(threadIdx.x) % Shape::kThreadColumns + c * Shape::kThreadColumns;
  }
};

struct NothingKept {};

// Calls each(r, c) for the chains of this thread that lie in its tile.
template <class Mine, class Each>
RPUPY_BLOCK void for_each_chain(const Mine& mine, int64_t tile_rows, int64_t tile_columns, const Each& each) {
  RPUPY_UNROLL
  for (int r = 0; r < Mine::kRowsEach; ++r) {
    RPUPY_UNROLL
    for (int c = 0; c < Mine::kColumnsEach; ++c) {
      if (mine.row(r) < tile_rows && mine.column(c) < tile_columns) each(r, c);
    }
  }
}

// Runs the chains of the tiles [rows, columns], `depth` terms long. A Job says what they are made of:
//   skip(row, rows)           whether nothing of these rows is asked for
//   left(r, k), right(k, c)   the factors of term k; two constants tell which index runs along memory
//   start(r, c, kept)         where a chain begins; `kept`, of the type Kept, stays with the chain
//   term(a, b, sum, kept)     the next value of a chain
//   finish(chains, row, column, rows, columns)   what becomes of the chains of this thread in its tile
template <class Shape, class Job>
RPUPY_BLOCK void run_chains(const Job& job, int64_t rows, int64_t columns, int64_t depth) {
  // One column more than there are, or the transposing writes would all fall into one bank.
  RPUPY_SHARED(float, left, Shape::kDepth*(Shape::kRows + 1));
  RPUPY_SHARED(float, right, Shape::kDepth*(Shape::kColumns + 1));
  using Mine = Chains<Shape, typename Job::Kept>;
  PerThread<Mine> chains;
  const int64_t column_tiles = (columns + Shape::kColumns - 1) / Shape::kColumns;
  const int64_t row_tiles = (rows + Shape::kRows - 1) / Shape::kRows;
  for (int64_t tile = blockIdx.x; tile < row_tiles * column_tiles; tile += gridDim.x) {
    const int64_t row = tile / column_tiles * Shape::kRows;
    const int64_t column = tile % column_tiles * Shape::kColumns;
    const int64_t tile_rows = rows - row < Shape::kRows ? rows - row : Shape::kRows;
    const int64_t tile_columns = columns - column < Shape::kColumns ? columns - column : Shape::kColumns;
    if (job.skip(row, tile_rows)) continue;
    threads([&] {
      Mine& mine = chains.mine();
      RPUPY_UNROLL
      for (int r = 0; r < Shape::kRowsEach; ++r) {
        RPUPY_UNROLL
        for (int c = 0; c < Shape::kColumnsEach; ++c) {
          const bool inside = mine.row(r) < tile_rows && mine.column(c) < tile_columns;
          mine.kept[r][c] = {};
          mine.sum[r][c] = inside ? job.start(row + mine.row(r), column + mine.column(c), mine.kept[r][c]) : 0.0f;
        }
      }
    });
    for (int64_t k = 0; k < depth; k += Shape::kDepth) {
      const int part = static_cast<int>(depth - k < Shape::kDepth ? depth - k : Shape::kDepth);
      phase([&] {
        // Neighbouring threads read neighbouring memory. Lines behind the end are zero; no chain of theirs is kept.
        for_block(Shape::kRows * Shape::kDepth, [&](int64_t n) {
          const int r = static_cast<int>(Job::kLeftRunsOverDepth ? n / Shape::kDepth : n % Shape::kRows);
          const int t = static_cast<int>(Job::kLeftRunsOverDepth ? n % Shape::kDepth : n / Shape::kRows);
          const bool inside = r < tile_rows && t < part;
          left[t * (Shape::kRows + 1) + r] = inside ? job.left(row + r, k + t) : 0.0f;
        });
        for_block(Shape::kColumns * Shape::kDepth, [&](int64_t n) {
          const int c = static_cast<int>(Job::kRightRunsOverColumns ? n % Shape::kColumns : n / Shape::kDepth);
          const int t = static_cast<int>(Job::kRightRunsOverColumns ? n / Shape::kColumns : n % Shape::kDepth);
          const bool inside = c < tile_columns && t < part;
          right[t * (Shape::kColumns + 1) + c] = inside ? job.right(k + t, column + c) : 0.0f;
        });
      });
      phase([&] {
        Mine& mine = chains.mine();
        for (int t = 0; t < part; ++t) {
          RPUPY_UNROLL
          for (int r = 0; r < Shape::kRowsEach; ++r) {
            const float a = left[t * (Shape::kRows + 1) + mine.row(r)];
            RPUPY_UNROLL
            for (int c = 0; c < Shape::kColumnsEach; ++c) {
              const float b = right[t * (Shape::kColumns + 1) + mine.column(c)];
              mine.sum[r][c] = job.term(a, b, mine.sum[r][c], mine.kept[r][c]);
            }
          }
        }
      });
    }
    threads([&] { job.finish(chains.mine(), row, column, tile_rows, tile_columns); });
  }
}

// Blocks of a launch of run_chains.
template <class Shape>
inline unsigned chain_blocks(int64_t rows, int64_t columns) {
  return blocks_for((rows + Shape::kRows - 1) / Shape::kRows * ((columns + Shape::kColumns - 1) / Shape::kColumns));
}

}  // namespace cuda
}  // namespace rpupy
