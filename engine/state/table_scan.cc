#include "engine/state/table_scan.h"

#include <algorithm>

namespace freshet {
namespace {
/// Rows read at once: a seek costs some tens of them.
constexpr size_t kPieceRows = 256;
/// No more of a group once so much of it is held: a walk over all groups takes some megabytes, however large values
/// are.
constexpr size_t kPieceBytes = 32 << 10;
}  // namespace

StoredScan::StoredScan(CommittedRows* rows, const std::bitset<kKeyGroupCount>& groups) : committed_(rows) {
  for (size_t g = 0; g < groups.size(); ++g) {
    if (!groups[g]) continue;
    pieces_.emplace_back();
    pieces_.back().group = static_cast<uint16_t>(g);
  }
}

Status StoredScan::Read(Piece* piece) {
  piece->rows.clear();
  piece->at = 0;
  if (piece->last) return Status::Ok();
  size_t bytes = 0;
  Status status =
      committed_->ScanSome(piece->group, piece->from, kPieceRows, [&](std::string_view key, std::string_view value) {
        if (bytes >= kPieceBytes) return Status::Cancelled("enough");
        bytes += key.size() + value.size();
        piece->rows.emplace_back(key, value);
        return Status::Ok();
      });
  const bool stopped = status.code() == StatusCode::kCancelled;
  if (!stopped) FRESHET_RETURN_IF_ERROR(std::move(status));
  piece->last = !stopped && piece->rows.size() < kPieceRows;
  if (!piece->last) piece->from = piece->rows.back().first + '\0';
  return Status::Ok();
}

Status StoredScan::Next(bool* found) {
  if (!started_) {
    started_ = true;
    for (Piece& piece : pieces_) {
      FRESHET_RETURN_IF_ERROR(Read(&piece));
      if (!piece.rows.empty()) heap_.push_back(&piece);
    }
    std::make_heap(heap_.begin(), heap_.end(), After);
  } else if (!heap_.empty()) {
    std::pop_heap(heap_.begin(), heap_.end(), After);
    Piece* const piece = heap_.back();
    if (++piece->at == piece->rows.size()) FRESHET_RETURN_IF_ERROR(Read(piece));
    if (piece->rows.empty())
      heap_.pop_back();
    else
      std::push_heap(heap_.begin(), heap_.end(), After);
  }
  *found = !heap_.empty();
  return Status::Ok();
}

Status StoredSweep::Next(size_t row_count_max,
                         const std::function<Result<bool>(std::string_view, std::string_view)>& visit,
                         bool* round_over) {
  *round_over = false;
  while (row_count_max > 0) {
    size_t count = 0;
    bool stopped = false;
    FRESHET_RETURN_IF_ERROR(
        committed_->ScanSome(group_, from_, row_count_max, [&](std::string_view key, std::string_view value) -> Status {
          if (stopped) return Status::Ok();
          FRESHET_ASSIGN_OR_RETURN(const bool taken, visit(key, value));
          stopped = !taken;
          from_.assign(key);
          if (taken) from_.push_back('\0');
          ++count;
          return Status::Ok();
        }));
    if (stopped || count == row_count_max) return Status::Ok();
    row_count_max -= count;
    from_.clear();
    *round_over = group_ == committed_->last_key_group;
    group_ = *round_over ? committed_->first_key_group : static_cast<uint16_t>(group_ + 1);
    if (*round_over) return Status::Ok();
  }
  return Status::Ok();
}

}  // namespace freshet
