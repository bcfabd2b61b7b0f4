#pragma once

#include <functional>
#include <memory>
#include <string>

#include "engine/state/outbox_store.h"
#include "engine/state/rocksdb_rows.h"

namespace rocksdb {
class ColumnFamilyHandle;
class DB;
class Status;
}  // namespace rocksdb

namespace freshet {

/// The second column family of a state directory (FORMAT.md).
inline constexpr const char* kOutboxFamily = "outbox";

/// What the outbox needs of the store that owns the database: to be called with it open, and kept open meanwhile. The
/// store sees to it that a database that failed is put in order first, and turns what the body says into a Status.
using WithOutboxFamily =
    std::function<Status(const std::function<rocksdb::Status(rocksdb::DB*, rocksdb::ColumnFamilyHandle*)>& body)>;

/// `synced` is told of each synced Write, with the store's number of it.
std::unique_ptr<OutboxStore> NewRocksDbOutbox(WithOutboxFamily with_family, SyncedSequence synced);

}  // namespace freshet
