#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "operators/window/window_operator.h"
#include "operators/window/window_rows.h"

namespace freshet {

/// Windows that follow from the rows of a key, which must therefore come in order of event time: sessions, which end
/// when nothing came for `gap_us`, or the last `count` rows, every `every` rows. Exactly one of `gap_us` and `count` is
/// set.
struct OrderedWindowPlan {
  std::shared_ptr<const WindowPlan> window;  ///< key, aggregates, schemas, fingerprint; its assigner is not used
  int64_t gap_us = 0;
  int64_t count = 0;
  int64_t every = 0;  ///< divides `count`
};

/// The rows of a key from `start_us` to `last_us`: a session, the rows of one step of a count window, or such a window.
struct OrderedPane {
  int64_t start_us = 0;
  int64_t last_us = 0;
  int64_t rows = 0;
  SliceCell* cell = nullptr;
};

/// The value of the table: all panes of one key.
struct OrderedPanes {
  static constexpr int64_t kNone = KeyPanes::kNone;

  CellPool* pool = nullptr;
  std::vector<OrderedPane> open;   ///< windows whose result has not left, in order of time
  std::vector<OrderedPane> steps;  ///< count windows: the last steps, the newest may be incomplete
  int64_t next_due = kNone;
  uint32_t hash = 0;
  std::unique_ptr<std::string> restored;  ///< bytes from a checkpoint until the operator has a pool for them

  void Encode(ByteSink& sink) const;
  bool Decode(ByteSource& source, uint16_t codec);
  bool Load();
};

/// The operator behind session and count windows; see window.h. Rows come by event time (the cell's sorter sees to it,
/// and to late ones), so a session only grows at its end. Results leave when the watermark has passed their last
/// microsecond, by (window end, key), as those of other windows do.
class OrderedWindow final : public Operator {
 public:
  explicit OrderedWindow(OrderedWindowPlan plan);
  Status Open(OpenContext& ctx) override;
  Status ProcessBatch(InputIndex input, const Batch& in, Emitter& out) override;
  Result<Progress> OnWatermark(EventTime now, Emitter& out) override;

 private:
  struct DueKey {
    OrderedPanes* panes;
    const std::string* key;  ///< as the table stores it
  };
  /// A count window that is complete once the batch's rows are in their cells.
  struct Completion {
    SliceCell* into;
    std::vector<SliceCell*> steps;
    SliceCell* unneeded;  ///< the oldest step
  };

  /// The last microsecond of the window.
  int64_t MomentOf(const OrderedPane& pane) const {
    return plan_.gap_us > 0 ? pane.last_us + plan_.gap_us - 1 : pane.last_us;
  }
  SliceCell* ExtendSession(OrderedPanes& panes, int64_t time_us);
  SliceCell* ExtendStep(OrderedPanes& panes, int64_t time_us);
  void Complete();
  void OpenPane(OrderedPanes& panes, const OrderedPane& pane);
  void Schedule(OrderedPanes& panes, const std::string* key, int64_t moment);
  bool NextDue(EventTime now);
  void Emit(const DueKey& due, WindowRows& rows, int32_t at);

  const OrderedWindowPlan plan_;
  CellPool pool_;
  KeyedTable<OrderedPanes>* table_ = nullptr;
  NodeCounters* counters_ = nullptr;
  int32_t row_count_max_ = 0;

  EncodedKeys keys_;
  std::vector<std::byte*> cells_;
  std::vector<Completion> completions_;
  std::map<int64_t, std::vector<DueKey>> due_;
  std::vector<DueKey> firing_;  ///< keys with a window that ends at `moment_`, sorted; done up to `firing_at_`
  size_t firing_at_ = 0;
  int64_t moment_ = 0;
};

}  // namespace freshet
