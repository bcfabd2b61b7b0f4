#include "engine/batch/batch_codec.h"

namespace freshet {
namespace {

void EncodeValue(const Column& column, int32_t row, ByteSink& sink) {
  switch (column.type()) {
    case TypeId::kBool:
      sink.PutBool(column.BoolAt(row));
      break;
    case TypeId::kInt64:
    case TypeId::kTimestamp:
      sink.PutI64(column.int64s()[row]);
      break;
    case TypeId::kFloat64:
      sink.PutF64(column.float64s()[row]);
      break;
    case TypeId::kString:
    case TypeId::kJson:
      sink.PutString(column.StringAt(row));
      break;
    case TypeId::kListFloat64: {
      const auto list = column.ListAt(row);
      sink.PutVarint(list.size());
      for (double v : list) sink.PutF64(v);
      break;
    }
  }
}

void SkipValue(ByteSource& source, TypeId type) {
  switch (type) {
    case TypeId::kBool:
      source.GetBool();
      break;
    case TypeId::kInt64:
    case TypeId::kTimestamp:
    case TypeId::kFloat64:
      source.GetI64();
      break;
    case TypeId::kString:
    case TypeId::kJson:
      source.GetString();
      break;
    case TypeId::kListFloat64:
      for (uint64_t n = source.GetVarint(); n > 0 && source.ok(); --n) source.GetF64();
      break;
  }
}

void DecodeValue(ByteSource& source, ColumnBuilder& builder) {
  switch (builder.type()) {
    case TypeId::kBool:
      builder.AppendBool(source.GetBool());
      break;
    case TypeId::kInt64:
    case TypeId::kTimestamp:
      builder.AppendInt64(source.GetI64());
      break;
    case TypeId::kFloat64:
      builder.AppendFloat64(source.GetF64());
      break;
    case TypeId::kString:
    case TypeId::kJson:
      builder.AppendString(source.GetString());
      break;
    case TypeId::kListFloat64: {
      std::vector<double> list;
      for (uint64_t n = source.GetVarint(); n > 0 && source.ok(); --n) list.push_back(source.GetF64());
      builder.AppendList(list);
      break;
    }
  }
}

}  // namespace

void EncodeBatch(const Batch& batch, ByteSink& sink) {
  const int32_t rows = batch.row_count();
  sink.PutVarint(static_cast<uint64_t>(rows));
  if (rows == 0) return;
  sink.PutBool(batch.has_times());
  for (int32_t i = 0; i < rows; ++i) {
    if (batch.has_times()) sink.PutI64(batch.time(i).us);
    sink.PutI64(batch.row_watermark(i).us);
    sink.PutU64(batch.ordinal(i).value);
  }
  for (const Column& column : batch.columns()) {
    for (int32_t i = 0; i < rows; ++i) {
      sink.PutBool(column.IsValid(i));
      if (column.IsValid(i)) EncodeValue(column, i, sink);
    }
  }
}

bool DecodeBatch(ByteSource& source, const SchemaRef& schema, Batch* batch) {
  const uint64_t count = source.GetVarint();
  if (count == 0) {
    *batch = Batch();
    return source.ok();
  }
  if (count > source.remaining()) return false;
  const auto rows = static_cast<int32_t>(count);
  RowMeta meta;
  const bool has_times = source.GetBool();
  if (has_times) meta.times = AllocateBuffer(int64_t{8} * rows);
  meta.watermarks = AllocateBuffer(int64_t{8} * rows);
  meta.ordinals = AllocateBuffer(int64_t{8} * rows);
  for (int32_t i = 0; i < rows; ++i) {
    if (has_times) meta.times.as<int64_t>()[i] = source.GetI64();
    meta.watermarks.as<int64_t>()[i] = source.GetI64();
    meta.ordinals.as<uint64_t>()[i] = source.GetU64();
  }
  std::vector<Column> columns;
  for (const Field& field : schema->fields()) {
    ColumnBuilder builder(field.type, rows);
    for (int32_t i = 0; i < rows; ++i) {
      if (source.GetBool())
        DecodeValue(source, builder);
      else
        builder.AppendNull();
    }
    columns.push_back(builder.Finish());
  }
  if (!source.ok()) return false;
  *batch = Batch(schema, std::move(columns), rows, std::move(meta));
  return true;
}

void EncodeRow(const Batch& batch, int32_t row, ByteSink& sink) {
  for (const Column& column : batch.columns()) {
    sink.PutBool(column.IsValid(row));
    if (column.IsValid(row)) EncodeValue(column, row, sink);
  }
}

bool DecodeRow(ByteSource& source, const Schema& schema, const std::vector<ColumnBuilder*>& builders) {
  for (int c = 0; c < schema.size(); ++c) {
    ColumnBuilder* builder = builders[static_cast<size_t>(c)];
    const bool valid = source.GetBool();
    if (valid && builder != nullptr) DecodeValue(source, *builder);
    if (valid && builder == nullptr) SkipValue(source, schema.field(c).type);
    if (!valid && builder != nullptr) builder->AppendNull();
  }
  return source.ok() && source.exhausted();
}

}  // namespace freshet
