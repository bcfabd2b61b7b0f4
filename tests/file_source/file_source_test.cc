#include "connectors/file/file_source.h"

#include <doctest/doctest.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <filesystem>
#include <fstream>

#include "connectors/stdin/stdin_source.h"
#include "engine/base/rng.h"
#include "tests/format/decode_support.h"

namespace freshet::testing {
namespace {

namespace fs = std::filesystem;

/// A directory of its own, removed at the end.
class Folder {
 public:
  Folder() {
    std::string pattern = (fs::temp_directory_path() / "freshet_file_source_XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~Folder() { fs::remove_all(path_); }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

void Write(const std::string& path, std::string_view bytes, bool append = false) {
  std::ofstream(path, append ? std::ios::app | std::ios::binary : std::ios::binary) << bytes;
}

std::string Gzip(std::string_view bytes) {
  std::string out(compressBound(bytes.size()) + 64, '\0');
  z_stream z{};
  deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  z.avail_in = static_cast<uInt>(bytes.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  deflate(&z, Z_FINISH);
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

std::string Zstd(std::string_view bytes) {
  std::string out(ZSTD_compressBound(bytes.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), bytes.data(), bytes.size(), 3));
  return out;
}

/// Runs a source as the engine does: polls, decodes, remembers positions.
class Reading {
 public:
  Reading(std::vector<std::string> paths, const SourceFormat& format, bool follow = false,
          std::vector<PartitionPosition> restored = {})
      : Reading(MakeFileSource({std::move(paths), follow, "s"}, format), format, std::move(restored)) {}
  Reading(std::unique_ptr<Source> source, const SourceFormat& format, std::vector<PartitionPosition> restored = {})
      : transcript(format.schema),
        source_(std::move(source)),
        decoder_(format.make_decoder()),
        positions_(std::move(restored)) {
    SourceOpenContext context;
    context.env = Env::Posix();
    context.restored = positions_;
    status = source_->Open(context);
  }
  /// One chunk; false when there is none now, or no more.
  bool Step(PollBudget budget = {kSourceCreditRows, kSourceCreditBytes}) {
    RawChunk chunk;
    const Result<PollOutcome> polled = source_->Poll(budget, &chunk);
    status = polled.status();
    if (!status.ok()) return false;
    ended = *polled == PollOutcome::kEnd;
    if (*polled != PollOutcome::kChunk) return false;
    CHECK(chunk.size <= std::max<int64_t>(budget.bytes, 4096));
    DecodedBlock block;
    if (chunk.finished)
      block = *chunk.finished;
    else
      decoder_->Decode(chunk, &block);
    CHECK(block.record_count <= std::max<int64_t>(budget.rows, 1));
    transcript.Add(block);
    const std::vector<std::string> names = source_->Partitions();
    for (size_t i = positions_.size(); i < names.size(); ++i) positions_.push_back({names[i], "", false});
    positions_[chunk.partition].position = chunk.position_after;
    positions_[chunk.partition].ended = positions_[chunk.partition].ended || chunk.partition_end;
    return true;
  }
  std::string All(PollBudget budget = {kSourceCreditRows, kSourceCreditBytes}) {
    while (Step(budget)) {
    }
    CHECK(status.ok());
    return transcript.text();
  }
  const std::vector<PartitionPosition>& positions() const { return positions_; }

  Transcript transcript;
  Status status;
  bool ended = false;

 private:
  std::unique_ptr<Source> source_;
  std::unique_ptr<Decoder> decoder_;
  std::vector<PartitionPosition> positions_;
};

const std::vector<Col> kColumns = {{"i", TypeId::kInt64}, {"s", TypeId::kString}};

std::string SomeRecords(int count, uint64_t seed) {
  Rng rng(seed);
  std::string bytes;
  for (int i = 0; i < count; ++i) {
    switch (rng.Below(20)) {
      case 0:
        bytes += "\n";
        break;
      case 1:
        bytes += "{\"i\":\n";
        break;
      case 2:
        bytes += "{\"i\":1,\"s\":\"" + std::string(300, 'z') + "\"}\n";
        break;
      default:
        bytes += "{\"i\":" + std::to_string(i) + ",\"s\":\"" + std::string(rng.Below(30), 'a') + "\"}\n";
    }
  }
  return bytes + "{\"i\":-1}";
}

std::string SomeCsv(int count, uint64_t seed) {
  Rng rng(seed);
  std::string bytes = "i,s\r\n";
  for (int i = 0; i < count; ++i) {
    switch (rng.Below(15)) {
      case 0:
        bytes += "\n";
        break;
      case 1:
        bytes += "x,\"two\nlines, \"\"quoted\"\"\"\n";
        break;
      case 2:
        bytes += std::to_string(i) + ",\"" + std::string(150, 'z') + "\n" + std::string(150, 'z') + "\"\n";
        break;
      case 3:
        bytes += std::to_string(i) + ",\"" + std::string(30, 'z') + "\nb,\"\"\n\"\r\n";
        break;
      case 4:
        bytes += std::string(250, 'y') + ",1\n";
        break;
      default:
        bytes += std::to_string(i) + "," + std::string(rng.Below(30), 'a') + "\n";
    }
  }
  return bytes + "9,\"open\n8,b\n7,c";
}

TEST_CASE("FileSource_AnyChunkSize_SaysTheSame") {
  const Folder folder;
  struct Case {
    std::string name, bytes;
    SourceFormat format;
  };
  const Case cases[] = {{"a.ndjson", SomeRecords(120, 3), NdjsonFormat(kColumns, 200)},
                        {"a.csv", SomeCsv(120, 4), CsvFormat(kColumns, 200)}};
  for (const Case& c : cases) {
    Write(folder / c.name, c.bytes);
    const std::string whole = Reading({folder / c.name}, c.format).All();
    CHECK(whole == TranscriptOf(c.format, c.bytes, true));
    CHECK(whole.find("dead") != std::string::npos);
    for (const int64_t bytes : {1, 2, 7, 64, 100, 999, 4096}) {
      CAPTURE(bytes);
      CHECK(Reading({folder / c.name}, c.format).All({1000, bytes}) == whole);
    }
    for (const int64_t rows : {1, 3}) CHECK(Reading({folder / c.name}, c.format).All({rows, kChunkBytes}) == whole);
  }
}

TEST_CASE("FileSource_RestoredAfterEachChunk_EqualsUninterrupted") {
  const Folder folder;
  const std::string ndjson = SomeRecords(60, 5);
  const std::string csv = SomeCsv(60, 6);
  Write(folder / "a.ndjson", ndjson);
  Write(folder / "b.gz", Gzip(ndjson.substr(0, 700)) + Gzip(ndjson.substr(700)));
  Write(folder / "c.csv", csv);
  Write(folder / "d.zst", Zstd(csv.substr(0, 500)) + Zstd(csv.substr(500)));
  const std::pair<std::string, SourceFormat> cases[] = {{"a.ndjson", NdjsonFormat(kColumns, 200)},
                                                        {"b.gz", NdjsonFormat(kColumns, 200)},
                                                        {"c.csv", CsvFormat(kColumns, 200)},
                                                        {"d.zst", CsvFormat(kColumns, 200)}};
  for (const auto& [name, format] : cases) {
    CAPTURE(name);
    const std::string whole = Reading({folder / name}, format).All();
    Transcript pieces(format.schema);
    std::vector<PartitionPosition> positions;
    std::string text;
    for (int i = 0; i < 1000; ++i) {
      Reading once({folder / name}, format, false, positions);
      REQUIRE(once.status.ok());
      if (!once.Step({1000, 300})) break;
      for (const std::string& line : once.transcript.lines()) text += line.substr(line.find(' ')) + "\n";
      positions = once.positions();
    }
    std::string expected;
    Reading again({folder / name}, format);
    again.All();
    for (const std::string& line : again.transcript.lines()) expected += line.substr(line.find(' ')) + "\n";
    CHECK(text == expected);
    REQUIRE(!positions.empty());
    CHECK(positions[0].ended);
  }
}

TEST_CASE("FileSource_SeveralFiles_AreReadByName") {
  const Folder folder;
  Write(folder / "2.ndjson", "{\"i\":2}\n");
  Write(folder / "1.ndjson", "{\"i\":1}\n");
  Write(folder / "3.ndjson", Gzip("{\"i\":3}"));
  Reading all({folder / "*.ndjson"}, NdjsonFormat(kColumns));
  all.All();
  CHECK(all.ended);
  REQUIRE(all.transcript.rows() == 3);
  for (int i = 0; i < 3; ++i)
    CHECK(all.transcript.lines()[static_cast<size_t>(i)].find("i=" + std::to_string(i + 1)) != std::string::npos);
  // A grown file goes on from its position; an unchanged one stays ended.
  Write(folder / "2.ndjson", "{\"i\":4}\n", true);
  Reading more({folder / "*.ndjson"}, NdjsonFormat(kColumns), false, all.positions());
  CHECK(more.All() == "0@1 i=4 s=null\nrecords 1 lines 1 skipped 0\n");
}

TEST_CASE("FileSource_MissingOrWrongFile_SaysWhatToDo") {
  const Folder folder;
  const Reading missing({folder / "none.csv"}, CsvFormat(kColumns));
  CHECK(missing.status.code() == StatusCode::kNotFound);
  CHECK(missing.status.message().find("--set sources.s.path=") != std::string::npos);
  CHECK(Reading({folder / "*.csv"}, CsvFormat(kColumns)).status.code() == StatusCode::kNotFound);
  Write(folder / "other.csv", "a;b\n1;2\n");
  Reading other({folder / "other.csv"}, CsvFormat(kColumns));
  CHECK_FALSE(other.Step());
  CHECK(other.status.message().find("none of the columns") != std::string::npos);
  Write(folder / "torn.gz", Gzip("{\"i\":1}\n" + SomeRecords(400, 1)).substr(0, 200));
  Reading torn({folder / "torn.gz"}, NdjsonFormat(kColumns));
  while (torn.Step()) {
  }
  CHECK(torn.status.code() == StatusCode::kDataLoss);
  CHECK(torn.transcript.rows() > 0);
  Write(folder / "x.ndjson", "{\"i\":1}\n");
  Reading before({folder / "x.ndjson"}, NdjsonFormat(kColumns));
  before.Step();
  Write(folder / "x.ndjson", "{\"i\":7}\n{\"i\":8}\n");
  Reading replaced({folder / "x.ndjson"}, NdjsonFormat(kColumns), false, before.positions());
  CHECK_FALSE(replaced.Step());
  CHECK(replaced.status.message().find("--fresh") != std::string::npos);
}

TEST_CASE("FileSource_OverlongLine_IsNeverHeldWhole") {
  const Folder folder;
  const std::string path = folder / "long.ndjson";
  Write(path, "{\"i\":1}\n{\"s\":\"" + std::string(3 << 20, 'x') + "\"}\n{\"i\":2}\n" + std::string(2 << 20, 'y'));
  Reading reading({path}, NdjsonFormat(kColumns, 1000));
  reading.All();
  const auto& lines = reading.transcript.lines();
  REQUIRE(lines.size() == 4);
  CHECK(lines[0] == "0@1 i=1 s=null");
  CHECK(lines[1].starts_with("1@2 dead line_too_long: 3,145,736 bytes, at most 1,000"));
  CHECK(lines[1].size() < 1200);
  CHECK(lines[2] == "2@3 i=2 s=null");
  CHECK(lines[3].starts_with("3@4 dead line_too_long: 2,097,152 bytes"));
}

TEST_CASE("FileSource_Following_WaitsForWholeLinesAndSurvivesRotationAndTruncation") {
  const Folder folder;
  const std::string path = folder / "live.csv";
  Write(path, "i,s\n1,a\n2");
  const SourceFormat format = CsvFormat(kColumns);
  Reading live({path}, format, true);
  live.All();
  CHECK_FALSE(live.ended);
  CHECK(live.transcript.rows() == 1);
  Write(path, ",b\n3", true);
  live.All();
  CHECK(live.transcript.rows() == 2);
  // Rotated; the writer adds to the old file before it opens the new one, whose columns come in another order.
  fs::rename(path, folder / "live.csv.1");
  live.All();
  Write(folder / "live.csv.1", ",c\n4,d", true);
  Write(path, "s,i\ne,5\n");
  live.All();
  CHECK(live.transcript.rows() == 5);
  Write(path, "i,s\n6,f\n");  // cut and written anew, shorter than what was read? then it is a new generation
  fs::resize_file(path, 0);
  live.All();
  Write(path, "i,s\n7,g\n");
  live.All();
  CHECK(live.status.ok());
  std::string rows;
  for (const std::string& line : live.transcript.lines()) rows += line.substr(line.find(' ')) + ";";
  CHECK(rows == " i=1 s=[a]; i=2 s=[b]; i=3 s=[c]; i=4 s=[d]; i=5 s=[e]; i=7 s=[g];");
}

TEST_CASE("FileSource_FollowingRestoredAfterRotation_ReadsTheOldFileFirst") {
  const Folder folder;
  const std::string path = folder / "live.ndjson";
  Write(path, "{\"i\":1}\n");
  const SourceFormat format = NdjsonFormat(kColumns);
  Reading before({path}, format, true);
  before.All();
  Write(path, "{\"i\":2}\n", true);
  fs::rename(path, folder / "live.ndjson.1");
  Write(path, "{\"i\":3}\n");
  Reading after({path}, format, true, before.positions());
  after.All();
  CHECK(after.transcript.text() == "0@1 i=2 s=null\n1@2 i=3 s=null\nrecords 2 lines 2 skipped 0\n");
}

std::string Numbers(int from, int to) {
  std::string bytes;
  for (int i = from; i < to; ++i) bytes += "{\"i\":" + std::to_string(i) + "}\n";
  return bytes;
}

TEST_CASE("FileSource_PositionThatDoesNotFitTheFile_IsAClearError") {
  const Folder folder;
  const std::string path = folder / "a.ndjson";
  const SourceFormat format = NdjsonFormat(kColumns);
  for (const bool packed : {false, true}) {
    CAPTURE(packed);
    const auto write = [&](const std::string& bytes) { Write(path, packed ? Gzip(bytes) : bytes); };
    write(Numbers(0, 2000));
    Reading before({path}, format);
    REQUIRE(before.Step({1500, 1 << 20}));
    const std::vector<PartitionPosition> positions = before.positions();
    const auto resume = [&] {
      Reading after({path}, format, false, positions);
      while (after.Step()) {
      }
      return after.status.ok() ? std::to_string(after.transcript.rows()) : after.status.ToString();
    };
    CHECK(resume() == "500");
    // Another inode with the same bytes: a copy is as good.
    fs::copy_file(path, folder / "copy");
    fs::rename(folder / "copy", path);
    CHECK(resume() == "500");
    write(Numbers(0, 1000));  // cut
    CHECK(resume().find(packed ? "a.ndjson" : "is not the file that was being read") != std::string::npos);
    write(Numbers(7, 3000));  // replaced
    CHECK(resume().find("is not the file that was being read") != std::string::npos);
    fs::remove(path);
    CHECK(resume().find("there is no file") != std::string::npos);
  }
}

TEST_CASE("FileSource_FollowedFileCutWhileNobodyRead_IsANewGeneration") {
  const Folder folder;
  const std::string path = folder / "a.ndjson";
  const SourceFormat format = NdjsonFormat(kColumns);
  Write(path, Numbers(0, 100));
  Reading before({path}, format, true);
  before.All();
  Write(path, Numbers(500, 510));
  Reading after({path}, format, true, before.positions());
  after.All();
  CHECK(after.transcript.rows() == 10);
  CHECK(after.transcript.text().find("i=500") != std::string::npos);
}

TEST_CASE("FileSource_FollowingTwoFiles_SaysWhichOneIsSilent") {
  const Folder folder;
  Write(folder / "a.ndjson", Numbers(0, 4));
  Write(folder / "b.ndjson", "");
  const SourceFormat format = NdjsonFormat(kColumns);
  const auto source = MakeFileSource({{folder / "*.ndjson"}, true, "s"}, format);
  SourceOpenContext context;
  context.env = Env::Posix();
  REQUIRE(source->Open(context).ok());
  RawChunk chunk;
  CHECK(*source->Poll({1, 100}, &chunk) == PollOutcome::kChunk);
  CHECK(source->TakeQuiet() == std::vector<uint32_t>{});
  CHECK(*source->Poll({1, 100}, &chunk) == PollOutcome::kChunk);
  CHECK(chunk.partition == 0);
  CHECK(source->TakeQuiet() == std::vector<uint32_t>{1});
  CHECK(*source->Poll({9, 100}, &chunk) == PollOutcome::kChunk);
  CHECK(*source->Poll({9, 100}, &chunk) == PollOutcome::kNothing);
  std::vector<uint32_t> quiet = *source->TakeQuiet();
  std::sort(quiet.begin(), quiet.end());
  CHECK(std::vector<uint32_t>(quiet.begin(), std::unique(quiet.begin(), quiet.end())) == std::vector<uint32_t>{0, 1});
}

TEST_CASE("FileSource_FinishedState_KnowsWhetherThereIsMore") {
  const Folder folder;
  const SourceFormat format = NdjsonFormat(kColumns);
  Write(folder / "a.ndjson", Numbers(0, 40));
  Write(folder / "b.ndjson", Numbers(0, 40));
  const auto more = [&](const std::vector<PartitionPosition>& positions) {
    const auto source = MakeFileSource({{folder / "*.ndjson"}, false, "s"}, format);
    SourceOpenContext context;
    context.env = Env::Posix();
    context.restored = positions;
    const Result<bool> result = source->HasMore(context);
    REQUIRE(result.ok());
    return *result;
  };
  Reading part({folder / "*.ndjson"}, format);
  part.Step({10, 1 << 20});
  CHECK(more(part.positions()));  // drained in the middle
  part.All();
  CHECK_FALSE(more(part.positions()));
  Write(folder / "b.ndjson", "{\"i\":41}\n", true);
  CHECK(more(part.positions()));
  Reading grown({folder / "*.ndjson"}, format, false, part.positions());
  grown.All();
  CHECK(grown.transcript.rows() == 1);
  CHECK_FALSE(more(grown.positions()));
  fs::remove(folder / "a.ndjson");
  CHECK_FALSE(more(grown.positions()));
  Write(folder / "c.ndjson", "{\"i\":1}\n");
  CHECK(more(grown.positions()));
}

TEST_CASE("FileSource_ByTime_ReadsTheFileThatIsAskedFor") {
  const Folder folder;
  const SourceFormat format = NdjsonFormat(kColumns);
  Write(folder / "a.ndjson", Numbers(0, 3));
  Write(folder / "b.ndjson", Numbers(10, 13));
  std::vector<PartitionPosition> positions;
  {
    const auto source = MakeFileSource({{folder / "*.ndjson"}, false, "s", true}, format);
    SourceOpenContext context;
    context.env = Env::Posix();
    REQUIRE(source->Open(context).ok());
    for (const int p : {1, 0, 1, 1}) {
      RawChunk chunk;
      REQUIRE(*source->Poll({1, 100, p}, &chunk) == PollOutcome::kChunk);
      CHECK(static_cast<int>(chunk.partition) == p);
      positions.resize(2);
      positions[chunk.partition] = {folder / (p == 0 ? "a.ndjson" : "b.ndjson"), chunk.position_after,
                                    chunk.partition_end};
    }
    RawChunk chunk;
    CHECK(*source->Poll({1, 100, -1}, &chunk) == PollOutcome::kEnd);
  }
  CHECK(positions[1].ended);
  const auto source = MakeFileSource({{folder / "*.ndjson"}, false, "s", true}, format);
  SourceOpenContext context;
  context.env = Env::Posix();
  context.restored = positions;
  REQUIRE(source->Open(context).ok());
  RawChunk chunk;
  REQUIRE(*source->Poll({9, 1000, 1}, &chunk) == PollOutcome::kChunk);
  CHECK(chunk.partition_end);
  CHECK(chunk.position_after == positions[1].position);
  CHECK((chunk.finished && chunk.finished->row_count == 0));
  REQUIRE(*source->Poll({9, 1000, 0}, &chunk) == PollOutcome::kChunk);
  CHECK(chunk.row_count_hint == 2);
}

TEST_CASE("StdinSource_Pipe_EndsWithItsLastRecord") {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const std::string bytes = "{\"i\":1}\n{\"i\":2";
  const SourceFormat format = NdjsonFormat(kColumns);
  Reading reading(MakeStdinSource(format, ends[0]), format);
  REQUIRE(::write(ends[1], bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
  CHECK(reading.Step());
  REQUIRE(::write(ends[1], "2}", 2) == 2);
  ::close(ends[1]);
  reading.All();
  CHECK(reading.ended);
  CHECK(reading.transcript.text() == "0@1 i=1 s=null\n1@2 i=22 s=null\nrecords 2 lines 1 skipped 0\n");
  ::close(ends[0]);
}

TEST_CASE("FileSource_RealFiles_GiveTheirKnownCounts") {
  const char* const data = std::getenv("FRESHET_DATA_DIR");
  if (data == nullptr) {
    MESSAGE("skipped: FRESHET_DATA_DIR is not set");
    return;
  }
  const std::string root = data;
  const SourceFormat edits = NdjsonFormat(
      {{"time", TypeId::kTimestamp}, {"page", TypeId::kString}, {"isRobot", TypeId::kBool}, {"added", TypeId::kInt64}});
  Reading wikipedia({root + "/events/wikipedia_edits.ndjson.gz"}, edits);
  wikipedia.All();
  CHECK(wikipedia.transcript.records() == 39244);
  CHECK(wikipedia.transcript.rows() == 39244);
  const SourceFormat videos = CsvFormat({{"video_id", TypeId::kString},
                                         {"description", TypeId::kString},
                                         {"at", TypeId::kTimestamp, {"publishedAt"}},
                                         {"views", TypeId::kInt64, {"view_count"}}});
  Reading multiline({root + "/youtube/trending_us_2020_multiline.csv.gz"}, videos);
  multiline.All();
  CHECK(multiline.transcript.records() == 874);  // with the header
  CHECK(multiline.transcript.rows() == 872);     // the file is cut inside its last record
  const SourceFormat old =
      CsvFormat({{"video_id", TypeId::kString}, {"views", TypeId::kInt64}, {"date", TypeId::kString}});
  Reading trending({root + "/youtube/trending_us_2017.csv.gz"}, old);
  trending.All();
  CHECK(trending.transcript.rows() == 8000);
  CHECK(trending.transcript.skipped() == 1);
}

}  // namespace
}  // namespace freshet::testing
