#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/batch/batch.h"
#include "engine/options/diagnostics.h"
#include "engine/options/span.h"

namespace freshet {

/// `time.field`, bound: gives a timestamp column for a batch of the source; what is no time is null.
struct TimeField {
  std::function<Column(const Batch&)> evaluate;
  std::string text;                  ///< for `plan`
  std::vector<std::string> columns;  ///< names it reads
};

/// Binds the expression over the source's schema and converts its value (SEMANTICS.md §2.7): timestamps as they are;
/// numbers are epochs in s, ms, µs or ns, by magnitude or as `pattern` (epoch_s, epoch_ms, epoch_us, epoch_ns) says;
/// text by a strptime `pattern` (by the clock of `zone`, default UTC, unless it has %z), else RFC 3339. Problems go to
/// `diagnostics`; then nullopt.
std::optional<TimeField> BindTimeField(const SpannedText& field, const std::optional<SpannedText>& pattern,
                                       const std::optional<SpannedText>& zone, const Schema& schema,
                                       Diagnostics* diagnostics);

}  // namespace freshet
