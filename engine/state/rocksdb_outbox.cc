#include "engine/state/rocksdb_outbox.h"

#include <rocksdb/db.h>
#include <rocksdb/iterator.h>
#include <rocksdb/write_batch.h>

#include <utility>

#include "engine/state/rocksdb_rows.h"
#include "engine/state/row_format.h"

namespace freshet {
namespace {

std::string Frame(std::string_view key, std::string_view value) {
  const uint32_t checksum = RowChecksum(key, value);
  std::string framed;
  framed.reserve(EpochRows::kFrameBytes + value.size());
  for (int shift = 0; shift < 32; shift += 8) framed += static_cast<char>(checksum >> shift & 0xff);
  framed += value;
  return framed;
}

class RocksDbOutbox final : public OutboxStore {
 public:
  RocksDbOutbox(WithOutboxFamily with_family, SyncedSequence synced)
      : with_family_(std::move(with_family)), synced_(std::move(synced)) {}

  Result<std::optional<std::string>> Get(std::string_view key) override {
    std::string framed;
    bool found = true;
    FRESHET_RETURN_IF_ERROR(with_family_([&](rocksdb::DB* db, rocksdb::ColumnFamilyHandle* family) {
      rocksdb::Status s = db->Get({}, family, SliceOf(key), &framed);
      found = !s.IsNotFound();
      return found ? s : rocksdb::Status::OK();
    }));
    if (!found) return std::optional<std::string>();
    FRESHET_ASSIGN_OR_RETURN(const std::string_view value, UnframeValue(key, framed));
    return std::optional<std::string>(value);
  }

  Status Write(const std::vector<Change>& changes, bool synced) override {
    return with_family_([&](rocksdb::DB* db, rocksdb::ColumnFamilyHandle* family) {
      rocksdb::WriteBatch batch;
      for (const Change& change : changes) {
        rocksdb::Status s = change.value ? batch.Put(family, change.key, Frame(change.key, *change.value))
                                         : batch.Delete(family, change.key);
        if (!s.ok()) return s;
      }
      return synced ? WriteSyncedBatch(db, &batch, synced_) : db->Write({}, &batch);
    });
  }

  Result<std::vector<Row>> Scan(std::string_view from, std::string_view to, size_t limit) override {
    std::vector<Row> rows;
    Status damage;
    FRESHET_RETURN_IF_ERROR(with_family_([&](rocksdb::DB* db, rocksdb::ColumnFamilyHandle* family) {
      const rocksdb::Slice end = SliceOf(to);
      rocksdb::ReadOptions read;
      read.iterate_upper_bound = &end;
      const std::unique_ptr<rocksdb::Iterator> it(db->NewIterator(read, family));
      for (it->Seek(SliceOf(from)); it->Valid() && rows.size() < limit; it->Next()) {
        const Result<std::string_view> value = UnframeValue(ViewOf(it->key()), ViewOf(it->value()));
        if (!value.ok()) {
          damage = value.status();
          break;
        }
        rows.push_back({it->key().ToString(), std::string(*value)});
      }
      return it->status();
    }));
    FRESHET_RETURN_IF_ERROR(std::move(damage));
    return rows;
  }

  Status EraseRange(std::string_view from, std::string_view to) override {
    if (from >= to) return Status::Ok();
    return with_family_([&](rocksdb::DB* db, rocksdb::ColumnFamilyHandle* family) {
      rocksdb::WriteBatch batch;
      rocksdb::Status s = batch.DeleteRange(family, SliceOf(from), SliceOf(to));
      return s.ok() ? db->Write({}, &batch) : s;
    });
  }

 private:
  const WithOutboxFamily with_family_;
  const SyncedSequence synced_;
};

}  // namespace

std::unique_ptr<OutboxStore> NewRocksDbOutbox(WithOutboxFamily with_family, SyncedSequence synced) {
  return std::make_unique<RocksDbOutbox>(std::move(with_family), std::move(synced));
}

}  // namespace freshet
