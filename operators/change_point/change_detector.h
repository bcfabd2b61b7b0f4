#pragma once

#include <cstddef>
#include <optional>

#include "engine/base/bytes.h"
#include "engine/base/status.h"
#include "engine/base/time.h"

namespace freshet {

/// A lasting shift that has been found.
struct Change {
  EventTime began;    ///< of the first row that is taken to be behind it
  double before = 0;  ///< mean level until then, in the metric's unit
  double after = 0;   ///< mean level since then
  double size() const { return after - before; }
};

/// Watches one series for lasting shifts of its level. Rows come in order of event time; a value that is not finite, or
/// beyond 1e150, is skipped. After a change the new level is learnt from its rows. Encode writes the state without the
/// options, with a codec version; a detector with equal options that decoded it goes on with the same bits.
/// Deterministic; not thread-safe.
class ChangeDetector {
 public:
  virtual ~ChangeDetector() = default;
  /// What this row completes.
  virtual std::optional<Change> Add(EventTime time, double x) = 0;
  virtual size_t memory_bytes() const = 0;
  virtual void Encode(ByteSink& sink) const = 0;
  virtual Status Decode(ByteSource& source) = 0;

 protected:
  ChangeDetector() = default;
  ChangeDetector(const ChangeDetector&) = default;
  ChangeDetector& operator=(const ChangeDetector&) = default;
};

}  // namespace freshet
