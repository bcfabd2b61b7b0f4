#include "connectors/blackhole/blackhole.h"

#include "connectors/format/row_writer.h"
#include "engine/base/units.h"

namespace freshet {
namespace {

constexpr uint8_t kStateVersion = 1;

class BlackholeSink final : public Sink {
 public:
  Status Open(const SinkOpenContext& ctx) override {
    if (ctx.restored_epoch.number == 0 || ctx.committed.empty()) return Status::Ok();
    ByteSource source(ctx.committed);
    const uint8_t version = source.GetU8();
    hash_.Decode(&source);
    if (version != kStateVersion || !source.ok())
      return Status::DataLoss("the blackhole's committed count cannot be read");
    return Status::Ok();
  }
  Status Write(const Batch& batch, int64_t) override {
    hash_.Add(batch);
    return Status::Ok();
  }
  Result<std::string> PrepareCommit(Epoch) override {
    ByteSink sink;
    sink.PutU8(kStateVersion);
    hash_.Encode(&sink);
    return sink.Take();
  }
  std::string Summary() const override { return FormatCount(hash_.row_count()) + " rows, hash " + hash_.ToString(); }

 private:
  RowHash hash_;
};

std::optional<BoundSink> MakeBlackhole(const OptionsNode&, const BindContext&) {
  BoundSink bound;
  bound.delivery = Delivery::kExactlyOnce;
  bound.blocking = false;
  bound.restartable = true;
  bound.make_sink = [] { return std::make_unique<BlackholeSink>(); };
  return bound;
}

}  // namespace

NodeDescriptor BlackholeDescriptor() {
  NodeDescriptor d;
  d.type = "blackhole";
  d.kind = NodeKind::kSink;
  d.summary = "counts and hashes rows, writes nothing";
  d.doc =
      "Takes all rows and drops them, but reads every column of every row into a hash that depends on the order of "
      "the\n"
      "rows and not on how they were cut into batches. The summary prints the number of rows and the hash; a file sink "
      "with\n"
      "the same input prints the same hash. For benchmarks and for comparing two runs.";
  d.example = "nowhere:\n  type: blackhole\n  inputs: [windows]";
  d.inputs_max = 64;
  d.make_sink = MakeBlackhole;
  return d;
}

}  // namespace freshet
