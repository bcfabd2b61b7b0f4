#include "engine/state/synced_mark.h"

#include <algorithm>

#include "engine/base/bytes.h"
#include "engine/state/row_format.h"

namespace freshet {
namespace {

constexpr size_t kPointBytes = 16;
constexpr size_t kRecordBytes = kPointBytes + 4;
constexpr int64_t kFileBytesMax = 64 << 10;

std::string Encode(const SyncedMark::Point& point) {
  ByteSink sink;
  sink.PutU64(point.epoch);
  sink.PutU64(point.sequence);
  sink.PutU32(RowChecksum({}, sink.bytes()));
  return sink.Take();
}

}  // namespace

std::optional<SyncedMark::Point> SyncedMark::Read() const {
  const Result<std::string> bytes = env_->ReadFile(path_);
  std::optional<Point> furthest;
  for (size_t at = 0; bytes.ok() && at + kRecordBytes <= bytes->size(); at += kRecordBytes) {
    const std::string_view record = std::string_view(*bytes).substr(at, kRecordBytes);
    ByteSource source(record);
    Point point;
    point.epoch = source.GetU64();
    point.sequence = source.GetU64();
    if (source.GetU32() != RowChecksum({}, record.substr(0, kPointBytes))) continue;  // the end of it was not synced
    if (!furthest) furthest.emplace();
    furthest->epoch = std::max(furthest->epoch, point.epoch);
    furthest->sequence = std::max(furthest->sequence, point.sequence);
  }
  return furthest;
}

Status SyncedMark::Begin(Point point) {
  const std::lock_guard lock(mutex_);
  file_.reset();
  last_ = point;
  return env_->WriteFileAtomically(path_, Encode(point));
}

void SyncedMark::Note(Point point) {
  const std::lock_guard lock(mutex_);
  last_.epoch = std::max(last_.epoch, point.epoch);
  last_.sequence = std::max(last_.sequence, point.sequence);
  if (file_ && file_->size() >= kFileBytesMax) {
    file_.reset();
    if (!env_->WriteFileAtomically(path_, Encode(last_)).ok()) return;
  }
  if (!file_) {
    Result<std::unique_ptr<WritableFile>> opened = env_->OpenWritable(path_);
    if (!opened.ok()) return;
    // Behind a record that was cut all later ones would be out of step.
    if ((*opened)->size() % static_cast<int64_t>(kRecordBytes) != 0) {
      (void)env_->WriteFileAtomically(path_, Encode(last_)).ok();
      return;
    }
    file_ = std::move(*opened);
  }
  if (!file_->Append(Encode(last_)).ok() || !file_->Flush().ok()) file_.reset();
}

}  // namespace freshet
