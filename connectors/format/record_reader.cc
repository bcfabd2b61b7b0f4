#include "connectors/format/record_reader.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "connectors/format/ndjson_decoder.h"

namespace freshet {
namespace {
constexpr int64_t kReadBytes = kChunkBytes;
}  // namespace

RecordReader::RecordReader(const SourceFormat* format, std::string name, int64_t offset, int64_t record, int64_t header)
    : format_(*format),
      name_(std::move(name)),
      buffer_(AllocateBuffer(kReadBytes)),
      offset_(offset),
      record_(record),
      header_(header) {}

void RecordReader::Fill(const ReadBytes& read) {
  dry_ = false;
  while (error_.ok() && used_ < buffer_->capacity()) {
    const Result<int64_t> n = read(buffer_.as<char>() + used_, buffer_->capacity() - used_);
    if (!n.ok()) error_ = n.status();
    if (!n.ok() || *n == 0) {
      dry_ = true;
      return;
    }
    used_ += *n;
  }
  dry_ = !error_.ok();
}

Result<RecordReader::Outcome> RecordReader::Next(const PollBudget& budget, const ReadBytes& read, bool final,
                                                 RawChunk* chunk) {
  const int64_t bytes_max = std::clamp<int64_t>(budget.bytes, 1, kReadBytes);
  const int64_t records_max = std::max<int64_t>(budget.rows, 1);
  for (;;) {
    Fill(read);
    const bool last = final && dry_ && error_.ok();
    if (skipping_) {
      if (SkipLongLine(last, chunk)) return Outcome::kChunk;
      FRESHET_RETURN_IF_ERROR(TakeError());
      if (dry_) return Outcome::kDry;
      continue;
    }
    FRESHET_RETURN_IF_ERROR(FindHeader(last));
    const RecordSplitter::Piece piece = format_.splitter->Cut(buffer_.as<char>(), used_, bytes_max, records_max, last);
    if (piece.bytes > 0) {
      Give(piece, chunk);
      return Outcome::kChunk;
    }
    if (used_ > format_.record_bytes_max + 1) {
      skipping_ = true;
      long_raw_.assign(buffer_.as<char>(),
                       static_cast<size_t>(std::min(format_.record_bytes_max, kRecordBytesMaxDefault)));
      continue;
    }
    FRESHET_RETURN_IF_ERROR(TakeError());
    if (dry_) return Outcome::kDry;
    buffer_ = GrowBuffer(buffer_, used_, buffer_->capacity() * 2);
  }
}

Status RecordReader::TakeError() { return std::exchange(error_, Status::Ok()); }

/// A csv file's header is read when its first record is whole, and stays in the first chunk, so that lines count right.
Status RecordReader::FindHeader(bool final) {
  if (format_.headers == nullptr || header_ != 0 || used_ == 0) return Status::Ok();
  const RecordSplitter::Piece first = format_.splitter->Cut(buffer_.as<char>(), used_, 1, 1, final);
  if (first.bytes == 0) return Status::Ok();
  std::vector<std::string> names =
      ParseCsvHeader({buffer_.as<char>(), static_cast<size_t>(first.bytes)}, format_.delimiter);
  FRESHET_RETURN_IF_ERROR(CheckCsvHeader(*format_.schema, names, name_));
  header_ = format_.headers->Add(std::move(names));
  return Status::Ok();
}

void RecordReader::Give(RecordSplitter::Piece piece, RawChunk* chunk) {
  BufferRef next = AllocateBuffer(kReadBytes);
  const int64_t rest = used_ - piece.bytes;
  if (rest > next->capacity()) next = AllocateBuffer(rest);
  std::memcpy(next->data(), buffer_->data() + piece.bytes, static_cast<size_t>(rest));
  chunk->bytes = std::move(buffer_);
  chunk->size = piece.bytes;
  chunk->row_count_hint = piece.records;
  chunk->numbers[0] = header_;
  chunk->numbers[1] = offset_ == 0 ? kChunkStartsFile : 0;
  buffer_ = std::move(next);
  used_ = rest;
  offset_ += piece.bytes;
  record_ += piece.records;
}

/// Drops the buffered part of the long line; true when its end was met and it leaves as a dead record.
bool RecordReader::SkipLongLine(bool final, RawChunk* chunk) {
  const char* const data = buffer_.as<char>();
  const auto* line_feed =
      used_ > 0 ? static_cast<const char*>(std::memchr(data, '\n', static_cast<size_t>(used_))) : nullptr;
  if (line_feed == nullptr && !final) {
    long_bytes_ += used_;
    used_ = 0;
    return false;
  }
  const int64_t part = line_feed != nullptr ? line_feed - data : used_;
  const int64_t taken = line_feed != nullptr ? part + 1 : part;
  chunk->finished = std::make_shared<DecodedBlock>();
  for (const Field& field : format_.schema->columns->fields())
    chunk->finished->columns.push_back(NullColumn(field.type, 0));
  chunk->finished->record_count = 1;
  chunk->finished->line_count = line_feed != nullptr ? 1 : 0;
  chunk->finished->dead.push_back(LineTooLong(long_bytes_ + part, format_.record_bytes_max, long_raw_));
  chunk->row_count_hint = 1;
  offset_ += long_bytes_ + taken;
  ++record_;
  std::memmove(buffer_->data(), buffer_->data() + taken, static_cast<size_t>(used_ - taken));
  used_ -= taken;
  long_bytes_ = 0;
  long_raw_.clear();
  skipping_ = false;
  return true;
}

}  // namespace freshet
