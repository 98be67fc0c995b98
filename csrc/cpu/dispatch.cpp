// Purpose: which instruction sets this machine and this build have, and the names that Python binds to.
// Invariants: compiled for the baseline; keeps nothing: the processor's answers are cached by the compiler's runtime.
#define RPUPY_ISA_NAME names_only
#include "../compound.h"
#include "../devices/device_list.h"
#include "../kernel_table.h"
#include "../mvm.h"
#include "../pulse.h"
#include "environment.h"

namespace rpupy {

namespace baseline {
extern const KernelTable table;
}
#if defined(RPUPY_X86_UNITS)
namespace avx2 {
extern const KernelTable table;
}
namespace avx512 {
extern const KernelTable table;
}
#endif

namespace {

using namespace names_only;

struct Candidate {
  const KernelTable* table;
  bool (*runs)();
};

bool always() { return true; }
#if defined(RPUPY_X86_UNITS)
bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512vpopcntdq");
}
#endif

const Candidate kCandidates[] = {
#if defined(RPUPY_X86_UNITS)
    {&avx512::table, has_avx512},
    {&avx2::table, has_avx2},
#endif
    {&baseline::table, always},
};

#define RPUPY_PULSED_INFO(Device) {Device::kName, Device::Params::names(), Device::Own<float>::names(), true},
#define RPUPY_EXACT_INFO(Device) {Device::kName, Device::Params::names(), "", false},
const DeviceInfo kDevices[] = {RPUPY_PULSED_DEVICES(RPUPY_PULSED_INFO) RPUPY_EXACT_DEVICES(RPUPY_EXACT_INFO)};
constexpr int kDeviceCount = sizeof(kDevices) / sizeof(kDevices[0]);

bool same(const char* a, const char* b) {
  while (*a != '\0' && *a == *b) ++a, ++b;
  return *a == *b;
}

}  // namespace

const char* available_isa(int number) {
  for (const Candidate& c : kCandidates) {
    if (c.runs() && number-- == 0) return c.table->isa;
  }
  return nullptr;
}

const KernelTable* kernel_table(const char* isa) {
  for (const Candidate& c : kCandidates) {
    if (c.runs() && same(c.table->isa, isa)) return c.table;
  }
  return nullptr;
}

const DeviceInfo* device_info(int number) { return number >= 0 && number < kDeviceCount ? &kDevices[number] : nullptr; }

const Names& names() {
  static const Names all = {PulsedParams::names(), PulsedCell<float>::names(), UpkeepCell<float>::names(),
                            DriftParams::names(),  UpdateParams::names(),      IOParams::names(),
                            VectorParams::names(), OneSidedParams::names(),    TransferParams::names(),
                            MixedParams::names()};
  return all;
}

float exact_decay_factor(int number, const float* own, float alpha) {
  const DefaultFloatingPoint environment;
#define RPUPY_FACTOR(Device)                                                           \
  if (same(kDevices[number].name, Device::kName)) {                                    \
    return Device::decay_factor(*reinterpret_cast<const Device::Params*>(own), alpha); \
  }
  RPUPY_EXACT_DEVICES(RPUPY_FACTOR)
#undef RPUPY_FACTOR
  return 1.0f;
}

int max_threads() {
#if defined(_OPENMP)
  return omp_get_max_threads();
#else
  return 1;
#endif
}

uint64_t enter_default_environment() {
  const uint64_t saved = environment_word();
  set_environment_word(kDefaultEnvironment);
  return saved;
}

void restore_environment(uint64_t saved) { set_environment_word(saved); }

float to_float32(double value) {
  const DefaultFloatingPoint environment;
  // Volatile, so that the conversion cannot move out of the environment.
  volatile double wide = value;
  volatile float narrow = static_cast<float>(wide);
  return narrow;
}

}  // namespace rpupy
