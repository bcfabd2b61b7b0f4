#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "engine/flow/operator.h"
#include "operators/join/join_rows.h"

namespace freshet {

/// The constant part of a join node, shared by its lanes. Side 0 is left.
struct JoinPlan {
  bool left_outer = false;
  JoinReach reach;
  std::array<SchemaRef, 2> inputs;
  std::array<std::string, 2> input_names;
  std::array<KeyCodec, 2> keys;
  SchemaRef output;  ///< left's columns, then right's but its key
  SchemaRef late;    ///< the same, with keys of either side in left's columns; then late_input, and as LateSchema says
  /// Per column of an input, its place in `output`; -1: not there.
  std::array<std::vector<int>, 2> places;
  std::string fingerprint;
};

/// The operator behind `join`; see join.h for what it means.
///
/// Rows act at *moments*, when time has passed them, in an order that rows alone decide: a row looks for those that
/// looked before it at its event time (so each pair is found once, by the later row), and is forgotten, or leaves as
/// unmatched, when nothing can meet it any more. Late rows leave at their own row watermark. So neither the timing of
/// the two inputs nor that of partitions shows in any output.
class JoinOperator final : public Operator {
 public:
  explicit JoinOperator(std::shared_ptr<const JoinPlan> plan) : plan_(std::move(plan)) {}
  Status Open(OpenContext& ctx) override;
  Status ProcessBatch(InputIndex input, const Batch& in, Emitter& out) override;
  Result<Progress> OnWatermark(EventTime now, Emitter& out) override;

 private:
  /// In the order in which one key's events of one moment are done.
  enum class Kind : uint8_t { kProbe, kExpire, kLate };
  struct Event {
    int64_t moment;
    int64_t time_us;
    uint64_t ordinal;
    JoinRows* rows;
    const std::string* key;  ///< as the table stores it
    uint8_t side;
    Kind kind;
  };
  /// Rows being made for one port.
  struct Output;

  static bool Later(const Event& a, const Event& b) { return a.moment > b.moment; }
  static bool InOrder(const Event& a, const Event& b);
  void Push(Event event);
  void Schedule(JoinRows& rows, const std::string* key, uint8_t side, const JoinRow& row);
  bool NextMoment(EventTime now);
  /// Each does one event; false: the output is full, call again.
  bool Do(const Event& event, Output& out);
  bool Probe(const Event& event, Output& out);
  bool Expire(const Event& event, Output& out);
  bool Dismiss(const Event& event, Output& out);
  void Touch(const Event& event);

  const std::shared_ptr<const JoinPlan> plan_;
  KeyedTable<JoinRows>* table_ = nullptr;
  NodeCounters* counters_ = nullptr;
  int32_t row_count_max_ = 0;

  EncodedKeys keys_;
  std::vector<Event> heap_;
  std::vector<Event> firing_;  ///< of one moment, in order; done up to `firing_at_`
  size_t firing_at_ = 0;
  size_t partner_ = 0;  ///< of the event being done: the next row to look at
  bool ending_ = false;
  EventTime closed_ = EventTime::Min();
};

}  // namespace freshet
