#include "connectors/console/console.h"

#include <cerrno>
#include <cstdio>
#include <vector>

#include "connectors/console/console_text.h"
#include "connectors/format/row_writer.h"
#include "engine/base/units.h"

namespace freshet {
namespace {

constexpr uint8_t kStateVersion = 1;

Status WriteStandardOutput(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0) return Status::Ok();
  return Status::FromErrno(errno, "cannot write to standard output");
}

class ConsoleSink final : public Sink {
 public:
  explicit ConsoleSink(ConsoleOptions options) : options_(std::move(options)), writers_(RowFormat::kNdjson) {
    if (!options_.write) options_.write = WriteStandardOutput;
  }

  Status Open(const SinkOpenContext& ctx) override {
    if (ctx.restored_epoch.number == 0 || ctx.committed.empty()) return Status::Ok();
    ByteSource source(ctx.committed);
    const uint8_t version = source.GetU8();
    row_count_ = source.GetI64();
    if (version != kStateVersion || !source.ok())
      return Status::DataLoss("the console's committed count cannot be read");
    return Status::Ok();
  }

  Status Write(const Batch& whole, int64_t) override {
    Batch batch = whole;
    if (options_.limit >= 0 && row_count_ + batch.row_count() > options_.limit) {
      const int64_t room = options_.limit > row_count_ ? options_.limit - row_count_ : 0;
      batch = batch.Slice(0, static_cast<int32_t>(room));
    }
    row_count_ += whole.row_count();
    if (batch.row_count() == 0) return Status::Ok();
    text_.clear();
    if (options_.format == ConsoleFormat::kNdjson) {
      const RowWriter& writer = writers_.For(batch.schema());
      for (int32_t row = 0; row < batch.row_count(); ++row) writer.AppendRow(batch, row, &text_);
    } else {
      AppendForPeople(batch);
    }
    return options_.write(text_);
  }

  Result<std::string> PrepareCommit(Epoch) override {
    ByteSink sink;
    sink.PutU8(kStateVersion);
    sink.PutI64(row_count_);
    return sink.Take();
  }

  std::string Summary() const override {
    if (options_.limit < 0 || row_count_ <= options_.limit) return "printed " + FormatCount(row_count_) + " rows";
    return "printed " + FormatCount(options_.limit) + " of " + FormatCount(row_count_) + " rows (`limit`)";
  }

 private:
  struct View {
    SchemaRef schema;
    std::optional<AlertText> alert;
    TableText table;
  };

  void AppendForPeople(const Batch& batch) {
    View& view = ViewOf(batch.schema());
    if (view.alert)
      view.alert->Append(batch, options_.color, &text_);
    else
      view.table.Append(batch, options_.color, &text_);
  }

  View& ViewOf(const SchemaRef& schema) {
    for (const auto& view : views_)
      if (view->schema == schema || *view->schema == *schema) return *view;
    views_.push_back(std::make_unique<View>(View{schema, AlertText::For(*schema), TableText(schema)}));
    return *views_.back();
  }

  ConsoleOptions options_;
  RowWriterSet writers_;
  std::vector<std::unique_ptr<View>> views_;
  std::string text_;
  int64_t row_count_ = 0;
};

std::optional<BoundSink> MakeConsole(const OptionsNode& options, const BindContext& bind) {
  ConsoleOptions o;
  const std::string format = options.GetString("format");
  o.format = format == "text" || (format == "auto" && bind.terminal) ? ConsoleFormat::kText : ConsoleFormat::kNdjson;
  const std::string color = options.GetString("color");
  Env* env = bind.env != nullptr ? bind.env : Env::Posix();
  o.color = color == "always" || (color == "auto" && bind.terminal && env->Variable("NO_COLOR").value_or("").empty());
  o.limit = options.FindInt("limit").value_or(-1);
  BoundSink bound;
  bound.delivery = Delivery::kAtLeastOnce;
  bound.blocking = true;
  bound.restartable = true;
  bound.explain = {{"format", o.format == ConsoleFormat::kText ? "text" : "ndjson"}};
  bound.make_sink = [o] { return MakeConsoleSink(o); };
  return bound;
}

}  // namespace

std::unique_ptr<Sink> MakeConsoleSink(ConsoleOptions options) {
  return std::make_unique<ConsoleSink>(std::move(options));
}

NodeDescriptor ConsoleDescriptor() {
  NodeDescriptor d;
  d.type = "console";
  d.kind = NodeKind::kSink;
  d.summary = "prints rows: sentences and tables on a terminal, ndjson elsewhere";
  d.doc =
      "Prints rows to standard output as soon as they come. On a terminal the rows of an `alert` are sentences, "
      "coloured by\n"
      "severity, and other rows are an aligned table; into a pipe or file each row is a JSON object on a line. Rows "
      "come at\n"
      "least once: after a crash those since the last checkpoint are printed again. Colour follows NO_COLOR.";
  d.example = "people:\n  type: console\n  inputs: [surges]";
  d.inputs_max = 64;
  OptionSpec format;
  format.name = "format";
  format.kind = OptionKind::kEnum;
  format.enum_values = {"auto", "text", "ndjson"};
  format.default_text = "auto";
  format.doc = "`text` for people, `ndjson` for programs; `auto` is text on a terminal.";
  OptionSpec color;
  color.name = "color";
  color.kind = OptionKind::kEnum;
  color.enum_values = {"auto", "always", "never"};
  color.default_text = "auto";
  color.doc = "Colour of text; `auto` is on a terminal unless NO_COLOR is set.";
  OptionSpec limit;
  limit.name = "limit";
  limit.kind = OptionKind::kInt;
  limit.min = 0;
  limit.doc = "Print this many rows and only count the rest.";
  d.options = {format, color, limit};
  d.make_sink = MakeConsole;
  return d;
}

}  // namespace freshet
