// Purpose: from the products of the array to the result: disturbances, output converter, digital sum.
// Included by: mvm.h.
// Invariants: four sets of lines that share blocks of random words are finished together. The text for every option
// (kFull) and that for outputs with asymmetry, noise and converter alone are one template and give the same bits.
#pragma once

#include "array.h"
#include "input.h"

namespace rpupy {
namespace RPUPY_ISA_NAME {

// What does not change from vector to vector.
struct OutputPlan {
  IOParams io;
  float step;    // of the output converter
  float inputs;  // lines that drive the array
  int passes;
  bool digital;  // one conversion for each pass
  bool timed;    // the array is read in time slices
  float charge_unit;
  bool quiet;  // a trace shows the product without the noise of conductances, too
  LineParams lines;

  // Whether anything beyond asymmetry, noises and converter acts on outputs.
  RPUPY_HD bool full() const {
    return passes > 1 || timed || io.ir_drop > 0.0f || io.r_series > 0.0f || lines.v_offset != nullptr ||
           lines.out_nonlinearity != nullptr || lines.out_noise_values != nullptr || lines.ladder.segments > 0 ||
           has_weight_noise(io, kWeightNoiseRead);
  }
};

RPUPY_HD OutputPlan output_plan(const ProductArgs& args) {
  OutputPlan plan = {};
  plan.io = *reinterpret_cast<const IOParams*>(args.io);
  plan.step = converter_step(plan.io.out_res, plan.io.out_bound);
  plan.inputs = static_cast<float>(args.backward ? args.tile.out_size : args.tile.in_size);
  plan.passes = passes_of(plan.io);
  plan.digital = adds_digitally(plan.io);
  plan.timed = args.lines.slice_offset != nullptr || args.lines.ladder.timed != 0;
  plan.quiet = shows_quiet_product(args);
  plan.charge_unit = args.lines.charge_unit;
  plan.lines = args.lines;
  return plan;
}

// S-shaped compression of an output.
template <class F>
RPUPY_HD F compress(F v, F strength, float factor) {
  return v * factor / (magnitude(strength * v) + 1.0f);
}

// Finishes a set of lines, and three more that share its blocks of random words. `Lines` knows the vector and the lines:
//   has(l)                      whether there is a set l of them
//   facts(pass)                 numbers of the pass
//   product(pass, feed, l)      what the array gave
//   of(plane, l)                the lines' values of a plane
//   block(purpose, pass)        random words
//   see(stage, pass, l, value)  a step on the way, for traces
//   clip(mask, l)               which outputs left the range of the converter
//   put(l, value)               the result, without its digital factor
template <class F, bool kFull, class Lines>
RPUPY_HD void finish_lines(const OutputPlan& plan, Lines& lines) {
  const IOParams& io = plan.io;
  const F zero = all_lanes<F>(0.0f);
  const int passes = kFull ? plan.passes : 1;
  F sum[4] = {}, total[4] = {};
  for (int pass = 0; pass < passes; ++pass) {
    const PassFacts facts = lines.facts(pass);
    const bool read_noise = kFull && has_weight_noise(io, kWeightNoiseRead);
    Normals<F> weight_noise = {};
    if (facts.norm > 0.0f || read_noise) weight_noise = normals<F>(lines.block(kWeightNoise, pass));

    // The analog output of this pass.
    const auto analog = [&](int l) {
      F y = lines.product(pass, kFull && plan.quiet ? kFeedQuiet : kFeedInput, l);
      lines.see(kStageProduct, pass, l, y);
      if (kFull && io.ir_drop > 0.0f) {
        y = drop_along_wires(io, plan.inputs, y, lines.product(pass, kFeedCurrent, l),
                             lines.product(pass, kFeedSlope, l));
      }
      lines.see(kStageIRDrop, pass, l, y);
      if (kFull && (io.r_series > 0.0f || plan.lines.v_offset != nullptr)) {
        const F v = plan.lines.v_offset != nullptr ? lines.of(plan.lines.v_offset, l) : zero;
        y = drive_through_resistance(io, y, v, facts.sum);
      }
      lines.see(kStageSeries, pass, l, y);
      if (facts.norm > 0.0f) y = fma(all_lanes<F>(io.w_noise * facts.norm), weight_noise.z[l], y);
      if (read_noise) {
        const F spread = square_root(lines.product(pass, kFeedSquare, l)) * (io.w_noise * facts.power);
        y = fma(spread, weight_noise.z[l], y);
      }
      if (kFull && plan.quiet) y = lines.product(pass, kFeedInput, l);
      lines.see(kStageWeightNoise, pass, l, y);
      if (kFull && plan.timed) {
        const F offset = plan.lines.slice_offset != nullptr ? lines.of(plan.lines.slice_offset, l)
                                                            : lines.product(pass, kFeedOffset, l);
        y = fma(all_lanes<F>(slices_of_pass(io, pass)), offset, y);
        if (plan.charge_unit > 0.0f) y = count_charge(y, plan.charge_unit);
      }
      lines.see(kStageCharge, pass, l, y);
      return y;
    };

    if (kFull && plan.passes > 1) {
      RPUPY_UNROLL
      for (int l = 0; l < 4; ++l) {
        if (!lines.has(l)) continue;
        const F y = analog(l);
        sum[l] = plan.digital || pass == 0 ? y : sum[l] + y;
      }
      if (!plan.digital && pass + 1 < passes) continue;
    }
    const bool apart = kFull && plan.passes > 1;
    const int conversion = kFull && plan.digital ? pass : 0;

    const bool rounds = io.out_sto_round != 0.0f && plan.step > 0.0f;
    const bool own_noise = kFull && plan.lines.out_noise_values != nullptr;
    const bool noise = own_noise || io.out_noise > 0.0f;
    Block<UIntOf<F>> words = {};
    Normals<F> z = {};
    if (rounds) words = lines.block(kOutputRound, conversion);
    if (noise) z = normals<F>(lines.block(kOutputNoise, conversion));
    RPUPY_UNROLL
    for (int l = 0; l < 4; ++l) {
      if (!lines.has(l)) continue;
      F v = apart ? sum[l] : analog(l);
      if (kFull && (plan.lines.out_nonlinearity != nullptr || io.r_series > 0.0f)) {
        const F strength = plan.lines.out_nonlinearity != nullptr ? lines.of(plan.lines.out_nonlinearity, l) : zero;
        v = compress(v, strength, plan.lines.out_nonlinearity_factor);
      }
      lines.see(kStageNonlinearity, conversion, l, v);
      if (io.out_asymmetry != 0.0f) v = select(less(v, zero), v * (1.0f - io.out_asymmetry), v);
      lines.see(kStageOutputAsymmetry, conversion, l, v);
      if (noise) v = fma(own_noise ? lines.of(plan.lines.out_noise_values, l) : all_lanes<F>(io.out_noise), z.z[l], v);
      lines.see(kStageOutputNoise, conversion, l, v);
      if (plan.step > 0.0f) v = to_grid(v, plan.step, rounds ? F(uniform<F>(words.w[l]) - 0.5f) : zero);
      lines.see(kStageOutputRounded, conversion, l, v);
      if (io.out_bound > 0.0f) {
        const F bound = all_lanes<F>(io.out_bound);
        MaskOf<F> clipped = less(bound, v);
        if (io.bm_test_negative_bound != 0.0f) clipped = either(clipped, less(v, -bound));
        lines.clip(clipped, l);
        v = clamp(v, -bound, bound);
      }
      lines.see(kStageOutputClipped, conversion, l, v);
      if (apart && plan.digital) {
        total[l] = conversion == 0 ? v : fma(all_lanes<F>(weight_of_pass(io, pass)), v, total[l]);
        v = total[l];
      }
      if (pass + 1 == passes) lines.put(l, v);
    }
  }
}

}  // namespace RPUPY_ISA_NAME
}  // namespace rpupy
