// Purpose: the exact rank-one updates of a mini-batch: w = fma(-(lr d_b), x_b, w), vector after vector.
// Invariants: a product whose chains start at the present weights; with bounds, each term is followed by a clip.
#include "chains.h"

#include "../csrc/number.h"
#include "launchers.h"

namespace rpupy {
namespace cuda {

struct ExactBase {
  static constexpr bool kLeftRunsOverDepth = false;
  static constexpr bool kRightRunsOverColumns = true;

  const float* x;
  const float* d;
  const float* low;
  const float* high;
  float* weights;
  float lr;
  int64_t out_size, in_size;

  RPUPY_BLOCK bool skip(int64_t, int64_t) const { return false; }
  RPUPY_BLOCK float left(int64_t r, int64_t k) const { return -(lr * d[k * out_size + r]); }
  RPUPY_BLOCK float right(int64_t k, int64_t c) const { return x[k * in_size + c]; }

  template <class Mine>
  RPUPY_BLOCK void finish(const Mine& mine, int64_t row, int64_t column, int64_t rows, int64_t columns) const {
    for_each_chain(mine, rows, columns, [&](int r, int c) {
      weights[(row + mine.row(r)) * in_size + column + mine.column(c)] = mine.sum[r][c];
    });
  }
};

struct ExactUpdate : ExactBase {
  using Kept = NothingKept;
  RPUPY_BLOCK float start(int64_t r, int64_t c, Kept&) const { return weights[r * in_size + c]; }
  RPUPY_BLOCK float term(float a, float b, float sum, const Kept&) const { return fma(a, b, sum); }
};

struct BoundedUpdate : ExactBase {
  struct Kept {
    float low, high;
  };
  RPUPY_BLOCK float start(int64_t r, int64_t c, Kept& kept) const {
    kept = {low[r * in_size + c], high[r * in_size + c]};
    return weights[r * in_size + c];
  }
  RPUPY_BLOCK float term(float a, float b, float sum, const Kept& kept) const {
    return clamp(fma(a, b, sum), kept.low, kept.high);
  }
};

template <class Shape, class Job>
RPUPY_KERNEL(Shape::kThreads)
exact_kernel(Job job, int64_t batch) {
  run_chains<Shape>(job, job.out_size, job.in_size, batch);
}

template <class Job>
static Status run_exact(const Place& place, const Job& job, int64_t batch) {
  const OnDevice current(place.device);
  RPUPY_TRY(current.status());
  const unsigned blocks = chain_blocks<ManyRows>(job.out_size, job.in_size);
  return RPUPY_LAUNCH((exact_kernel<ManyRows, Job>), blocks, ManyRows::kThreads, place, job, batch);
}

Status update_exact(const Place& place, const UpdateArgs& args) {
  const ExactBase base = {args.x,       args.d,  args.low,           args.high,
                          args.weights, args.lr, args.tile.out_size, args.tile.in_size};
  if (args.low != nullptr) return run_exact(place, BoundedUpdate{base}, args.batch);
  return run_exact(place, ExactUpdate{base}, args.batch);
}

}  // namespace cuda
}  // namespace rpupy
