#pragma once

#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "connectors/format/csv_decoder.h"
#include "connectors/format/ndjson_decoder.h"
#include "connectors/format/source_format.h"
#include "engine/flow/source.h"

namespace freshet::testing {

struct Col {
  std::string name;
  TypeId type;
  std::vector<std::string> path = {};
  bool read = true;
  std::string pattern = {};
  std::string zone = {};
};

inline std::shared_ptr<const SourceSchema> SchemaOf(const std::vector<Col>& columns) {
  auto schema = std::make_shared<SourceSchema>();
  std::vector<Field> read;
  for (const Col& c : columns) {
    SourceField field;
    field.name = c.name;
    field.type = c.type;
    field.path = c.path.empty() ? std::vector<std::string>{c.name} : c.path;
    field.time = TimestampParser::Make(c.pattern, c.zone).value();
    if (c.read) {
      field.column = static_cast<int>(read.size());
      read.push_back({c.name, c.type});
    }
    schema->fields.push_back(field);
  }
  schema->columns = std::make_shared<const Schema>(read);
  return schema;
}

inline SourceFormat NdjsonFormat(const std::vector<Col>& columns, int64_t record_bytes_max = kRecordBytesMaxDefault,
                                 bool speculate = true) {
  SourceFormat format;
  format.name = "ndjson";
  format.schema = SchemaOf(columns);
  format.record_bytes_max = record_bytes_max;
  format.splitter = MakeLineSplitter();
  format.make_decoder = [o = NdjsonOptions{format.schema, record_bytes_max, speculate}] {
    return MakeNdjsonDecoder(o);
  };
  return format;
}

inline SourceFormat CsvFormat(const std::vector<Col>& columns, int64_t record_bytes_max = kRecordBytesMaxDefault,
                              bool header = true, char delimiter = ',') {
  SourceFormat format;
  format.name = "csv";
  format.schema = SchemaOf(columns);
  format.record_bytes_max = record_bytes_max;
  format.delimiter = delimiter;
  if (header) format.headers = std::make_shared<CsvHeaders>();
  format.splitter = MakeCsvSplitter(delimiter, record_bytes_max);
  format.make_decoder = [o = CsvOptions{format.schema, format.headers, delimiter, record_bytes_max}] {
    return MakeCsvDecoder(o);
  };
  return format;
}

/// Bytes as a chunk; what follows them in the buffer is noise that looks like JSON, as in a real source.
inline RawChunk ChunkOf(std::string_view bytes, bool starts_file = false, int64_t header = 0) {
  RawChunk chunk;
  chunk.bytes = AllocateBuffer(static_cast<int64_t>(bytes.size()));
  std::memcpy(chunk.bytes->data(), bytes.data(), bytes.size());
  std::memcpy(chunk.bytes->data() + bytes.size(),
              "\"}\n{\"a\":1,\"b\":2}0123456789\"\"}}}}]]]]::::,,,,    1e99999  {{{[[[", 60);
  chunk.size = static_cast<int64_t>(bytes.size());
  chunk.numbers[0] = header;
  chunk.numbers[1] = starts_file ? kChunkStartsFile : 0;
  return chunk;
}

inline DecodedBlock DecodeAll(const SourceFormat& format, std::string_view bytes, bool starts_file = false) {
  DecodedBlock block;
  int64_t header = 0;
  if (format.headers != nullptr) {
    const RecordSplitter::Piece first =
        format.splitter->Cut(bytes.data(), static_cast<int64_t>(bytes.size()), 1, 1, true);
    header = format.headers->Add(ParseCsvHeader(bytes.substr(0, static_cast<size_t>(first.bytes)), format.delimiter));
  }
  format.make_decoder()->Decode(ChunkOf(bytes, starts_file || format.headers != nullptr, header), &block);
  return block;
}

/// One row as text: "a=1 b=null c=[x]".
inline std::string RowText(const Schema& schema, const std::vector<Column>& columns, int32_t row) {
  std::string text;
  for (int i = 0; i < schema.size(); ++i) {
    const Column& c = columns[static_cast<size_t>(i)];
    text += (i > 0 ? " " : "") + schema.field(i).name + "=";
    if (c.IsNull(row)) {
      text += "null";
      continue;
    }
    switch (c.type()) {
      case TypeId::kBool:
        text += c.BoolAt(row) ? "true" : "false";
        break;
      case TypeId::kInt64:
      case TypeId::kTimestamp:
        text += std::to_string(c.int64s()[row]);
        break;
      case TypeId::kFloat64: {
        char digits[40];
        std::snprintf(digits, sizeof digits, "%.17g", c.float64s()[row]);
        text += digits;
        break;
      }
      case TypeId::kString:
      case TypeId::kJson:
        text += "[" + std::string(c.StringAt(row)) + "]";
        break;
      case TypeId::kListFloat64:
        text += "<";
        for (const double v : c.ListAt(row)) text += std::to_string(v) + ";";
        text += ">";
        break;
    }
  }
  return text;
}

/// What a stream of blocks says, as lines in record order: "record@line row-text" and "record@line dead reason | raw".
class Transcript {
 public:
  explicit Transcript(std::shared_ptr<const SourceSchema> schema) : schema_(std::move(schema)) {}
  void Add(const DecodedBlock& block) {
    size_t dead = 0;
    const auto dead_until = [&](int64_t record) {
      for (; dead < block.dead.size() && block.dead[dead].record_offset < record; ++dead) {
        const DeadRecord& d = block.dead[dead];
        lines_.push_back(std::to_string(records_ + d.record_offset) + "@" +
                         std::to_string(lines_read_ + d.line_offset + 1) + " dead " + d.reason + " | " + d.raw);
      }
    };
    for (int32_t row = 0; row < block.row_count; ++row) {
      const auto r = static_cast<size_t>(row);
      const int64_t record = block.record_offsets.empty() ? row : block.record_offsets[r];
      dead_until(record);
      const int64_t line = block.row_lines.empty() ? record : block.row_lines[r];
      lines_.push_back(std::to_string(records_ + record) + "@" + std::to_string(lines_read_ + line + 1) + " " +
                       RowText(*schema_->columns, block.columns, row));
    }
    dead_until(block.record_count);
    records_ += block.record_count;
    lines_read_ += block.line_count;
    skipped_ += block.skipped;
    rows_ += block.row_count;
  }
  std::string text() const {
    std::string all;
    for (const std::string& line : lines_) all += line + "\n";
    return all + "records " + std::to_string(records_) + " lines " + std::to_string(lines_read_) + " skipped " +
           std::to_string(skipped_) + "\n";
  }
  const std::vector<std::string>& lines() const { return lines_; }
  int64_t records() const { return records_; }
  int64_t rows() const { return rows_; }
  int64_t skipped() const { return skipped_; }

 private:
  std::shared_ptr<const SourceSchema> schema_;
  std::vector<std::string> lines_;
  int64_t records_ = 0;
  int64_t lines_read_ = 0;
  int64_t skipped_ = 0;
  int64_t rows_ = 0;
};

inline std::string TranscriptOf(const SourceFormat& format, std::string_view bytes, bool starts_file = false) {
  Transcript transcript(format.schema);
  transcript.Add(DecodeAll(format, bytes, starts_file));
  return transcript.text();
}

}  // namespace freshet::testing
