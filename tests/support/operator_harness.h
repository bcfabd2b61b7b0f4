#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/bytes.h"
#include "engine/flow/descriptor.h"

namespace freshet::testing {

/// Row by row, one batch each row's cells as text: for comparing outputs exactly. Doubles are printed so that different
/// bits give different text; the event time and the row watermark stand in front.
std::vector<std::string> RowTexts(const Batch& batch);

/// Makes an operator from the YAML of its options, as a pipeline file would: `type` and `inputs` left out. On failure
/// the result is empty and `diagnostics()` tells why.
class BoundNode {
 public:
  BoundNode(const NodeDescriptor& descriptor, const std::string& yaml, const Schema& input);
  BoundNode(const NodeDescriptor& descriptor, const std::string& yaml, const std::vector<const Schema*>& inputs,
            const std::function<void(BindContext*)>& adjust = nullptr);
  explicit operator bool() const { return bound_.has_value(); }
  const BoundOperator* operator->() const { return &*bound_; }
  const BoundOperator& bound() const { return *bound_; }
  /// All problems as people see them.
  std::string diagnostics() const;

 private:
  std::optional<BoundOperator> bound_;
  std::shared_ptr<Diagnostics> diagnostics_;
};

/// What is on disk: rows of all tables by (table, key group, key), the model bytes and the counters.
struct HarnessCheckpoint {
  struct Id {
    std::string table;
    uint16_t key_group = 0;
    std::string key;
    auto operator<=>(const Id&) const = default;
  };
  struct Row {
    uint16_t codec = 0;
    std::string value;
  };
  using Rows = std::map<Id, Row>;
  Rows rows;
  std::map<std::string, std::string> fingerprints;
  std::string extra;
  NodeCounters counters;
};

/// Runs one operator alone, as a cell would: opens it, hands over batches, watermarks and the end, calls again while it
/// asks for more, collects what it emits per port, and keeps `in` and `out` of the counters. With `lanes` > 1 there are
/// that many instances, each with the rows of its key groups; outputs are then per lane, in lane order.
///
/// Snapshot() drains the tables into `checkpoint` like a barrier; a harness made from a checkpoint restores each lane
/// from the rows of its key groups, whatever the number of lanes was before. With `evict`, each Snapshot is durable at
/// once, and all keys that may leave memory then do; of a restore, none is in memory.
class OperatorHarness {
 public:
  struct Options {
    int lanes = 1;
    int32_t batch_row_count_max = kBatchRowCountMax;
    const HarnessCheckpoint* restore = nullptr;
    Env* env = nullptr;  ///< null: Env::Posix()
    bool evict = false;
  };
  OperatorHarness(const BoundOperator& bound, Options options);
  ~OperatorHarness();

  /// Statuses are checked by the harness: a failure is kept in `status()` and stops all further calls.
  void Feed(const Batch& batch, InputIndex input = 0);
  void Watermark(EventTime now);
  void Clock(EventTime now);
  /// Watermark Max, then OnEnd.
  void End();
  void Snapshot(HarnessCheckpoint* checkpoint);
  /// Hands a command to every lane, as a barrier does in front of its snapshot.
  void Obey(Command& command);

  const Status& status() const { return status_; }
  /// Rows emitted so far on a port, all lanes, in lane order.
  const std::vector<Batch>& output(int lane, PortIndex port) const;
  /// Sum over lanes. `in` and `out` are counted by the harness.
  NodeCounters counters() const;
  int64_t state_keys() const;
  int64_t state_bytes() const;  ///< as the tables account for it
  int64_t evicted_bytes() const { return evicted_bytes_; }
  int64_t rows_scanned() const { return rows_scanned_; }  ///< of what is committed, by walks and sweeps
  /// Most rows seen in one emitted batch, and most batches emitted by one watermark call.
  int32_t batch_rows_max() const { return batch_rows_max_; }
  int emits_per_call_max() const { return emits_per_call_max_; }
  /// Rows that reached a lane as part of another.
  int64_t pre_aggregated() const { return pre_aggregated_; }

 private:
  struct Lane;
  class LaneEmitter;
  void Check(Status status);
  /// As an exchange does: one part per lane, with partial results where the operator takes them.
  std::vector<Batch> Divide(const Batch& batch, InputIndex input);
  void Drain(StateTable& table, HarnessCheckpoint* checkpoint);

  const BoundOperator& bound_;
  const Options options_;
  HarnessCheckpoint::Rows committed_;  ///< with `evict`; before the lanes, whose tables read it
  int64_t rows_scanned_ = 0;
  uint64_t drains_ = 0;
  std::vector<std::unique_ptr<Lane>> lanes_;
  int64_t evicted_bytes_ = 0;
  Status status_;
  int32_t batch_rows_max_ = 0;
  int emits_per_call_max_ = 0;
  std::unique_ptr<Combiner> combiner_;
  int64_t pre_aggregated_ = 0;
};

/// The law of SEMANTICS.md §4 for the operator's class; empty if it holds, else the equation that does not.
std::string ConservationFault(const NodeCounters& counters, NodeClass node_class);

}  // namespace freshet::testing
