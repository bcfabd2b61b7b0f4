#include "engine/plan/common_options.h"

#include <algorithm>
#include <utility>

#include "engine/plan/expand.h"
#include "engine/plan/time_field.h"

namespace freshet {
namespace {

OptionSpec Option(std::string name, OptionKind kind, std::string default_text, std::string doc) {
  OptionSpec spec;
  spec.name = std::move(name);
  spec.kind = kind;
  spec.default_text = std::move(default_text);
  spec.doc = std::move(doc);
  return spec;
}

OptionSpec AtLeast(double min, OptionSpec spec) {
  spec.min = min;
  return spec;
}

OptionSpec Words(std::vector<std::string> words, OptionSpec spec) {
  spec.kind = OptionKind::kEnum;
  spec.enum_values = std::move(words);
  return spec;
}

OptionSpec Object(std::string name, std::string doc, std::vector<OptionSpec> fields) {
  OptionSpec spec = Option(std::move(name), OptionKind::kObject, "", std::move(doc));
  spec.fields = std::move(fields);
  return spec;
}

OptionSpec TimeOption() {
  OptionSpec field =
      Option("field", OptionKind::kExpr, "",
             "The column, or an expression, that says when a row happened: a timestamp, seconds, milliseconds, "
             "microseconds or nanoseconds since 1970 (told apart by size), or text in RFC 3339.");
  field.required = true;
  field.state = StateEffect::kBreaking;
  return Object(
      "time", "When a row happened. Without it rows are stamped on arrival.",
      {field,
       Option("pattern", OptionKind::kString, "",
              "How text is read (strptime, such as %d.%m.%Y %H:%M), or the unit of a number: epoch_s, epoch_ms, "
              "epoch_us, epoch_ns."),
       Option("zone", OptionKind::kString, "",
              "The time zone of text that is read by a `pattern` without %z, such as Europe/Berlin; UTC by default."),
       AtLeast(
           0,
           Option("lateness", OptionKind::kDuration, "5s",
                  "How far a row may lag behind the newest one of its partition before it is late; 0 with `ordered`.")),
       AtLeast(1, Option("idle", OptionKind::kDuration, "30s",
                         "A live partition that is silent for so long no longer holds back the others.")),
       AtLeast(
           0,
           Option(
               "max_future", OptionKind::kDuration, "",
               "Rows further ahead of the clock go to the dead letters; 1m for live sources, off for bounded ones.")),
       AtLeast(1, Option("max_jump", OptionKind::kDuration, "",
                         "For replays: rows that jump ahead further than this go to the dead letters unless others "
                         "follow them.")),
       Option("not_before", OptionKind::kTime, "", "Rows before this time go to the dead letters."),
       Option("not_after", OptionKind::kTime, "", "Rows after this time go to the dead letters."),
       Option("ordered", OptionKind::kBool, "false", "Rows come in order of time: `lateness` is then 0 by default.")});
}

bool Declares(const NodeDescriptor& descriptor, std::string_view name) {
  return std::any_of(descriptor.options.begin(), descriptor.options.end(),
                     [&](const OptionSpec& spec) { return spec.name == name; });
}

void BindOverflow(const OptionsNode& options, const NodeDescriptor& descriptor, SourceNode* node,
                  Diagnostics* diagnostics) {
  if (Declares(descriptor, "on_overflow")) return;
  const std::string policy = options.GetString("on_overflow");
  if (policy == "block") return;
  node->on_overflow = policy == "drop_oldest" ? OnOverflow::kDropOldest : OnOverflow::kDropNewest;
  if (node->bound.bounded && !node->bound.pushes)
    diagnostics->Error("FR2203", options.span("on_overflow"),
                       "a bounded " + descriptor.type + " source cannot do `on_overflow: " + policy +
                           "`: its input waits, nothing has to be dropped",
                       "use `block`");
}

void RefuseUnlessDefault(const OptionsNode& options, const NodeDescriptor& descriptor, const char* name,
                         const char* default_word, Diagnostics* diagnostics) {
  if (Declares(descriptor, name) || options.GetString(name) == default_word) return;
  diagnostics->Error("FR2203", options.span(name),
                     "a " + descriptor.type + " source cannot do `" + name + ": " + options.GetString(name) + "`",
                     std::string("use `") + default_word + "`");
}

bool BindTime(const OptionsNode& options, const Schema& schema, bool bounded, TimeSpec* time,
              std::vector<std::string>* columns, Diagnostics* diagnostics) {
  const OptionsNode spec = options.GetObject("time");
  if (!bounded) time->max_future = Duration::Seconds(60);
  if (const auto max_future = spec.FindDuration("max_future")) time->max_future = max_future;
  time->lateness = spec.GetDuration("lateness");
  if (spec.GetBool("ordered") && !spec.Has("lateness")) time->lateness = Duration{};
  time->idle = spec.GetDuration("idle");
  time->max_jump = spec.FindDuration("max_jump");
  time->not_before = spec.FindTime("not_before");
  time->not_after = spec.FindTime("not_after");
  if (time->not_before && time->not_after && *time->not_after < *time->not_before) {
    diagnostics->Error("FR2204", spec.span("not_after"), "`not_after` is earlier than `not_before`: no row could pass");
  }
  const std::optional<SpannedText> field = spec.FindExpr("field");
  if (!field) return true;
  std::optional<SpannedText> pattern;
  std::optional<SpannedText> zone;
  if (const ConfigValue* text = spec.Raw("pattern"); text != nullptr) pattern = text->scalar;
  if (const ConfigValue* text = spec.Raw("zone"); text != nullptr) zone = text->scalar;
  std::optional<TimeField> bound = BindTimeField(*field, pattern, zone, schema, diagnostics);
  if (!bound) return false;
  time->evaluate = std::move(bound->evaluate);
  time->text = std::move(bound->text);
  *columns = std::move(bound->columns);
  return true;
}

std::string DefaultStatePath(const std::string& name, Env* env) {
  if (const auto path = env->Variable("FRESHET_STATE"); path && !path->empty()) return *path;
  std::string base = env->Variable("XDG_STATE_HOME").value_or("");
  if (base.empty()) base = env->Variable("HOME").value_or(".") + "/.local/state";
  return base + "/freshet/" + name;
}

}  // namespace

OptionSpec MaxSkewOption() {
  return AtLeast(0, Option("max_skew", OptionKind::kDuration, "",
                           "With several inputs: how far the sources of one may run ahead of another's in time; then "
                           "they wait. 1m if all inputs are bounded, else any; idle and ended inputs do not count."));
}

std::optional<Duration> BindMaxSkew(const OptionsNode& options, size_t source_count, bool bounded,
                                    Diagnostics* diagnostics) {
  const std::optional<Duration> max_skew = options.FindDuration("max_skew");
  if (source_count > 1) return !max_skew && bounded ? Duration::Seconds(60) : max_skew;
  if (max_skew)
    diagnostics->Warning("FR2206", options.span("max_skew"), "`max_skew` has no effect with one source",
                         "it keeps the sources of several inputs together in time");
  return std::nullopt;
}

const std::vector<OptionSpec>& SourceOptions() {
  static const std::vector<OptionSpec> options = {
      TimeOption(),
      Words({"dead_letter", "skip", "fail"}, Option("on_error", OptionKind::kEnum, "dead_letter",
                                                    "What to do with a record that cannot be used: send it to the "
                                                    "source's `dead_letter` output, count it, or stop.")),
      Object("credit", "How much of this source may be on its way through the pipeline at once.",
             {AtLeast(1, Option("rows", OptionKind::kInt, std::to_string(kSourceCreditRows), "Rows.")),
              AtLeast(1, Option("bytes", OptionKind::kSize, "64MiB", "Bytes."))}),
      Words({"block", "drop_oldest", "drop_newest"},
            Option("on_overflow", OptionKind::kEnum, "block",
                   "What happens while the pipeline is full: wait, or, where the input does not wait (live sources, "
                   "stdin), read on and drop whole chunks of records, which are counted.")),
      Words({"sequential", "by_time"},
            Option("read", OptionKind::kEnum, "sequential",
                   "In which order several files are read: one after another by name, or merged by time.")),
      Words({"declared"}, Option("validation", OptionKind::kEnum, "declared",
                                 "Which columns of a record are checked: all that `schema` declares, used or not.")),
  };
  return options;
}

const std::vector<OptionSpec>& SinkOptions() {
  static const std::vector<OptionSpec> options = {
      Words({"exactly_once", "effectively_once", "at_least_once"},
            Option("guarantee", OptionKind::kEnum, "at_least_once",
                   "The least this sink must give; a sink that cannot is an error. `plan` prints what it gives."))};
  return options;
}

namespace {

OptionSpec AlertLinksOption() {
  OptionSpec url = Option("url", OptionKind::kString, "",
                          "Under which people reach this engine's HTTP server: http://HOST:PORT, or that of a proxy in "
                          "front of it.");
  url.required = true;
  return Object(
      "alert_links",
      "Links in rows of `alert` by which who gets one silences it for 1h, 24h or until it is resolved: "
      "opened they ask, and only a button changes anything. Without `secret` there are none.",
      {url, Option("secret", OptionKind::kSecret, "", "Signs the links (HMAC-SHA-256); 16 characters or more."),
       AtLeast(1000000, Option("valid_for", OptionKind::kDuration, "7d",
                               "How long a link works, from the time of its alert."))});
}

std::optional<AlertLinks> ReadAlertLinks(const OptionsNode& options, Diagnostics* diagnostics) {
  if (!options.Has("url")) return std::nullopt;
  AlertLinks links{options.GetString("url"), options.GetString("secret"), options.GetDuration("valid_for")};
  while (links.url.ends_with('/')) links.url.pop_back();
  const auto plain = [](unsigned char c) { return c > ' ' && c < 0x7f && c != '"' && c != '<' && c != '>'; };
  const bool http = links.url.starts_with("http://") || links.url.starts_with("https://");
  if (!http || !std::all_of(links.url.begin(), links.url.end(), plain) ||
      links.url.find_first_of("?#") != std::string::npos) {
    diagnostics->Error("FR2207", options.span("url"), "links cannot begin like this",
                       "write https://HOST, or http://HOST:PORT, without `?` and `#`");
    return std::nullopt;
  }
  if (!options.Has("secret")) return std::nullopt;
  if (links.secret.size() < 16) {
    diagnostics->Error("FR2207", options.span("secret"), "a secret of fewer than 16 characters can be guessed",
                       "make one by `openssl rand -hex 32`");
    return std::nullopt;
  }
  return links;
}

}  // namespace

const std::vector<OptionSpec>& SettingsOptions() {
  static const std::vector<OptionSpec> options = [] {
    OptionSpec keep = AtLeast(1, Option("keep", OptionKind::kInt, "2",
                                        "How many copies of the state are kept beside it, one every 10 minutes; "
                                        "`freshet run FILE --savepoint NUMBER` goes back to one."));
    keep.max = 1000;
    OptionSpec linger = AtLeast(0, Option("linger", OptionKind::kDuration, "5ms",
                                          "How long rows of a source that never ends may wait for more, so that they "
                                          "travel together; the first ones after a pause do not wait."));
    linger.max = 1000000;
    return std::vector<OptionSpec>{
        Option("parallelism", OptionKind::kString, "auto",
               "How many lanes: `auto` (the cores the process may use) or a number up to 128."),
        Object("checkpoint", "How and where the state is kept.",
               {AtLeast(1000, Option("every", OptionKind::kDuration, "10s", "Time between checkpoints.")),
                AtLeast(1000000, Option("timeout", OptionKind::kDuration, "10m",
                                        "A checkpoint that takes longer is given up and tried again.")),
                Option("path", OptionKind::kPath, "",
                       "The directory of the state; ~/.local/state/freshet/NAME unless FRESHET_STATE is set."),
                keep}),
        AtLeast(16 << 20,
                Option("memory_limit", OptionKind::kSize, "",
                       "Bytes of keyed state in memory; by default half of what the process may use. Keys beyond it "
                       "stay in the checkpoint until a row needs them.")),
        linger, AlertLinksOption()};
  }();
  return options;
}

std::vector<OptionSpec> AllOptions(const NodeDescriptor& descriptor) {
  std::vector<OptionSpec> all = descriptor.options;
  if (descriptor.kind != NodeKind::kSource && descriptor.inputs_max > 1 && !Declares(descriptor, "max_skew"))
    all.push_back(MaxSkewOption());
  if (descriptor.kind == NodeKind::kOperator) return all;
  for (const OptionSpec& spec : descriptor.kind == NodeKind::kSource ? SourceOptions() : SinkOptions()) {
    if (!Declares(descriptor, spec.name)) all.push_back(spec);
  }
  return all;
}

Settings ReadSettings(const OptionsNode& options, const std::string& directory, const std::string& name, Env* env,
                      Diagnostics* diagnostics) {
  Settings settings;
  const std::string parallelism = options.GetString("parallelism");
  if (parallelism != "auto") {
    const bool number = !parallelism.empty() && parallelism.size() <= 3 &&
                        parallelism.find_first_not_of("0123456789") == std::string::npos;
    settings.parallelism = number ? std::stoi(parallelism) : 0;
    if (settings.parallelism < 1 || settings.parallelism > kKeyGroupCount) {
      diagnostics->Error("FR2004", options.span("parallelism"), "`parallelism` is `auto` or a number from 1 to 128");
      settings.parallelism = 0;
    }
  }
  const OptionsNode checkpoint = options.GetObject("checkpoint");
  settings.checkpoint_every = checkpoint.GetDuration("every");
  settings.checkpoint_timeout = checkpoint.GetDuration("timeout");
  settings.checkpoint_keep = static_cast<int>(checkpoint.GetInt("keep"));
  settings.checkpoint_path = checkpoint.GetString("path");
  if (settings.checkpoint_path.empty()) {
    settings.checkpoint_path = DefaultStatePath(name, env);
  } else if (const ConfigValue* path = checkpoint.Raw("path"); path != nullptr && !path->from_environment) {
    const SourceSpan& span = path->span();
    settings.checkpoint_path =
        ResolvePath(span.text != nullptr ? DirectoryOfSpan(span) : directory, settings.checkpoint_path);
  }
  settings.memory_limit = options.FindInt("memory_limit");
  settings.linger = options.GetDuration("linger");
  settings.alert_links = ReadAlertLinks(options.GetObject("alert_links"), diagnostics);
  return settings;
}

const char* DeliveryName(Delivery delivery) {
  switch (delivery) {
    case Delivery::kExactlyOnce:
      return "exactly once";
    case Delivery::kEffectivelyOnce:
      return "effectively once";
    case Delivery::kAtLeastOnce:
      break;
  }
  return "at least once";
}

bool CheckGuarantee(const OptionsNode& options, const BindContext& context, const BoundSink& sink,
                    Diagnostics* diagnostics) {
  const std::string wanted = options.GetString("guarantee");
  const Delivery least = wanted == "exactly_once"       ? Delivery::kExactlyOnce
                         : wanted == "effectively_once" ? Delivery::kEffectivelyOnce
                                                        : Delivery::kAtLeastOnce;
  if (sink.delivery <= least) return true;
  const std::string note = sink.delivery_note.empty() ? "" : " (" + sink.delivery_note + ")";
  diagnostics->Error(
      "FR2118", options.span("guarantee"),
      "`" + context.node_id + "` gives its rows " + DeliveryName(sink.delivery) + note + ", not " + DeliveryName(least),
      "a `file` sink to a regular file gives them exactly once");
  return false;
}

bool BindSourceOptions(const OptionsNode& options, const NodeDescriptor& descriptor, const Schema& schema,
                       SourceNode* node, std::vector<std::string>* time_columns, Diagnostics* diagnostics) {
  if (!Declares(descriptor, "on_error")) {
    const std::string on_error = options.GetString("on_error");
    node->on_error = on_error == "skip" ? OnError::kSkip : on_error == "fail" ? OnError::kFail : OnError::kDeadLetter;
  }
  if (!Declares(descriptor, "credit")) {
    const OptionsNode credit = options.GetObject("credit");
    node->credit_rows = credit.GetInt("rows");
    node->credit_bytes = credit.GetInt("bytes");
  }
  BindOverflow(options, descriptor, node, diagnostics);
  RefuseUnlessDefault(options, descriptor, "read", "sequential", diagnostics);
  if (Declares(descriptor, "time")) return true;
  return BindTime(options, schema, node->bound.bounded, &node->time, time_columns, diagnostics);
}

}  // namespace freshet
