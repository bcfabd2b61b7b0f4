#include "connectors/webhook/webhook.h"

#include <algorithm>

#include "connectors/format/row_writer.h"
#include "engine/base/log.h"
#include "engine/base/units.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace freshet {
namespace {

constexpr uint8_t kStateVersion = 1;

std::string Hex128(std::string_view text) {
  const XXH128_hash_t hash = XXH3_128bits(text.data(), text.size());
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, hash);
  std::string hex;
  for (unsigned char byte : canonical.digest) {
    hex += "0123456789abcdef"[byte >> 4];
    hex += "0123456789abcdef"[byte & 15];
  }
  return hex;
}

bool IsRetryable(int status) { return status == 408 || status == 429 || status >= 500; }

class WebhookSink final : public Sink {
 public:
  explicit WebhookSink(WebhookOptions options)
      : options_(std::move(options)),
        origin_(HttpOrigin(options_.url)),
        writers_(RowFormat::kNdjson),
        backoff_(options_.backoff, options_.seed) {}

  Status Open(const SinkOpenContext& ctx) override {
    env_ = ctx.env;
    if (!options_.sleep) options_.sleep = [env = env_](Duration d) { env->SleepMicros(d.us); };
    pipeline_name_ = ctx.pipeline_name;
    node_id_ = ctx.node_id;
    if (options_.seed == 0) backoff_ = Backoff(options_.backoff, static_cast<uint64_t>(env_->WallMicros()));
    if (ctx.restored_epoch.number == 0 || ctx.committed.empty()) return Status::Ok();
    ByteSource source(ctx.committed);
    const uint8_t version = source.GetU8();
    sent_count_ = source.GetI64();
    dropped_count_ = source.GetI64();
    if (version != kStateVersion || !source.ok())
      return Status::DataLoss("the webhook's committed counts cannot be read");
    return Status::Ok();
  }

  Status Write(const Batch& batch, int64_t first_ordinal) override {
    const RowWriter& writer = writers_.For(batch.schema());
    for (int32_t row = 0; row < batch.row_count();) {
      const int32_t count = std::min<int32_t>(options_.batch_row_count_max, batch.row_count() - row);
      HttpRequest request;
      if (options_.batch_row_count_max > 1) {
        for (int32_t i = 0; i < count; ++i) {
          request.body += i == 0 ? '[' : ',';
          writer.AppendObject(batch, row + i, &request.body);
        }
        request.body += ']';
      } else {
        writer.AppendObject(batch, row, &request.body);
      }
      request.headers.emplace_back("Idempotency-Key", KeyOf(batch, row, first_ordinal + row));
      FRESHET_RETURN_IF_ERROR(Deliver(std::move(request), count));
      row += count;
    }
    return Status::Ok();
  }

  Result<std::string> PrepareCommit(Epoch) override {
    ByteSink sink;
    sink.PutU8(kStateVersion);
    sink.PutI64(sent_count_);
    sink.PutI64(dropped_count_);
    return sink.Take();
  }

  std::string Summary() const override {
    std::string text = "sent " + FormatCount(sent_count_) + " rows to " + origin_;
    if (retried_count_ > 0) text += ", " + FormatCount(retried_count_) + " retries";
    if (dropped_count_ > 0) text += ", " + FormatCount(dropped_count_) + " rows dropped";
    return text;
  }

 private:
  std::string KeyOf(const Batch& batch, int32_t row, int64_t ordinal) const {
    const std::optional<int> id = batch.schema()->Find("alert_id");
    const std::optional<int> state = batch.schema()->Find("state");
    if (options_.batch_row_count_max == 1 && id && state && batch.schema()->field(*id).type == TypeId::kString &&
        batch.schema()->field(*state).type == TypeId::kString && batch.column(*id).IsValid(row) &&
        batch.column(*state).IsValid(row)) {
      std::string key(batch.column(*id).StringAt(row));
      key += '-';
      key += batch.column(*state).StringAt(row);
      // A user's own column of that name may hold anything.
      const bool plain = std::all_of(key.begin(), key.end(), [](char c) { return c > 0x20 && c < 0x7f; });
      return plain && key.size() <= 255 ? key : Hex128(key);
    }
    ByteSink bytes;
    bytes.PutString(pipeline_name_);
    bytes.PutString(node_id_);
    bytes.PutI64(ordinal);
    return Hex128(bytes.bytes());
  }

