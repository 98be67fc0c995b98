// Purpose: the only list of devices. Kernel tables, name tables and launchers expand from it.
// Included by: the ISA units, dispatch.cpp and the CUDA launchers.
// Invariants: one line for each device.
#pragma once

#include "constant_step.h"
#include "damped_step.h"
#include "exp_step.h"
#include "floating_point.h"
#include "ideal.h"
#include "linear_step.h"
#include "piecewise_step.h"
#include "pow_step.h"
#include "pow_step_reference.h"
#include "soft_bounds.h"
#include "soft_bounds_reference.h"

// clang-format off
#define RPUPY_PULSED_DEVICES(X) \
  X(ConstantStep)               \
  X(LinearStep)                 \
  X(SoftBounds)                 \
  X(SoftBoundsReference)        \
  X(ExpStep)                    \
  X(PowStep)                    \
  X(PowStepReference)           \
  X(PiecewiseStep)              \
  X(DampedStep)

#define RPUPY_EXACT_DEVICES(X) \
  X(FloatingPoint)             \
  X(Ideal)
// clang-format on
