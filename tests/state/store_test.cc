#include "engine/state/row_format.h"
#include "tests/state/store_fixture.h"

namespace freshet {
namespace {

TEST_CASE_TEMPLATE("Store_Fresh_IsEmpty", Fixture, MemoryFixture, RocksDbFixture) {
  Fixture f;
  auto manifest = f.store().Load();
  REQUIRE(manifest.ok());
  CHECK_FALSE(manifest->has_value());
  CHECK(ContentsOf(f.store()).empty());
}

TEST_CASE_TEMPLATE("Store_RandomEpochs_EqualOracleAcrossReopen", Fixture, MemoryFixture, RocksDbFixture) {
  constexpr uint64_t kSeed = 20260201;
  CAPTURE(kSeed);
  Fixture f;
  Rng rng(kSeed);
  Oracle oracle;
  for (uint64_t epoch = 1; epoch <= 24; ++epoch) {
    const size_t count = rng.Below(3) == 0 ? 2001 + rng.Below(2000) : rng.Below(300);
    CAPTURE(epoch);
    CAPTURE(count);
    const Status status = f.store().Commit(ManifestOf(epoch), RandomEpoch(rng, count, oracle));
    REQUIRE_MESSAGE(status.ok(), status.message());
    if (rng.Below(3) == 0) f.Reopen();
    if (epoch % 4 == 0) REQUIRE(ContentsOf(f.store()) == oracle);
    auto manifest = f.store().Load();
    REQUIRE(manifest.ok());
    REQUIRE(manifest->value().epoch.number == epoch);
  }
  for (const auto& [place, value] : oracle) {
    auto found = f.store().Get(std::get<0>(place), std::get<1>(place), std::get<2>(place));
    REQUIRE(found.ok());
    REQUIRE(*found == value);
  }
}

TEST_CASE_TEMPLATE("Store_Scan_StaysInItsRangeAndStopsWhenTold", Fixture, MemoryFixture, RocksDbFixture) {
  Fixture f;
  EpochRows rows;
  for (uint16_t group = 0; group < 128; ++group) rows.Put(1, group, "k", std::to_string(group));
  rows.Put(0, 0, "extra", "e");
  rows.Put(2, 0, "", "");  // an empty key and an empty value are a key and a value
  REQUIRE(f.store().Commit(ManifestOf(1), std::move(rows)).ok());
  std::vector<uint16_t> seen;
  auto visit = [&](uint16_t group, std::string_view, std::string_view value) {
    CHECK(value == std::to_string(group));
    seen.push_back(group);
    return seen.size() == 3 ? Status::Cancelled("enough") : Status::Ok();
  };
  CHECK(f.store().Scan(1, 126, 127, visit).ok());
  CHECK(seen == std::vector<uint16_t>{126, 127});
  CHECK(f.store().Scan(1, 0, 127, visit).code() == StatusCode::kCancelled);
  CHECK(seen == std::vector<uint16_t>{126, 127, 0});
  int engine_rows = 0;
  CHECK(f.store()
            .Scan(0, 0, 127,
                  [&](uint16_t, std::string_view key, std::string_view) {
                    CHECK(key == "extra");  // never the manifest
                    ++engine_rows;
                    return Status::Ok();
                  })
            .ok());
  CHECK(engine_rows == 1);
  auto empty = f.store().Get(2, 0, "");
  REQUIRE(empty.ok());
  CHECK(*empty == "");
  auto missing = f.store().Get(2, 1, "");
  REQUIRE(missing.ok());
  CHECK_FALSE(missing->has_value());
}

TEST_CASE_TEMPLATE("Store_OlderEpoch_IsRefusedAndRowsStay", Fixture, MemoryFixture, RocksDbFixture) {
  Fixture f;
  EpochRows first;
  first.Put(1, 0, "k", "one");
  REQUIRE(f.store().Commit(ManifestOf(5), std::move(first)).ok());
  f.Reopen();
  EpochRows rows;
  rows.Put(1, 0, "k", "two");
  CHECK(f.store().Commit(ManifestOf(5), std::move(rows)).code() == StatusCode::kInternal);
  CHECK(rows.count() == 1);
  CHECK(*f.store().Get(1, 0, "k").value() == "one");
  CHECK(f.store().Commit(ManifestOf(6), std::move(rows)).ok());
  CHECK(rows.empty());
  CHECK(*f.store().Get(1, 0, "k").value() == "two");
}

TEST_CASE_TEMPLATE("Store_BigEpoch_ErasedAgain", Fixture, MemoryFixture, RocksDbFixture) {
  constexpr uint32_t kRows = 200000;
  Fixture f;
  const auto key_of = [](uint32_t i) { return "user" + std::to_string(i * 7919 % kRows); };
  EpochRows rows;
  for (uint32_t i = 0; i < kRows; ++i) rows.Put(3, static_cast<uint16_t>(i % 128), key_of(i), std::to_string(i));
  REQUIRE(f.store().Commit(ManifestOf(1), std::move(rows)).ok());
  f.Reopen();
  EpochRows tombstones;
  for (uint32_t i = 0; i < kRows; ++i)
    if (i % 2 == 0) tombstones.Erase(3, static_cast<uint16_t>(i % 128), key_of(i));
  REQUIRE(f.store().Commit(ManifestOf(2), std::move(tombstones)).ok());
  f.Reopen();
  uint32_t live = 0;
  REQUIRE(f.store()
              .Scan(3, 0, 127,
                    [&](uint16_t, std::string_view, std::string_view value) {
                      ++live;
                      return (value.back() - '0') % 2 == 1 ? Status::Ok() : Status::Internal("an erased row came back");
                    })
              .ok());
  CHECK(live == kRows / 2);
}

TEST_CASE("EpochRows_SameKeyTwice_LastAddedStays") {
  EpochRows skipped;
  skipped.Put(1, 2, "a", "old");
  skipped.Put(1, 2, "b", "kept");
  skipped.Put(1, 2, "c", "old");
  EpochRows newer;
  newer.Erase(1, 2, "c");
  newer.Put(1, 2, "a", "new");
  newer.Put(1, 1, "z", std::string(500000, 'x'));  // larger than a chunk may be
  skipped.Merge(std::move(newer));
  CHECK(newer.empty());
  CHECK(newer.byte_size() == 0);
  const auto& rows = skipped.Sorted();
  REQUIRE(rows.size() == 4);
  CHECK(rows[0].key() == EncodeRowKey(1, 1, "z"));
  CHECK(rows[0].value().size() == 500000);
  CHECK(rows[1].value() == "new");
  CHECK(rows[2].value() == "kept");
  CHECK(rows[3].erased());
  int64_t bytes = 0;
  for (const auto& row : rows) bytes += static_cast<int64_t>(row.key().size() + row.framed_value().size());
  CHECK(skipped.byte_size() == bytes);
}

TEST_CASE("EpochRows_Sorted_IsBytewiseWhateverTheLengths") {
  Rng rng(7);
  EpochRows rows;
  std::map<std::string, std::string> oracle;
  for (int i = 0; i < 5000; ++i) {
    std::string key;
    for (uint64_t n = rng.Below(9); n > 0; --n) key.push_back(static_cast<char>(rng.Below(3) * 127));
    const auto table = static_cast<TableId>(rng.Below(2) * 256);
    const std::string value = std::to_string(i);
    rows.Put(table, 5, key, value);
    oracle[EncodeRowKey(table, 5, key)] = value;
  }
  auto expected = oracle.begin();
  REQUIRE(rows.Sorted().size() == oracle.size());
  for (const auto& row : rows.Sorted()) {
    REQUIRE(row.key() == expected->first);
    REQUIRE(row.value() == expected->second);
    ++expected;
  }
}

TEST_CASE("RowFormat_ChangedByteOrPlace_FailsTheChecksum") {
  EpochRows rows;
  rows.Put(1, 2, "key", "value");
  const auto& row = rows.Sorted()[0];
  std::string framed(row.framed_value());
  CHECK(*UnframeValue(row.key(), framed) == "value");
  CHECK(UnframeValue(EncodeRowKey(1, 3, "key"), framed).status().code() == StatusCode::kDataLoss);
  for (char& c : framed) {
    c ^= 1;
    CHECK(UnframeValue(row.key(), framed).status().code() == StatusCode::kDataLoss);
    c ^= 1;
  }
  CHECK(UnframeValue(row.key(), "abc").status().code() == StatusCode::kDataLoss);
}

TEST_CASE("RowFormat_Bytes_AreFrozen") {
  EpochRows rows;
  rows.Put(0x0102, 0x0304, "k", "v");
  const auto& row = rows.Sorted()[0];
  CHECK(row.key() == std::string_view("\x01\x02\x03\x04k", 5));
  CHECK(RowChecksum(row.key(), "v") == 3851335601u);
  CHECK(ManifestRowKey() == std::string_view("\x00\x00\xff\xffmanifest", 12));
  CHECK(RowKeyAfter(1, 127) == std::string_view("\x00\x01\x00\x80", 4));
  CHECK(RowKeyAfter(1, 0xffff) == std::string_view("\x00\x02\x00\x00", 4));
  CHECK(RowKeyAfter(0xffff, 0xffff) > EncodeRowKey(0xffff, 0xffff, ""));
}

TEST_CASE("Manifest_Encode_ReadsBackAndRefusesTornOrNewer") {
  Manifest manifest = ManifestOf(77);
  manifest.committed_wall_us = -5;
  manifest.finished = true;
  manifest.tables.push_back({"n2", "t2", 65535, 9, ""});
  const std::string bytes = manifest.Encode();
  const auto decoded = Manifest::Decode(bytes);
  REQUIRE(decoded.ok());
  CHECK(decoded->epoch == manifest.epoch);
  CHECK(decoded->committed_wall_us == -5);
  CHECK(decoded->finished);
  REQUIRE(decoded->tables.size() == 2);
  CHECK(decoded->tables[1].id == 65535);
  CHECK(decoded->tables[1].codec == 9);
  CHECK(decoded->Encode() == bytes);
  for (size_t n = 0; n < bytes.size(); ++n)
    CHECK(Manifest::Decode(std::string_view(bytes).substr(0, n)).status().code() == StatusCode::kDataLoss);
  CHECK(Manifest::Decode(bytes + "x").status().code() == StatusCode::kDataLoss);
  std::string newer = bytes;
  newer[4] = 2;
  const Status status = Manifest::Decode(newer).status();
  CHECK(status.code() == StatusCode::kUnsupported);
  CHECK(status.message().find("--fresh") != std::string::npos);
}

}  // namespace
}  // namespace freshet
