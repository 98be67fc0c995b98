// Purpose: the analog product of one vector, as functions of one line: from the input to the output converter.
// Included by: the product kernels of each backend.
// Invariants: 64 lines share 16 blocks: lines 64 q + 16 l + r, l = 0..3, take value l of block 16 q + r, so that a set of
// 16 lanes needs no transposition. Draw: round of bound management << 4 | pass. What is switched off draws nothing and
// leaves the draws of the others as they are.
#pragma once

#include "mvm/array.h"
#include "mvm/input.h"
#include "mvm/io.h"
#include "mvm/ladder.h"
#include "mvm/management.h"
#include "mvm/output.h"
