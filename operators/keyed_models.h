#pragma once

#include <memory>
#include <optional>
#include <string>

#include "engine/flow/operator.h"
#include "engine/state/keyed_table.h"

namespace freshet {

/// The models of a detector: one for the whole stream, or one for each key. Model has a constructor from Plan,
/// `void Encode(ByteSink&) const` and `Status Decode(ByteSource&)`; Plan has `std::optional<KeyCodec> key` and a
/// `fingerprint` of all that makes a model's bytes meaningless for another. The one model is kept as bytes beside the
/// tables; keyed ones in a table, as bytes until their first row after a restart, so that a restart wakes only what is
/// used.
template <class Model, class Plan>
class KeyedModels {
 public:
  explicit KeyedModels(const Plan* plan) : plan_(plan) {}

  Status Open(OpenContext& ctx, const std::string& table, uint16_t codec) {
    if (plan_->key) {
      FRESHET_ASSIGN_OR_RETURN(cells_, ctx.state().OpenKeyed<Cell>(table, {codec, plan_->fingerprint, true}));
      return Status::Ok();
    }
    global_.model = std::make_unique<Model>(*plan_);
    if (ctx.state().extra().empty()) return Status::Ok();
    ByteSource source(ctx.state().extra());
    if (source.GetString() != plan_->fingerprint)
      return Status::InvalidArgument(
          "the model kept in the state was made with other columns or settings; undo the change, rename the id to "
          "start "
          "it empty, or start over with --fresh");
    return global_.model->Decode(source);
  }
  /// Before At: the rows of `in` are asked for from here on.
  Status StartBatch(const Batch& in) {
    if (!plan_->key) return Status::Ok();
    keys_.Encode(*plan_->key, in);
    return cells_->LoadMissing(keys_, in.physical_row_count());
  }
  /// The row's model, marked as changed. Valid until the next call.
  Result<Model*> At(int32_t row) {
    if (!plan_->key) return global_.model.get();
    Cell& cell = cells_->FindOrCreate(keys_.hash(row), keys_.key(row));
    if (!cell.model) FRESHET_RETURN_IF_ERROR(Wake(&cell));
    return cell.model.get();
  }
  Status SnapshotExtra(ByteSink& sink) const {
    if (plan_->key) return Status::Ok();
    sink.PutString(plan_->fingerprint);
    global_.model->Encode(sink);
    return Status::Ok();
  }

 private:
  struct Cell {
    std::unique_ptr<Model> model;
    std::string bytes;
    mutable size_t encoded_bytes = 0;  ///< of the model, when it was last asked
    void Encode(ByteSink& sink) const {
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
    bool Decode(ByteSource& source, uint16_t) {
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
  Cell global_;
  KeyedTable<Cell>* cells_ = nullptr;
  EncodedKeys keys_;
};

}  // namespace freshet
