#pragma once

#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "engine/flow/operator.h"
#include "engine/state/keyed_table.h"
#include "operators/binding.h"
#include "operators/state_ttl.h"

namespace freshet {

/// What the plan of a detector that has models says about them.
struct KeyedModelPlan {
  std::optional<KeyCodec> key;
  int64_t ttl_us = 0;       ///< as ReadStateTtl gives it
  std::string fingerprint;  ///< of all that makes a model's bytes meaningless for another
};

/// Reads `key` and `state_ttl` into the plan and what follows for the node: lanes, columns read and, with a time to
/// live, rows by event time. Call it after the main output is set.
bool ReadKeyedModelOptions(const OptionsNode& options, const BindContext& bind, const Schema& input,
                           KeyedModelPlan* plan, BoundOperator* bound);
/// Rows come by event time, late ones leave on an output of their own. No more than once has an effect.
void TakeByEventTime(const Schema& input, BoundOperator* bound);

/// The models of a detector: one for the whole stream, or one for each key. Model has a constructor from Plan, a
/// KeyedModelPlan, `void Encode(ByteSink&) const` and `Status Decode(ByteSource&)`. The one model is kept as bytes
/// beside the tables; keyed ones in a table, as bytes until their first row after a restart, so that a restart wakes
/// only what is used. A key without rows for the plan's time to live starts anew.
template <class Model, class Plan>
class KeyedModels {
 public:
  explicit KeyedModels(const Plan* plan) : plan_(plan), expiry_(plan->ttl_us) {}

  Status Open(OpenContext& ctx, const std::string& table) {
    if (plan_->key) {
      FRESHET_ASSIGN_OR_RETURN(cells_, ctx.state().OpenKeyed<Cell>(table, {kCodec, plan_->fingerprint, true}));
      return Status::Ok();
    }
    global_.model = std::make_unique<Model>(*plan_);
    if (ctx.state().extra().empty()) return Status::Ok();
    ByteSource source(ctx.state().extra());
    if (source.GetString() != plan_->fingerprint)
      return Status::InvalidArgument(
          "the model kept in the state was made with other columns or settings; undo the change, rename the id to "
          "start it empty, or start over with --fresh");
    return global_.model->Decode(source);
  }
  /// Before At: the rows of `in` are asked for from here on. REQUIRES: `in` outlives these calls.
  Status StartBatch(const Batch& in) {
    if (!plan_->key) return Status::Ok();
    if (plan_->ttl_us > 0 && !in.has_times()) return Status::Internal("models with `state_ttl` got rows without time");
    times_ = in.has_times() ? &in : nullptr;
    keys_.Encode(*plan_->key, in);
    expiry_.RowsCame(in.row_count());
    return cells_->LoadMissing(keys_, in.physical_row_count());
  }
  /// The row's model, marked as changed. Valid until the next call.
  Result<Model*> At(int32_t row) {
    if (!plan_->key) return global_.model.get();
    Cell& cell = cells_->FindOrCreate(keys_.hash(row), keys_.key(row));
    if (times_ != nullptr) {
      const int64_t time_us = times_->time(row).us;
      if (plan_->ttl_us > 0 && IsForgotten(cell.seen_us, time_us, plan_->ttl_us)) cell = Cell();
      if (cell.seen_us == kUnknown || cell.seen_us < time_us) cell.seen_us = time_us;
    }
    if (!cell.model) FRESHET_RETURN_IF_ERROR(Wake(&cell));
    return cell.model.get();
  }
  /// Time has passed `now`: models that no row can find any more are dropped.
  Status OnWatermark(EventTime now) { return plan_->key ? expiry_.OnWatermark(cells_, now) : Status::Ok(); }
  Status SnapshotExtra(ByteSink& sink) const {
    if (plan_->key) return Status::Ok();
    sink.PutString(plan_->fingerprint);
    global_.model->Encode(sink);
    return Status::Ok();
  }

 private:
  static constexpr uint16_t kCodec = 2;  ///< 1 did not say when a key was seen last
  static constexpr int64_t kUnknown = std::numeric_limits<int64_t>::max();

  struct Cell {
    int64_t seen_us = kUnknown;  ///< the newest row
    std::unique_ptr<Model> model;
    std::string bytes;
    mutable size_t encoded_bytes = 0;  ///< of the model, when it was last asked
    bool IsExpired(int64_t now_us, int64_t ttl_us) const { return IsForgotten(seen_us, now_us, ttl_us); }
    void Encode(ByteSink& sink) const {
      sink.PutI64(seen_us);
      const size_t before = sink.size();
      if (model)
        model->Encode(sink);
      else
        sink.PutBytes(bytes);
      encoded_bytes = sink.size() - before;
    }
    /// Of a model that does not know, about what its bytes take.
    int64_t MemoryBytes() const {
      if constexpr (requires { model->memory_bytes(); }) {
        if (model) return static_cast<int64_t>(model->memory_bytes());
      }
      return static_cast<int64_t>(model ? sizeof(Model) + encoded_bytes : bytes.capacity());
    }
    bool Decode(ByteSource& source, uint16_t codec) {
      if (codec < 1 || codec > kCodec) return false;
      if (codec >= 2) seen_us = source.GetI64();
      bytes = source.GetBytes(source.remaining());
      return source.ok();
    }
  };

  Status Wake(Cell* cell) {
    cell->model = std::make_unique<Model>(*plan_);
    if (cell->bytes.empty()) return Status::Ok();
    ByteSource source(cell->bytes);
    FRESHET_RETURN_IF_ERROR(cell->model->Decode(source));
    cell->bytes = std::string();
    return Status::Ok();
  }

  const Plan* plan_;
  KeyExpiry<Cell> expiry_;
  const Batch* times_ = nullptr;  ///< the batch, if it has times
  Cell global_;
  KeyedTable<Cell>* cells_ = nullptr;
  EncodedKeys keys_;
};

/// A detector as an operator, but for its ProcessBatch. Keyed models lie in `table`.
template <class Model, class Plan>
class KeyedModelOperator : public Operator {
 public:
  KeyedModelOperator(std::shared_ptr<const Plan> plan, const char* table)
      : plan_(std::move(plan)), models_(plan_.get()), table_(table) {}
  Status Open(OpenContext& ctx) override {
    counters_ = &ctx.counters();
    return models_.Open(ctx, table_);
  }
  Result<Progress> OnWatermark(EventTime now, Emitter&) override {
    FRESHET_RETURN_IF_ERROR(models_.OnWatermark(now));
    return Progress::kDone;
  }
  Status SnapshotExtra(ByteSink& sink) override { return models_.SnapshotExtra(sink); }

 protected:
  const std::shared_ptr<const Plan> plan_;
  KeyedModels<Model, Plan> models_;
  NodeCounters* counters_ = nullptr;

 private:
  const char* const table_;
};

}  // namespace freshet
