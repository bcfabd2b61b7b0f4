#include "connectors/format/ndjson_decoder.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "connectors/format/dom_record_decoder.h"
#include "connectors/format/json_field_tree.h"
#include "connectors/format/row_columns.h"
#include "connectors/format/speculative_decoder.h"
#include "engine/base/units.h"

namespace freshet {
namespace {

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
constexpr int64_t kRecordBytesGuess = 128;
constexpr int64_t kPieceBytes = 16 << 10;

class NdjsonDecoder final : public Decoder {
 public:
  explicit NdjsonDecoder(NdjsonOptions options)
      : options_(std::move(options)),
        tree_(*options_.schema),
        dom_(options_.schema.get(), &tree_),
        speculative_(options_.schema.get(), &tree_) {}

  void Decode(const RawChunk& chunk, DecodedBlock* block) override {
    block_ = block;
    records_differ_ = false;
    const char* p = chunk.size > 0 ? chunk.bytes.as<const char>() : nullptr;
    const char* const end = p + chunk.size;
    const int64_t rows_expected = chunk.row_count_hint > 0 ? chunk.row_count_hint : chunk.size / kRecordBytesGuess;
    rows_.Start(*options_.schema->columns, static_cast<int32_t>(std::min<int64_t>(rows_expected + 1, 1 << 16)));
    if ((chunk.numbers[1] & kChunkStartsFile) != 0 &&
        std::string_view(p, static_cast<size_t>(end - p)).starts_with(kByteOrderMark))
      p += kByteOrderMark.size();
    block->lines_begin = chunk.size - (end - p);
    while (options_.speculate && p < end) {
      const char* const piece_end = PieceEnd(p, end);
      if (piece_end == nullptr) break;
      // Speculation needs text that is UTF-8.
      speculates_ = speculative_.Prepare(p, piece_end) || IsUtf8(p, piece_end - p);
      p = speculates_ ? DecodePiece(p, piece_end) : DecodeLines(p, piece_end);
    }
    speculates_ = false;
    DecodeLines(p, end);
    block->row_count = rows_.row_count();
    block->columns = rows_.Finish();
    block_ = nullptr;
  }

 private:
  /// Lines are taken a few pages at a time, so that a piece and all that is noted of it stay in the innermost cache.
  static const char* PieceEnd(const char* p, const char* end) {
    const auto window = static_cast<size_t>(std::min<int64_t>(end - p, kPieceBytes));
    const auto* last = static_cast<const char*>(::memrchr(p, '\n', window));
    if (last == nullptr)
      last = static_cast<const char*>(std::memchr(p + window, '\n', static_cast<size_t>(end - p) - window));
    return last != nullptr ? last + 1 : nullptr;
  }

  const char* DecodePiece(const char* p, const char* end) {
    while (p < end) {
      if (const int32_t run = speculative_.DecodeRun(&p, options_.record_bytes_max, &rows_); run > 0) {
        AddRows(run);
        continue;
      }
      const char* const line_feed = speculative_.Decode(p, &rows_);
      if (line_feed == nullptr || line_feed - p > options_.record_bytes_max) {
        p = DecodeLine(p, end);
        continue;
      }
      AddRows(1);
      p = line_feed + 1;
    }
    return end;
  }

  const char* DecodeLines(const char* p, const char* end) {
    while (p < end) p = DecodeLine(p, end);
    return end;
  }

  /// Returns where the next line begins.
  const char* DecodeLine(const char* p, const char* end) {
    const char* const newline = static_cast<const char*>(std::memchr(p, '\n', static_cast<size_t>(end - p)));
    const char* const line_end = newline != nullptr ? newline : end;
    const int64_t size = line_end - p;
    RecordOutcome outcome = RecordOutcome::kDead;
    if (size > options_.record_bytes_max) {
      AddDead(LineTooLong(size, options_.record_bytes_max, {p, static_cast<size_t>(size)}));
    } else if ((outcome = dom_.Decode(p, size, &rows_, &reason_)) == RecordOutcome::kDead) {
      DeadRecord dead;
      dead.reason = reason_;
      dead.raw.assign(p, static_cast<size_t>(std::min(size, kRecordBytesMaxDefault)));
      AddDead(std::move(dead));
    } else if (outcome == RecordOutcome::kBlank) {
      ++block_->skipped;
    } else {
      if (speculates_) speculative_.Learn(p, line_end);
      rows_.CommitRow();
      if (records_differ_) block_->record_offsets.push_back(static_cast<int32_t>(block_->record_count));
    }
    if (outcome != RecordOutcome::kRow) NoteNoRow();
    ++block_->record_count;
    if (newline == nullptr) return end;
    ++block_->line_count;
    return newline + 1;
  }

  /// Each a line and a record.
  void AddRows(int32_t count) {
    rows_.CommitRows(count);
    for (int32_t i = 0; records_differ_ && i < count; ++i)
      block_->record_offsets.push_back(static_cast<int32_t>(block_->record_count + i));
    block_->record_count += count;
    block_->line_count += count;
  }

  /// From the first record without a row on, rows need their record's number; a record is a line, so lines never do.
  void NoteNoRow() {
    if (std::exchange(records_differ_, true)) return;
    for (int32_t row = 0; row < rows_.row_count(); ++row) block_->record_offsets.push_back(row);
  }

  void AddDead(DeadRecord dead) {
    dead.record_offset = block_->record_count;
    dead.line_offset = block_->line_count;
    block_->dead.push_back(std::move(dead));
  }

  const NdjsonOptions options_;
  const JsonFieldTree tree_;
  DomRecordDecoder dom_;
  SpeculativeDecoder speculative_;
  bool speculates_ = false;
  bool records_differ_ = false;
  RowColumns rows_;
  std::string reason_;
  DecodedBlock* block_ = nullptr;
};

}  // namespace

std::unique_ptr<Decoder> MakeNdjsonDecoder(NdjsonOptions options) {
  return std::make_unique<NdjsonDecoder>(std::move(options));
}

DeadRecord LineTooLong(int64_t record_bytes, int64_t record_bytes_max, std::string_view raw) {
  DeadRecord dead;
  dead.reason = "line_too_long: " + FormatCount(record_bytes) + " bytes, at most " + FormatCount(record_bytes_max) +
                " (`max_record_bytes`)";
  dead.raw = raw.substr(0, static_cast<size_t>(std::min(record_bytes_max, kRecordBytesMaxDefault)));
  return dead;
}

}  // namespace freshet
