// Purpose: how many pulses a word of random trains gives all crosspoints of a region together, in each direction.
// Included by: kernels.inl, before update.inl.
// Invariants: pulses are coincidences of slots, so their number is, slot by slot, that of the lines of x with that slot
// times that of the lines of d: exact, for any signs, and without a look at any crosspoint.

namespace rpupy {
namespace RPUPY_ISA_NAME {

constexpr int kMostCountBits = 36;  // of a number of lines, and a few on top

// How many lines have each slot, as numbers cut into bits: bit p of the count of slot s is bit s of plane[p]. Lines with a
// positive sign are counted in the lower half of the planes, those with a negative one in the upper half.
struct SlotCounts {
  uint64_t plane[kMostCountBits] = {};
  int planes = 0;

  // Adds counts of so many planes, as one adds by hand.
  void add(const uint64_t* other, int other_planes) {
    uint64_t carry = 0;
    int p = 0;
    for (; p < other_planes || carry != 0; ++p) {
      const uint64_t b = p < other_planes ? other[p] : 0;
      const uint64_t either = plane[p] ^ b;
      const uint64_t kept = plane[p] & b;
      plane[p] = either ^ carry;
      carry = kept | (either & carry);
    }
    if (p > planes) planes = p;
  }
};

// Adds three words bit by bit: `sum` is what stays in place.
struct BitSum {
  u32v sum, carry;
};
RPUPY_HD BitSum add_bits(u32v a, u32v b, u32v c) {
  const u32v either = a ^ b;
  return {either ^ c, (a & b) | (either & c)};
}

// The slots of n words, a multiple of 16. Each lane counts on its own, and at the end the lanes are added.
static SlotCounts count_slots(const uint32_t* words, int64_t n) {
  u32v plane[2][kMostCountBits];
  int planes = 2;
  while (planes < kMostCountBits && (int64_t{1} << planes) * kLanes <= n) ++planes;
  for (int p = 0; p < planes; ++p) plane[0][p] = plane[1][p] = u32v{};
  for (int64_t at = 0; at < n; at += 4 * kLanes) {
    u32v part[2][4];
    for (int k = 0; k < 4; ++k) {
      const u32v word = at + k * kLanes < n ? load(words + at + k * kLanes) : u32v{};
      const u32v negative = shift_right_signed(word, 31);
      part[0][k] = word & ~negative;
      part[1][k] = word & negative & kSlotBits;
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
  SlotCounts counts;
  for (int l = 0; l < kLanes; ++l) {
    uint64_t lane[kMostCountBits];
    for (int p = 0; p < planes; ++p) lane[p] = plane[0][p][l] | static_cast<uint64_t>(plane[1][p][l]) << 32;
    counts.add(lane, planes);
  }
  return counts;
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