  /// Sends until it is accepted, refused or given up.
  Status Deliver(HttpRequest request, int64_t rows) {
    request.method = options_.method;
    request.url = options_.url;
    request.timeout = options_.timeout;
    request.connect_timeout = std::min(options_.timeout, Duration::Seconds(5));
    request.headers.emplace_back("Content-Type", "application/json");
    request.headers.insert(request.headers.end(), options_.headers.begin(), options_.headers.end());
    backoff_.Reset();
    for (;;) {
      const Result<HttpResponse> answer = client_.Send(request);
      if (!answer.ok() && answer.status().retry() == RetryHint::kNever) return answer.status();
      if (answer.ok() && answer->status >= 200 && answer->status < 300) {
        sent_count_ += rows;
        return Status::Ok();
      }
      const std::string problem =
          answer.ok() ? origin_ + " answered " + std::to_string(answer->status) : answer.status().message();
      if (answer.ok() && !IsRetryable(answer->status)) {
        if (options_.fail_when_rejected)
          return Status::InvalidArgument(problem + "; check url and headers, or set `on_reject: drop`");
        return Drop(rows, problem);
      }
      if (backoff_.attempt() >= options_.retry_count_max) {
        if (options_.drop_when_exhausted) return Drop(rows, problem);
        return Status::Unavailable(problem + ", " + std::to_string(backoff_.attempt() + 1) +
                                   " attempts; rows stay undelivered until the next run");
      }
      const Duration wait = WaitAfter(answer);
      Log(LogLevel::kDebug, "webhook tries again",
          {{"node", node_id_}, {"problem", problem}, {"wait", FormatDuration(wait)}});
      ++retried_count_;
      options_.sleep(wait);
    }
  }

  Duration WaitAfter(const Result<HttpResponse>& answer) {
    const std::string* wish = answer.ok() ? answer->FindHeader("retry-after") : nullptr;
    const auto wait = wish != nullptr ? ParseRetryAfter(*wish, env_->WallMicros()) : std::nullopt;
    return wait ? backoff_.Next(*wait, options_.retry_after_max) : backoff_.Next();
  }

  Status Drop(int64_t rows, const std::string& problem) {
    const int64_t before = dropped_count_;
    dropped_count_ += rows;
    // The first ones and then ever fewer: a peer that refuses everything must not fill the log.
    const bool power_of_two = (dropped_count_ & (dropped_count_ - 1)) == 0;
    if (before < 3 || power_of_two)
      Log(LogLevel::kWarning, "webhook dropped rows",
          {{"node", node_id_}, {"problem", problem}, {"dropped", std::to_string(dropped_count_)}});
    return Status::Ok();
  }

  WebhookOptions options_;
  const std::string origin_;
  Env* env_ = nullptr;
  std::string pipeline_name_;
  std::string node_id_;
  RowWriterSet writers_;
  HttpClient client_;
  Backoff backoff_;
  int64_t sent_count_ = 0;
  int64_t dropped_count_ = 0;
  int64_t retried_count_ = 0;
};

