#pragma once

#include <cstdint>
#include <string>

#include "engine/flow/graph_spec.h"
#include "tests/flow/sim_cases.h"

namespace freshet::testing {

/// A pipeline drawn from a seed: one to three bounded sources of numbers, then filters, columns by key, windows,
/// forests, outliers and alerts of the real kind over branches and unions of them, each result in a sink that may be
/// cut or that publishes.
class RandomPipeline {
 public:
  explicit RandomPipeline(uint64_t seed);
  /// As a pipeline file, to look at.
  const std::string& text() const { return text_; }
  /// What is wrong with the text; "" always, unless the generator is.
  const std::string& problems() const { return problems_; }
  GraphSpec Spec(Outputs* outputs) const;

 private:
  void Write(Rng& rng);
  std::string WriteOperator(Rng& rng, const std::string& id);
  std::string Inputs(Rng& rng);

  std::string text_;
  std::string problems_;
  std::vector<NumbersOptions> sources_;
  std::vector<std::string> streams_;    // with columns k and v
  std::vector<std::string> terminals_;  // without
  int64_t credit_rows_ = 0;
  uint64_t publishing_ = 0;
  GraphSpec spec_;
};

}  // namespace freshet::testing
