#pragma once

#include <doctest/doctest.h>

#include <map>
#include <memory>
#include <string>
#include <tuple>

#include "engine/base/rng.h"
#include "engine/state/checkpoint_store.h"
#include "tests/state/temp_directory.h"

namespace freshet {

/// A slow and obvious store: what the real ones must equal.
using Oracle = std::map<std::tuple<TableId, uint16_t, std::string>, std::string>;

inline Manifest ManifestOf(uint64_t epoch) {
  Manifest manifest;
  manifest.epoch = {epoch};
  manifest.program_version = "test";
  manifest.pipeline_name = "store";
  manifest.tables.push_back({"node", "table", 1, 1, "key: int64"});
  return manifest;
}

/// One random epoch of about `count` changes over a small universe of keys, so that they hit one another.
inline EpochRows RandomEpoch(Rng& rng, size_t count, Oracle& oracle) {
  std::map<std::tuple<TableId, uint16_t, std::string>, bool> changed;
  EpochRows rows;
  while (changed.size() < count) {
    const auto table = static_cast<TableId>(1 + rng.Below(3));
    const uint64_t id = rng.Below(4000);
    const auto key_group = static_cast<uint16_t>(Mix64(id) % 128);
    const std::string key = "key" + std::to_string(id);
    if (!changed.emplace(std::tuple(table, key_group, key), true).second) continue;
    if (rng.Below(4) == 0) {
      rows.Erase(table, key_group, key);
      oracle.erase({table, key_group, key});
    } else {
      const std::string value(rng.Below(40), static_cast<char>('a' + rng.Below(26)));
      rows.Put(table, key_group, key, value);
      oracle[{table, key_group, key}] = value;
    }
  }
  return rows;
}

/// Everything in the operators' tables.
inline Oracle ContentsOf(CheckpointStore& store) {
  Oracle found;
  for (TableId table = 1; table <= 3; ++table) {
    const Status status =
        store.Scan(table, 0, 127, [&](uint16_t key_group, std::string_view key, std::string_view value) {
          CHECK(found.emplace(std::tuple(table, key_group, std::string(key)), std::string(value)).second);
          return Status::Ok();
        });
    CHECK_MESSAGE(status.ok(), status.message());
  }
  return found;
}

/// The two stores behind one face: Reopen is a restart.
class MemoryFixture {
 public:
  MemoryFixture() : store_(NewMemoryStore()) {}
  CheckpointStore& store() { return *store_; }
  void Reopen() {}

 private:
  std::unique_ptr<CheckpointStore> store_;
};

class RocksDbFixture {
 public:
  RocksDbFixture() { Reopen(); }
  CheckpointStore& store() { return *store_; }
  const std::string& path() const { return directory_.path(); }
  void Close() { store_.reset(); }
  void Reopen() {
    store_.reset();
    auto opened = OpenRocksDbStore(Env::Posix(), directory_.path(), false);
    REQUIRE_MESSAGE(opened.ok(), opened.status().message());
    store_ = std::move(opened).value();
  }

 private:
  TempDirectory directory_;
  std::unique_ptr<CheckpointStore> store_;
};

}  // namespace freshet
