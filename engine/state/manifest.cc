#include "engine/base/bytes.h"
#include "engine/state/checkpoint_store.h"

namespace freshet {
namespace {

constexpr uint32_t kManifestMagic = 0x4d545346;  // "FSTM"
constexpr uint16_t kStateFormatVersion = 1;

}  // namespace

std::string Manifest::Encode() const {
  ByteSink sink;
  sink.PutU32(kManifestMagic);
  sink.PutU16(kStateFormatVersion);
  sink.PutU64(epoch.number);
  sink.PutString(program_version);
  sink.PutString(pipeline_name);
  sink.PutI64(committed_wall_us);
  sink.PutBool(finished);
  sink.PutVarint(tables.size());
  for (const Table& table : tables) {
    sink.PutString(table.node_id);
    sink.PutString(table.name);
    sink.PutU16(table.id);
    sink.PutU16(table.codec);
    sink.PutString(table.fingerprint);
  }
  return sink.Take();
}

Result<Manifest> Manifest::Decode(std::string_view bytes) {
  ByteSource source(bytes);
  const uint32_t magic = source.GetU32();
  const uint16_t version = source.GetU16();
  if (!source.ok() || magic != kManifestMagic) return Status::DataLoss("the manifest of the state cannot be read");
  if (version > kStateFormatVersion)
    return Status::Unsupported("the state has format " + std::to_string(version) +
                               ", this program knows formats up to " + std::to_string(kStateFormatVersion) +
                               ": run the newer Freshet that wrote it, or start over with `--fresh`");
  Manifest manifest;
  manifest.epoch.number = source.GetU64();
  manifest.program_version = source.GetString();
  manifest.pipeline_name = source.GetString();
  manifest.committed_wall_us = source.GetI64();
  manifest.finished = source.GetBool();
  const uint64_t table_count = source.GetVarint();
  for (uint64_t i = 0; i < table_count && source.ok(); ++i) {
    Table table;
    table.node_id = source.GetString();
    table.name = source.GetString();
    table.id = source.GetU16();
    table.codec = source.GetU16();
    table.fingerprint = source.GetString();
    manifest.tables.push_back(std::move(table));
  }
  if (!source.ok() || !source.exhausted()) return Status::DataLoss("the manifest of the state cannot be read");
  return manifest;
}

}  // namespace freshet