std::optional<BoundSink> MakeWebhook(const OptionsNode& options, const BindContext& bind) {
  WebhookOptions o;
  o.url = options.GetString("url");
  if (o.url.empty()) return std::nullopt;  // reported by OptionsNode
  if (HttpOrigin(o.url).rfind("http", 0) != 0) {
    bind.diagnostics->Error("FR3121", options.span("url"),
                            "the url must begin with http:// or https:// and name a host");
    return std::nullopt;
  }
  o.method = options.GetString("method");
  for (const auto& [name, value] : options.GetMap("headers")) o.headers.emplace_back(name.value, value.value);
  o.batch_row_count_max = static_cast<int>(options.GetInt("batch"));
  o.timeout = options.GetDuration("timeout");
  o.retry_count_max = static_cast<int>(options.GetInt("retries"));
  o.backoff.longest = options.GetDuration("max_backoff");
  o.retry_after_max = options.GetDuration("max_retry_after");
  o.fail_when_rejected = options.GetString("on_reject") == "fail";
  o.drop_when_exhausted = options.GetString("on_failure") == "drop";
  BoundSink bound;
  bound.delivery = Delivery::kAtLeastOnce;
  bound.explain = {{"to", HttpOrigin(o.url)}};
  bound.make_sink = [o] { return MakeWebhookSink(o); };
  return bound;
}

OptionSpec Option(const char* name, OptionKind kind, const char* default_text, const char* doc) {
  OptionSpec spec;
  spec.name = name;
  spec.kind = kind;
  spec.default_text = default_text;
  spec.doc = doc;
  return spec;
}

}  // namespace

std::unique_ptr<Sink> MakeWebhookSink(WebhookOptions options) {
  return std::make_unique<WebhookSink>(std::move(options));
}

NodeDescriptor WebhookDescriptor() {
  NodeDescriptor d;
  d.type = "webhook";
  d.kind = NodeKind::kSink;
  d.summary = "sends each row as JSON to a url";
  d.doc =
      "Posts each row as a JSON object, in order, over http or https (certificates are checked, redirects not "
      "followed).\n"
      "At least once: every request carries `Idempotency-Key`, the same on every attempt and after a restart, so that "
      "the\n"
      "receiver can tell repeats: ALERT_ID-STATE for the rows of an `alert`, else a hash of pipeline, sink and row "
      "number.\n"
      "\n"
      "No answer, 408, 429 and 5xx are tried again with growing, random waits, or when Retry-After says. Other answers "
      "that\n"
      "are not 2xx would stay the same: the row is dropped, counted in the summary and warned of (`on_reject: fail` "
      "stops\n"
      "instead). A url or header that holds a key belongs in {secret: env:NAME}; neither is ever logged.";
  d.example =
      "ops:\n  type: webhook\n  inputs: [surges]\n  url: {secret: env:OPS_WEBHOOK}\n  headers: {X-Team: content}";
  d.inputs_max = 64;
  OptionSpec url = Option("url", OptionKind::kString, "", "Where to send; may be {secret: env:NAME}.");
  url.required = true;
  OptionSpec method = Option("method", OptionKind::kEnum, "POST", "HTTP method.");
  method.enum_values = {"POST", "PUT"};
  OptionSpec batch = Option("batch", OptionKind::kInt, "1", "Rows per request; above 1 the body is a JSON array.");
  batch.min = 1;
  batch.max = 1000;
  OptionSpec timeout = Option("timeout", OptionKind::kDuration, "10s", "For one attempt as a whole.");
  timeout.min = 1000;
  timeout.max = 600e6;
  OptionSpec retries = Option("retries", OptionKind::kInt, "8", "Further attempts before giving up.");
  retries.min = 0;
  retries.max = 1000;
  OptionSpec max_backoff = Option("max_backoff", OptionKind::kDuration, "30s", "Longest random wait between attempts.");
  max_backoff.min = 1000;
  OptionSpec on_reject =
      Option("on_reject", OptionKind::kEnum, "drop", "What to do when the receiver refuses a row for good (4xx).");
  on_reject.enum_values = {"drop", "fail"};
  OptionSpec on_failure = Option("on_failure", OptionKind::kEnum, "fail", "What to do when all attempts have failed.");
  on_failure.enum_values = {"fail", "drop"};
  d.options = {url,
               method,
               Option("headers", OptionKind::kStringMap, "", "More headers; values may be {secret: env:NAME}."),
               batch,
               timeout,
               retries,
               max_backoff,
               Option("max_retry_after", OptionKind::kDuration, "5m", "Longest Retry-After that is honoured."),
               on_reject,
               on_failure};
  d.make_sink = MakeWebhook;
  return d;
}

}  // namespace freshet
