#pragma once

#include <cstdint>
#include <string>

#include "engine/flow/graph_spec.h"
#include "tests/flow/sim_cases.h"

namespace freshet::testing {

/// A pipeline drawn from a seed: one to three bounded sources of numbers, then filters, columns by key, windows,
/// forests, outliers and alerts of the real kind over branches and unions of them, each result in a sink that may be
/// cut or that publishes.
///
/// With `windows` most steps are windows of all kinds, with late rows allowed and early results, and joins of them. A
/// third of these pipelines reads live sources: one that is never idle, which must change nothing; or several, with
/// idle partitions and windows of the wall clock, where only the invariants say what is right (`comparable`).
class RandomPipeline {
 public:
  explicit RandomPipeline(uint64_t seed, bool windows = false);
  /// As a pipeline file, to look at.
  const std::string& text() const { return text_; }
  /// What is wrong with the text; "" always, unless the generator is.
  const std::string& problems() const { return problems_; }
  GraphSpec Spec(Outputs* outputs) const;
  /// Each run gives the same output.
  bool comparable() const { return live_ != Live::kIdle; }
  /// What the sources have, all together.
  int64_t row_count() const;

 private:
  void Write(Rng& rng, bool windows);
  std::string WriteOperator(Rng& rng, const std::string& id);
  std::string WriteWindow(Rng& rng, const std::string& id);
  std::string Inputs(Rng& rng);

  enum class Live : uint8_t { kNo, kNeverIdle, kIdle };
  Live live_ = Live::kNo;
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
