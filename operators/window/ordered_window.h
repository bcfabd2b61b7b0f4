#pragma once

#include <bitset>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "engine/state/table_scan.h"
#include "operators/window/due_keys.h"
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

/// A session that the end of the input closed. Rows of an input that has grown since may still belong to it, and are
/// late.
struct EndedSession {
  int64_t start_us = 0;
  int64_t last_us = 0;
};

/// The value of the table: all panes of one key.
struct OrderedPanes {
  static constexpr int64_t kNone = KeyPanes::kNone;

  CellPool* pool = nullptr;
  std::vector<OrderedPane> open;    ///< windows whose result has not left, in order of time
  std::vector<OrderedPane> steps;   ///< count windows: the last steps, the newest may be incomplete
  std::vector<EndedSession> ended;  ///< in the order in which they ended
  int64_t next_due = kNone;
  uint32_t hash = 0;
  std::unique_ptr<std::string> restored;  ///< bytes from a checkpoint until the operator has a pool for them

  void Encode(ByteSink& sink) const;
  bool Decode(ByteSource& source, uint16_t codec);
  bool Load();
  bool empty() const { return open.empty() && steps.empty() && ended.empty(); }
  /// Gives all cells back.
  void Free();
};

/// The operator behind session and count windows; see window.h. Rows come by event time (the cell's sorter sees to it,
/// and to late ones), so a session only grows at its end. Results leave when the watermark has passed their last
/// microsecond, by (window end, key), as those of other windows do. A session that the end of the input closed is
/// remembered until time has closed it too: rows that are near enough to belong to it are late (`after_end`).
///
/// Keys may leave memory. Which have a session that ends is known by spans of time only (`stored_due_`): when time
/// reaches one, a walk over the store finds the next thousands of them by (moment, key), and these come back a slice
/// at a time, when they are due. What leaves meanwhile and belongs among them is noted there, so that no slice needs a
/// walk of its own.
class OrderedWindow final : public Operator {
 public:
  explicit OrderedWindow(OrderedWindowPlan plan);
  Status Open(OpenContext& ctx) override;
  Status ProcessBatch(InputIndex input, const Batch& in, Emitter& out) override;
  Result<Progress> OnWatermark(EventTime now, Emitter& out) override;

 private:
  using DueKey = DueKeyOf<OrderedPanes>;
  using Place = std::pair<int64_t, std::string>;  ///< moment, key: the order of results
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
  /// KeyPanes::kNone: nothing. With `expire` also when a session that has ended may be forgotten.
  int64_t NextMoment(const OrderedPanes& panes, bool expire) const;
  void MarkLate(int32_t row, int64_t end_us);
  void EmitLate(const Batch& in, Emitter& out);
  /// The session that the end of the input closed and the row is part of, or null.
  const EndedSession* FindEnded(const OrderedPanes& panes, int64_t time_us) const;
  SliceCell* ExtendSession(OrderedPanes& panes, int64_t time_us);
  SliceCell* ExtendStep(OrderedPanes& panes, int64_t time_us);
  void Complete();
  void OpenPane(OrderedPanes& panes, const OrderedPane& pane);
  void Schedule(OrderedPanes& panes, const std::string* key, int64_t moment);
  bool NextDue(EventTime now);
  /// Forgets what has expired by `moment_`. False: no result of the key is due.
  bool Prepare(const DueKey& due);
  void Settle(const DueKey& due);

  // Keys that are not in memory.
  void SetEvictionHooks();
  Status ReadStored();
  void NoteStored(uint32_t hash, int64_t moment);
  /// Whether keys in the store come before all that can be seen.
  bool MustWalk(EventTime now) const;
  /// Some rows further; at the end of a walk, and as long as what it found lasts, keys that are due are brought back.
  Status WalkStored(EventTime now);
  Status BringBack(EventTime now);
  /// A key in the store whose moment is in the first span.
  void NoteFound(int64_t moment, std::string_view key);
  void AccountMemory();
  void Emit(const DueKey& due, WindowRows& rows, int32_t at);

  const OrderedWindowPlan plan_;
  CellPool pool_;
  KeyedTable<OrderedPanes>* table_ = nullptr;
  NodeCounters* counters_ = nullptr;
  int32_t row_count_max_ = 0;

  EncodedKeys keys_;
  std::vector<std::byte*> cells_;
  std::vector<Completion> completions_;
  DueKeysOf<OrderedPanes> due_;
  std::vector<DueKey> firing_;  ///< keys with a window that ends at `moment_`, sorted; done up to `firing_at_`
  size_t firing_at_ = 0;
  int64_t moment_ = 0;
  bool ending_ = false;  ///< the watermark is the end's, which says nothing of time
  std::vector<int32_t> late_rows_;
  std::vector<int64_t> late_ends_;

  std::map<int64_t, std::bitset<kKeyGroupCount>> stored_due_;  ///< by the span of the moment
  int64_t span_us_ = 1;
  std::unique_ptr<StoredScan> scan_;        ///< over the first span
  bool walked_ = false;                     ///< `found_` is of the first span, all of it or as far as `found_through_`
  std::set<Place> found_;                   ///< keys in the store; some may have come back meanwhile, or end later
  std::optional<Place> found_through_;      ///< what comes later had to be left out, and needs another walk
  size_t slice_ = 0;                        ///< so many of them come back at once
  int64_t back_before_ = -KeyPanes::kNone;  ///< all keys with earlier moments are in memory
  std::optional<Place> next_back_;          ///< in the middle of the first span: and those before this one
};

}  // namespace freshet
