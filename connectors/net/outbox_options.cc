#include "connectors/net/outbox_options.h"

#include "engine/base/units.h"

namespace freshet {
namespace {

OptionSpec Option(const char* name, OptionKind kind, const char* default_text, const char* doc) {
  OptionSpec spec;
  spec.name = name;
  spec.kind = kind;
  spec.default_text = default_text;
  spec.doc = doc;
  return spec;
}

bool IsAlertInput(const BindContext& bind, size_t input) {
  return input < bind.alert_inputs.size() && bind.alert_inputs[input];
}

void Append(const std::string& name, std::string* names) { *names += (names->empty() ? "" : ", ") + name; }

}  // namespace

std::vector<OptionSpec> OutboxOptionSpecs() {
  OptionSpec deliver =
      Option("deliver", OptionKind::kEnum, "",
             "When rows leave: `eager`, as soon as they are safe in the outbox, which needs rows of an "
             "`alert`; or `on_commit`, once their checkpoint is committed. Default: rows of an `alert` "
             "eager, others on commit.");
  deliver.enum_values = {"eager", "on_commit"};
  OptionSpec batch = Option("batch", OptionKind::kInt, "1",
                            "Rows per request, eager ones always alone; above 1 the body is a JSON array.");
  batch.min = 1;
  batch.max = 1000;
  OptionSpec retries = Option("retries", OptionKind::kInt, "8",
                              "Further attempts before `on_failure` is done, or before a run whose input has ended "
                              "leaves the rows to the next run.");
  retries.min = 0;
  retries.max = 1000;
  OptionSpec max_backoff = Option("max_backoff", OptionKind::kDuration, "30s", "Longest random wait between attempts.");
  max_backoff.min = 1000;
  OptionSpec on_reject = Option("on_reject", OptionKind::kEnum, "dead_letter",
                                "What to do when the receiver refuses rows for good: keep them in the state's "
                                "dead_letter folder and go on, or stop.");
  on_reject.enum_values = {"dead_letter", "fail"};
  OptionSpec on_failure = Option("on_failure", OptionKind::kEnum, "wait",
                                 "What to do when all attempts have failed: go on trying while the rows wait in the "
                                 "outbox, take them for dead letters, or stop.");
  on_failure.enum_values = {"wait", "dead_letter", "fail"};
  OptionSpec max_waiting =
      Option("max_waiting", OptionKind::kInt, "100000",
             "Requests that may wait on disk for the receiver before the sources wait too. What the rows "
             "already read make of windows and alerts comes on top.");
  max_waiting.min = 1;
  return {deliver,
          batch,
          retries,
          max_backoff,
          Option("max_retry_after", OptionKind::kDuration, "5m", "Longest Retry-After that is honoured."),
          on_reject,
          on_failure,
          max_waiting};
}

bool BindOutboxOptions(const OptionsNode& options, const BindContext& bind, BoundSink* bound) {
  OutboxOptions& o = bound->outbox;
  o.parcel_row_count_max = static_cast<int32_t>(options.GetInt("batch"));
  o.retry_count_max = static_cast<int>(options.GetInt("retries"));
  o.backoff.longest = options.GetDuration("max_backoff");
  o.retry_after_max = options.GetDuration("max_retry_after");
  o.fail_when_refused = options.GetString("on_reject") == "fail";
  const std::string on_failure = options.GetString("on_failure");
  o.when_exhausted = on_failure == "fail"          ? OutboxOptions::WhenExhausted::kFail
                     : on_failure == "dead_letter" ? OutboxOptions::WhenExhausted::kDeadLetter
                                                   : OutboxOptions::WhenExhausted::kWait;
  o.waiting_count_max = options.GetInt("max_waiting");
  const std::string deliver = options.FindString("deliver").value_or("");
  std::string eager;
  std::string on_commit;
  bool good = true;
  for (size_t i = 0; i < bind.inputs.size(); ++i) {
    const std::string name = i < bind.input_names.size() ? bind.input_names[i] : std::string();
    if (deliver == "eager" && !IsAlertInput(bind, i)) {
      bind.diagnostics->Error("FR3122", options.span("deliver"),
                              "rows of `" + name +
                                  "` have no identity of their own, so they cannot leave before "
                                  "their checkpoint: `eager` is for rows of an `alert`, with its alert_id and state",
                              "leave `deliver` out, or give those rows a sink of their own");
      good = false;
    }
    const bool is_eager = deliver != "on_commit" && IsAlertInput(bind, i);
    Append(name, is_eager ? &eager : &on_commit);
    if (is_eager) o.eager_schemas.push_back(std::make_shared<const Schema>(*bind.inputs[i]));
  }
  for (size_t i = 0; i < bind.inputs.size() && good; ++i) {
    if (IsAlertInput(bind, i)) continue;
    for (const SchemaRef& schema : o.eager_schemas) {
      if (*schema != *bind.inputs[i]) continue;
      bind.diagnostics->Error("FR3123", bind.node_span,
                              "rows of `" + bind.input_names[i] +
                                  "` look like those of an `alert`, but are none: "
                                  "their columns do not tell them apart",
                              "give them a sink of their own, or set `deliver: on_commit`");
      good = false;
      break;
    }
  }
  if (!eager.empty()) bound->explain.emplace_back("eager", eager);
  if (!on_commit.empty()) bound->explain.emplace_back("on commit", on_commit);
  return good;
}

}  // namespace freshet
