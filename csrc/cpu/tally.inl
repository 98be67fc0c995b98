// Purpose: how many pulses words of random trains give all crosspoints of a region together, in each direction.
// Included by: kernels.inl, before update.inl.
// Invariants: pulses are coincidences of slots, so their number is, slot by slot, that of the lines of x with that slot
// times that of the lines of d: exact, for any signs, and without a look at any crosspoint.

namespace rpupy {
namespace RPUPY_ISA_NAME {

constexpr int kMostCountBits = 36;  // of a number of lines, and a few on top

// How many lines have each slot, as numbers cut into bits: bit p of the count of slot s is bit s of plane[p]. Lines with a
// positive sign are counted in the lower half of the planes, those with a negative one in the upper half.
struct SlotCounts {
  uint64_t plane[kMostCountBits];
  int planes;
};

// Adds three words bit by bit: `sum` is what stays in place.
struct BitSum {
  u32v sum, carry;
};
RPUPY_HD BitSum add_bits(u32v a, u32v b, u32v c) {
  const u32v either = a ^ b;
  return {either ^ c, (a & b) | (either & c)};
}

// The counts of all lanes, added pairwise, come to stand in lane 0; returns how many planes they take.
template <int kWidth>
static int add_lanes(uint64_t (*lanes)[kLanes], int planes) {
  if constexpr (kWidth > 0) {
    uint64_t carry[kWidth] = {};
    for (int p = 0; p < planes; ++p) {
      for (int l = 0; l < kWidth; ++l) {
        const uint64_t a = lanes[p][l], b = lanes[p][l + kWidth];
        const uint64_t either = a ^ b;
        lanes[p][l] = either ^ carry[l];
        carry[l] = (a & b) | (either & carry[l]);
      }
    }
    for (int l = 0; l < kWidth; ++l) lanes[planes][l] = carry[l];
    return add_lanes<kWidth / 2>(lanes, planes + 1);
  }
  return planes;
}

// Words of one side, of trains that are so short that their slots stand side by side in 32 bits.
struct WordGroup {
  int32_t count;
  int32_t shift[32];  // where the slots of each word come to stand

  // Takes a word of so many slots, if there is room.
  bool take(int32_t slots, int32_t& used) {
    if (used + slots > 32) return false;
    shift[count++] = used;
    used += slots;
    return true;
  }
};

// The slots of a group of words, `stride` apart, of n lines, a multiple of 16. Each lane counts on its own, and at the end
// the lanes are added.
static void count_slots(const uint32_t* words, int64_t stride, const WordGroup& group, int64_t n, SlotCounts& counts) {
  u32v plane[2][kMostCountBits];
  int planes = 2;
  while (planes < kMostCountBits && (int64_t{1} << planes) * kLanes <= n) ++planes;
  for (int p = 0; p < planes; ++p) plane[0][p] = plane[1][p] = u32v{};
  for (int64_t at = 0; at < n; at += 4 * kLanes) {
    u32v part[2][4];
    for (int k = 0; k < 4; ++k) {
      const int64_t line = at + k * kLanes;
      part[0][k] = part[1][k] = u32v{};
      for (int g = 0; line < n && g < group.count; ++g) {
        const u32v word = load(words + g * stride + line);
        const u32v negative = shift_right_signed(word, 31);
        part[0][k] = part[0][k] | (word & ~negative) << group.shift[g];
        part[1][k] = part[1][k] | (word & negative & kSlotBits) << group.shift[g];
      }
    }
    for (int sign = 0; sign < 2; ++sign) {
      const u32v* w = part[sign];
      u32v* to = plane[sign];
      const BitSum first = add_bits(to[0], w[0], w[1]);
      const BitSum second = add_bits(first.sum, w[2], w[3]);
      const BitSum twos = add_bits(to[1], first.carry, second.carry);
      to[0] = second.sum;
      to[1] = twos.sum;
      u32v carry = twos.carry;
      for (int p = 2; p < planes; ++p) {
        const u32v kept = to[p] & carry;
        to[p] = to[p] ^ carry;
        carry = kept;
      }
    }
  }
  uint64_t lanes[kMostCountBits][kLanes];
  for (int p = 0; p < planes; ++p) {
    for (int l = 0; l < kLanes; ++l) lanes[p][l] = plane[0][p][l] | static_cast<uint64_t>(plane[1][p][l]) << 32;
  }
  counts.planes = add_lanes<kLanes / 2>(lanes, planes);
  // Few lines have the same slot: half of the planes or more are empty, and each costs as many as the other side has.
  while (counts.planes > 0 && lanes[counts.planes - 1][0] == 0) --counts.planes;
  for (int p = 0; p < counts.planes; ++p) counts.plane[p] = lanes[p][0];
}

// Coincidences of lines with equal and with different signs.
struct Coincidences {
  int64_t equal, different;
};

static Coincidences coincidences(const SlotCounts& x, const SlotCounts& d) {
  Coincidences found = {0, 0};
  for (int q = 0; q < d.planes; ++q) {
    const uint64_t same = d.plane[q], turned = same << 32 | same >> 32;
    for (int p = 0; p < x.planes; ++p) {
      found.equal += static_cast<int64_t>(__builtin_popcountll(x.plane[p] & same)) << (p + q);
      found.different += static_cast<int64_t>(__builtin_popcountll(x.plane[p] & turned)) << (p + q);
    }
  }
  return found;
}

}  // namespace RPUPY_ISA_NAME
}  // namespace rpupy
