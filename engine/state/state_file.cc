#include "engine/state/state_file.h"

#include "engine/base/bytes.h"
#include "engine/base/limits.h"
#include "engine/state/outbox_store.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace freshet {
namespace {

constexpr uint32_t kStateFileMagic = 0x58545346;  // "FSTX"
constexpr uint16_t kStateFileVersion = 1;
constexpr size_t kOutboxScanRows = 1000;
constexpr size_t kWriteBytes = 1 << 16;
constexpr size_t kChecksumBytes = 8;

enum class Record : uint8_t { kEnd = 0, kRow = 1, kOutbox = 2 };

/// Appends to a file and keeps the checksum of all it wrote.
class Writer {
 public:
  explicit Writer(WritableFile* file) : file_(file) { XXH3_64bits_reset(&hash_); }
  ByteSink& sink() { return sink_; }
  Status FlushIfLarge() { return sink_.size() >= kWriteBytes ? Flush() : Status::Ok(); }
  Status Finish() {
    FRESHET_RETURN_IF_ERROR(Flush());
    sink_.PutU64(XXH3_64bits_digest(&hash_));
    FRESHET_RETURN_IF_ERROR(file_->Append(sink_.Take()));
    FRESHET_RETURN_IF_ERROR(file_->Sync());
    return file_->Close();
  }

 private:
  Status Flush() {
    const std::string bytes = sink_.Take();
    XXH3_64bits_update(&hash_, bytes.data(), bytes.size());
    return file_->Append(bytes);
  }
  WritableFile* const file_;
  ByteSink sink_;
  XXH3_state_t hash_;
};

Status WriteRows(CheckpointStore& store, Writer* out, StateFileFigures* figures) {
  std::vector<TableId> tables = {kEngineTable};
  for (const Manifest::Table& table : figures->manifest.tables) tables.push_back(table.id);
  for (const TableId table : tables) {
    FRESHET_RETURN_IF_ERROR(
        store.Scan(table, 0, kKeyGroupCount - 1, [&](uint16_t group, std::string_view key, std::string_view value) {
          ByteSink& sink = out->sink();
          sink.PutU8(static_cast<uint8_t>(Record::kRow));
          sink.PutU16(table);
          sink.PutU16(group);
          sink.PutString(key);
          sink.PutString(value);
          ++figures->row_count;
          return out->FlushIfLarge();
        }));
  }
  return Status::Ok();
}

Status WriteOutbox(OutboxStore* outbox, Writer* out, StateFileFigures* figures) {
  if (outbox == nullptr) return Status::Ok();
  const std::string end(64, '\xff');
  for (std::string from;;) {
    FRESHET_ASSIGN_OR_RETURN(const std::vector<OutboxStore::Row> rows, outbox->Scan(from, end, kOutboxScanRows));
    for (const OutboxStore::Row& row : rows) {
      out->sink().PutU8(static_cast<uint8_t>(Record::kOutbox));
      out->sink().PutString(row.key);
      out->sink().PutString(row.value);
      FRESHET_RETURN_IF_ERROR(out->FlushIfLarge());
    }
    figures->outbox_count += static_cast<int64_t>(rows.size());
    if (rows.size() < kOutboxScanRows) return Status::Ok();
    from = rows.back().key + '\0';
  }
}

Status Damaged(const std::string& path) {
  return Status::DataLoss(path +
                          " is no whole state file (its checksum does not fit): export it again, or take a copy");
}

}  // namespace

Result<StateFileFigures> ExportState(CheckpointStore& store, Env* env, const std::string& path) {
  StateFileFigures figures;
  FRESHET_ASSIGN_OR_RETURN(std::optional<Manifest> manifest, store.Load());
  if (!manifest) return Status::NotFound("there is no state to export");
  figures.manifest = std::move(*manifest);
  const std::string unfinished = path + ".part";
  FRESHET_ASSIGN_OR_RETURN(const auto file, env->OpenWritable(unfinished, 0));
  Writer out(file.get());
  out.sink().PutU32(kStateFileMagic);
  out.sink().PutU16(kStateFileVersion);
  out.sink().PutString(figures.manifest.Encode());
  Status status = WriteRows(store, &out, &figures);
  if (status.ok()) status = WriteOutbox(store.outbox(), &out, &figures);
  out.sink().PutU8(static_cast<uint8_t>(Record::kEnd));
  if (status.ok()) status = out.Finish();
  figures.file_bytes = file->size();
  if (status.ok()) status = env->Rename(unfinished, path);
  if (status.ok()) status = env->SyncDirectory(DirectoryOf(path));
  if (status.ok()) return figures;
  (void)env->Remove(unfinished).ok();
  return status;
}

Result<StateFileFigures> ImportState(CheckpointStore& store, Env* env, const std::string& path) {
  FRESHET_ASSIGN_OR_RETURN(const std::optional<Manifest> present, store.Load());
  if (present)
    return Status::AlreadyExists("the state is not empty; import into another directory, or `--fresh` first");
  const Result<std::string> read = env->ReadFile(path);
  FRESHET_RETURN_IF_ERROR(read.status());
  const std::string_view bytes = *read;
  ByteSource source(bytes);
  const uint32_t magic = source.GetU32();
  const uint16_t version = source.GetU16();
  if (!source.ok() || magic != kStateFileMagic)
    return Status::DataLoss(path + " is no state file; `freshet state export` makes one");
  if (version > kStateFileVersion)
    return Status::Unsupported(path + " has format " + std::to_string(version) + ", this program knows formats up to " +
                               std::to_string(kStateFileVersion) + ": import it with the newer Freshet that wrote it");
  if (bytes.size() < kChecksumBytes) return Damaged(path);
  const std::string_view body = bytes.substr(0, bytes.size() - kChecksumBytes);
  if (ByteSource(bytes.substr(body.size())).GetU64() != XXH3_64bits(body.data(), body.size())) return Damaged(path);
  StateFileFigures figures;
  figures.file_bytes = static_cast<int64_t>(bytes.size());
  FRESHET_ASSIGN_OR_RETURN(figures.manifest, Manifest::Decode(source.GetString()));
  EpochRows rows;
  std::vector<OutboxStore::Change> outbox;
  for (auto kind = Record::kEnd; (kind = static_cast<Record>(source.GetU8())) != Record::kEnd;) {
    if (kind == Record::kRow) {
      const uint16_t table = source.GetU16();
      const uint16_t group = source.GetU16();
      const std::string key(source.GetString());
      rows.Put(table, group, key, source.GetString());
    } else {
      const std::string key(source.GetString());
      outbox.push_back({key, std::string(source.GetString())});
    }
    if (!source.ok()) return Damaged(path);
  }
  figures.row_count = static_cast<int64_t>(rows.count());
  figures.outbox_count = static_cast<int64_t>(outbox.size());
  // The outbox first: a row without its epoch is harmless, the other way round one would never leave.
  if (!outbox.empty()) {
    if (store.outbox() == nullptr) return Status::Unsupported("this store has no place for rows that wait to leave");
    FRESHET_RETURN_IF_ERROR(store.outbox()->Write(outbox, /*synced=*/true));
  }
  FRESHET_RETURN_IF_ERROR(store.Commit(figures.manifest, std::move(rows)));
  return figures;
}

}  // namespace freshet
