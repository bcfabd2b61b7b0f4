#include "tests/plan/fake_registry.h"

#include "engine/expr/expr.h"
#include "engine/flow/graph_spec.h"

namespace freshet {
namespace {

OptionSpec Option(std::string name, OptionKind kind, std::string default_text = "", std::string doc = "") {
  OptionSpec spec;
  spec.name = std::move(name);
  spec.kind = kind;
  spec.default_text = std::move(default_text);
  spec.doc = std::move(doc);
  return spec;
}
OptionSpec Required(OptionSpec spec) {
  spec.required = true;
  return spec;
}
OptionSpec Between(double min, double max, OptionSpec spec) {
  spec.min = min;
  spec.max = max;
  return spec;
}

std::optional<BoundSource> MakeRows(const OptionsNode& options, const BindContext& bind) {
  const ConfigValue* const columns = options.Raw("schema");
  if (columns == nullptr) return std::nullopt;
  std::vector<Field> fields;
  for (const ConfigValue::Entry& entry : columns->entries) {
    const std::optional<TypeId> type = ParseTypeName(entry.value.text());
    if (!type) {
      bind.diagnostics->Error("FR2401", entry.value.span(), "`" + entry.value.text() + "` is not a column type");
      return std::nullopt;
    }
    bool wanted = bind.needed == nullptr;
    for (size_t i = 0; !wanted && i < bind.needed->size(); ++i) wanted = (*bind.needed)[i] == entry.key.value;
    if (wanted) fields.push_back({entry.key.value, *type});
  }
  BoundSource bound;
  bound.schema = std::make_shared<const Schema>(std::move(fields));
  bound.bounded = !options.GetBool("follow");
  bound.interleaves = !bound.bounded && options.GetString("path").find('*') != std::string::npos;
  bound.explain = {{"path", options.GetString("path")}};
  return bound;
}

std::optional<BoundExpr> BindText(const SpannedText& text, const Schema& schema, Diagnostics* diagnostics) {
  const std::optional<ParsedExpr> parsed = ParsedExpr::Parse(text, diagnostics);
  return parsed ? BoundExpr::Bind(*parsed, schema, diagnostics) : std::nullopt;
}

void AddColumns(const BoundExpr& expr, const Schema& schema, std::vector<std::string>* names) {
  for (const int column : expr.columns_read()) names->push_back(schema.field(column).name);
}

SchemaRef Share(Schema schema) { return std::make_shared<const Schema>(std::move(schema)); }

std::optional<BoundOperator> MakeFilter(const OptionsNode& options, const BindContext& bind) {
  const auto where = options.FindExpr("where");
  if (!where) return std::nullopt;
  const auto expr = BindText(*where, *bind.inputs[0], bind.diagnostics);
  if (!expr) return std::nullopt;
  BoundOperator op;
  op.outputs = {{"", Share(*bind.inputs[0]), OutputOrder::kInputOrder, {}}};
  op.stateless = true;
  AddColumns(*expr, *bind.inputs[0], &op.columns_read);
  op.explain = {{"where", expr->ToString()}};
  return op;
}

std::optional<BoundOperator> MakeDerive(const OptionsNode& options, const BindContext& bind) {
  BoundOperator op;
  std::vector<Field> more;
  bool ok = true;
  for (const auto& [name, text] : options.GetMap("columns")) {
    const auto expr = BindText(text, *bind.inputs[0], bind.diagnostics);
    ok = ok && expr.has_value();
    if (!expr) continue;
    more.push_back({name.value, expr->type()});
    AddColumns(*expr, *bind.inputs[0], &op.columns_read);
    op.explain.emplace_back(name.value, expr->ToString());
  }
  if (!ok) return std::nullopt;
  op.outputs = {{"", Share(bind.inputs[0]->With(more)), OutputOrder::kInputOrder, {}}};
  op.stateless = true;
  return op;
}

std::optional<BoundOperator> MakeCheck(const OptionsNode& options, const BindContext& bind) {
  std::optional<BoundOperator> op = MakeDerive(options, bind);
  if (!op) return std::nullopt;
  op->outputs = {{"", Share(*bind.inputs[0]), OutputOrder::kInputOrder, {}},
                 {"rejected", Share(bind.inputs[0]->With({{"rules", TypeId::kString}})), OutputOrder::kInputOrder, {}}};
  return op;
}

std::optional<BoundOperator> MakeWindow(const OptionsNode& options, const BindContext& bind) {
  const Schema& in = *bind.inputs[0];
  BoundOperator op;
  std::vector<Field> fields;
  std::vector<int> key;
  for (const SpannedText& name : options.GetList("key")) {
    const std::optional<int> column = in.Find(name.value);
    if (!column) {
      bind.diagnostics->Error("FR3005", name.span, "there is no column `" + name.value + "`");
      return std::nullopt;
    }
    key.push_back(*column);
    fields.push_back(in.field(*column));
    op.columns_read.push_back(name.value);
  }
  if (!key.empty()) op.key = key;
  const std::string metric = options.GetString("metric");
  op.columns_read.push_back(metric);
  fields.push_back({"window_end", TypeId::kTimestamp});
  fields.push_back({"total", TypeId::kFloat64});
  op.outputs = {{"", Share(Schema(fields)), OutputOrder::kByTime, {}},
                {"late", LateSchema(in), OutputOrder::kInputOrder, {}}};
  op.outputs[0].revises = options.GetBool("revises");
  op.wants_clock = options.GetBool("clock");
  op.node_class = NodeClass::kStateful;
  op.passes_input_columns = false;
  return op;
}

std::optional<BoundOperator> MakeMerge(const OptionsNode&, const BindContext& bind) {
  BoundOperator op;
  op.outputs = {{"", Share(*bind.inputs[0]), OutputOrder::kInputOrder, {}}};
  op.stateless = true;
  return op;
}

std::optional<BoundOperator> MakeLearn(const OptionsNode& options, const BindContext& bind) {
  std::optional<BoundOperator> op = MakeMerge(options, bind);
  op->stateless = false;
  return op;
}

std::optional<BoundSink> MakePrint(const OptionsNode& options, const BindContext&) {
  BoundSink sink;
  sink.explain = {{"format", options.GetString("format")}};
  return sink;
}

std::optional<BoundSink> MakeSend(const OptionsNode& options, const BindContext&) {
  BoundSink sink;
  sink.delivery = Delivery::kEffectivelyOnce;
  if (options.GetString("token").empty()) return std::nullopt;
  sink.explain = {{"path", options.GetString("path")}};
  return sink;
}

NodeDescriptor Type(NodeKind kind, std::string type, std::string summary, std::vector<OptionSpec> options) {
  NodeDescriptor d;
  d.kind = kind;
  d.type = std::move(type);
  d.summary = std::move(summary);
  d.options = std::move(options);
  return d;
}

std::string InTree(const std::string& path) { return ResolvePath(FRESHET_SOURCE_DIR, path); }

}  // namespace

Registry FakeRegistry() {
  Registry registry;
  NodeDescriptor rows =
      Type(NodeKind::kSource, "rows", "rows that are never read",
           {Option("path", OptionKind::kPath, "", "Where they would be."),
            Required(Option("schema", OptionKind::kSchema)), Option("follow", OptionKind::kBool, "false"),
            Option("token", OptionKind::kSecret, "hunter2", "A password."), Option("url", OptionKind::kString),
            Between(1, 100, Option("count", OptionKind::kInt, "10")), Option("ratio", OptionKind::kFloat),
            Option("budget", OptionKind::kSize, "64KiB"), Option("since", OptionKind::kTime)});
  rows.make_source = MakeRows;
  rows.example = "plays:\n  type: rows\n  schema: {id: string}";
  rows.doc =
      "Rows for tests. This paragraph is long enough to be broken into several lines when somebody asks for help about "
      "the type.";
  registry.Add(rows);

  NodeDescriptor filter =
      Type(NodeKind::kOperator, "filter", "keeps rows", {Required(Option("where", OptionKind::kExpr))});
  filter.make_operator = MakeFilter;
  registry.Add(filter);
  NodeDescriptor derive =
      Type(NodeKind::kOperator, "derive", "adds columns",
           {Required(Option("columns", OptionKind::kExprMap)), Option("key", OptionKind::kNameList)});
  derive.make_operator = MakeDerive;
  registry.Add(derive);
  NodeDescriptor check =
      Type(NodeKind::kOperator, "check", "rejects rows", {Required(Option("columns", OptionKind::kExprMap))});
  check.make_operator = MakeCheck;
  check.output_names = {"rejected"};
  registry.Add(check);
  NodeDescriptor window =
      Type(NodeKind::kOperator, "window", "sums up",
           {Required(Between(1000, 86400e6, Option("every", OptionKind::kDuration))),
            Option("key", OptionKind::kNameList), Required(Option("metric", OptionKind::kName)),
            Option("revises", OptionKind::kBool, "false"), Option("clock", OptionKind::kBool, "false")});
  window.make_operator = MakeWindow;
  window.output_names = {"late"};
  registry.Add(window);
  NodeDescriptor merge = Type(NodeKind::kOperator, "merge", "puts inputs together", {});
  merge.make_operator = MakeMerge;
  merge.inputs_max = 3;
  registry.Add(merge);
  NodeDescriptor learn = Type(NodeKind::kOperator, "learn", "remembers rows as they come", {});
  learn.make_operator = MakeLearn;
  learn.inputs_max = 3;
  registry.Add(learn);
  NodeDescriptor silent = Type(NodeKind::kOperator, "silent", "fails", {});
  silent.make_operator = [](const OptionsNode&, const BindContext&) { return std::nullopt; };
  registry.Add(silent);

  OptionSpec format = Option("format", OptionKind::kEnum, "text");
  format.enum_values = {"text", "ndjson"};
  NodeDescriptor print =
      Type(NodeKind::kSink, "print", "prints rows", {format, Option("headers", OptionKind::kStringMap)});
  print.make_sink = MakePrint;
  print.inputs_max = 8;
  registry.Add(print);
  NodeDescriptor send = Type(NodeKind::kSink, "send", "sends rows",
                             {Required(Option("token", OptionKind::kSecret)), Option("path", OptionKind::kPath)});
  send.make_sink = MakeSend;
  registry.Add(send);
  return registry;
}

std::optional<std::string> TreeEnv::Variable(const std::string& name) {
  const auto found = variables.find(name);
  return found == variables.end() ? std::nullopt : std::optional(found->second);
}
Result<std::unique_ptr<ReadableFile>> TreeEnv::OpenReadable(const std::string& path) {
  Result<std::unique_ptr<ReadableFile>> file = Env::Posix()->OpenReadable(InTree(path));
  // The tree's own place on this machine has no business in golden files.
  if (!file.ok()) return Status::NotFound(path + ": no such file");
  return file;
}
Result<std::unique_ptr<WritableFile>> TreeEnv::OpenWritable(const std::string&, int64_t) {
  return Status::Io("read only");
}
Result<FileInfo> TreeEnv::Stat(const std::string& path) { return Env::Posix()->Stat(InTree(path)); }
Status TreeEnv::Rename(const std::string&, const std::string&) { return Status::Io("read only"); }
Status TreeEnv::Remove(const std::string&) { return Status::Io("read only"); }
Status TreeEnv::RemoveTree(const std::string&) { return Status::Io("read only"); }
Status TreeEnv::MakeDirectories(const std::string&) { return Status::Io("read only"); }
Status TreeEnv::SyncDirectory(const std::string&) { return Status::Io("read only"); }
Result<std::vector<std::string>> TreeEnv::List(const std::string& path) { return Env::Posix()->List(InTree(path)); }
Result<std::vector<std::string>> TreeEnv::Glob(const std::string& pattern) {
  return Env::Posix()->Glob(InTree(pattern));
}
Result<std::unique_ptr<FileLock>> TreeEnv::Lock(const std::string&) { return Status::Io("read only"); }

}  // namespace freshet
