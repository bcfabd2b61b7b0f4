#pragma once

#include <cstdint>
#include <memory>
#include <variant>

#include "engine/base/time.h"
#include "engine/batch/batch.h"
#include "engine/flow/command.h"

namespace freshet {

/// A promise: no further row on this edge has an event time below `time` (equal is on time).
struct Watermark {
  EventTime time;
  Batch::Hold hold = {};  ///< of what gave rise to it: messages without rows are bounded by credits as well
};
/// This edge has had nothing for a while and must not hold back event time until its next element.
struct Idle {};
/// The border between what belongs to an epoch and what does not (aligned checkpoints).
struct Barrier {
  Epoch epoch;
  bool final_one = false;                       ///< sources stop after it: a signal was received (SEMANTICS.md §3.1)
  std::shared_ptr<const CommandList> commands;  ///< obeyed in front of the snapshot; null: none
};
/// Nothing follows on this edge.
struct End {};
/// Between an exchange and its gather only: every row of exchanged batches up to `sequence` has been handled.
struct Mark {
  uint64_t sequence = 0;
};

/// What flows on an edge, in order.
using Message = std::variant<Batch, Watermark, Idle, Barrier, End, Mark>;

/// A message on its way: which edge, and its number on that edge (checked at arrival, always).
struct Envelope {
  int32_t edge = -1;
  uint64_t sequence = 0;
  Message message;
  /// For batches between an exchange and its gather: which exchanged batch the rows came from.
  uint64_t exchange_sequence = 0;
};

}  // namespace freshet
