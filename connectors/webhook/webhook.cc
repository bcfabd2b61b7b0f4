#include "connectors/webhook/webhook.h"

#include <algorithm>

#include "connectors/format/row_writer.h"
#include "connectors/net/http_client.h"
#include "connectors/net/outbox_options.h"

namespace freshet {
namespace {

bool IsRetryable(int status) { return status == 408 || status == 429 || status >= 500; }

class Webhook final : public NetworkSink {
 public:
  explicit Webhook(WebhookOptions options)
      : options_(std::move(options)), origin_(HttpOrigin(options_.url)), writers_(RowFormat::kNdjson) {}

  Status Open(const SinkOpenContext& ctx) override {
    env_ = ctx.env;
    return Status::Ok();
  }

  void AppendRow(const Batch& batch, int32_t row, bool first, std::string* payload) override {
    if (!first) *payload += ',';
    writers_.For(batch.schema()).AppendObject(batch, row, payload);
  }

  DeliveryResult Send(const Parcel& parcel) override {
    HttpRequest request;
    request.method = options_.method;
    request.url = options_.url;
    request.timeout = options_.timeout;
    request.connect_timeout = std::min(options_.timeout, Duration::Seconds(5));
    request.headers.emplace_back("Idempotency-Key", parcel.id);
    request.headers.emplace_back("Content-Type", "application/json");
    request.headers.insert(request.headers.end(), options_.headers.begin(), options_.headers.end());
    request.body = options_.arrays ? '[' + parcel.payload + ']' : parcel.payload;
    const Result<HttpResponse> answer = client_.Send(request);
    if (!answer.ok()) {
      const bool later = answer.status().retry() != RetryHint::kNever;
      return {later ? DeliveryResult::Kind::kRetryLater : DeliveryResult::Kind::kRefused, answer.status().message()};
    }
    if (answer->status >= 200 && answer->status < 300) return {};
    DeliveryResult result;
    result.kind = IsRetryable(answer->status) ? DeliveryResult::Kind::kRetryLater : DeliveryResult::Kind::kRefused;
    result.reason = origin_ + " answered " + std::to_string(answer->status);
    if (const std::string* wish = answer->FindHeader("retry-after"))
      result.retry_after = ParseRetryAfter(*wish, env_->WallMicros());
    return result;
  }

  void Interrupt() override { client_.Interrupt(); }
  std::string target() const override { return origin_; }

 private:
  const WebhookOptions options_;
  const std::string origin_;
  Env* env_ = nullptr;
  RowWriterSet writers_;
  HttpClient client_;
};

std::optional<BoundSink> BindWebhook(const OptionsNode& options, const BindContext& bind) {
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
  o.arrays = options.GetInt("batch") > 1;
  o.timeout = options.GetDuration("timeout");
  BoundSink bound;
  bound.delivery = Delivery::kEffectivelyOnce;
  bound.delivery_note = "where the receiver honours Idempotency-Key, else at least once";
  bound.explain = {{"to", HttpOrigin(o.url)}};
  if (!BindOutboxOptions(options, bind, &bound)) return std::nullopt;
  bound.make_network_sink = [o] { return MakeWebhook(o); };
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

std::unique_ptr<NetworkSink> MakeWebhook(WebhookOptions options) {
  return std::make_unique<Webhook>(std::move(options));
}

NodeDescriptor WebhookDescriptor() {
  NodeDescriptor d;
  d.type = "webhook";
  d.kind = NodeKind::kSink;
  d.summary = "sends each row as JSON to a url";
  d.doc =
      "Posts each row as a JSON object, in order, over http or https (certificates are checked, redirects not "
      "followed).\n"
      "Rows wait in an outbox in the state directory, through restarts, until the receiver has taken them: rows of an "
      "`alert`\n"
      "leave at once, others with the checkpoint that holds them, for which a checkpoint is taken at most every 500 "
      "ms.\n"
      "Every request carries `Idempotency-Key`, the same on every attempt and after a restart, so that the receiver "
      "can tell\n"
      "repeats: ALERT_ID-STATE for the rows of an `alert`, else a hash of pipeline, sink and row number. A receiver "
      "that\n"
      "honours it gets each row effectively once, another one at least once.\n"
      "\n"
      "No answer, 408, 429 and 5xx are tried again with growing, random waits, or when Retry-After says, while the "
      "pipeline\n"
      "goes on. Other answers that are not 2xx would stay the same: the rows become dead letters, counted and warned "
      "of\n"
      "(`on_reject: fail` stops instead). At a stop what has not left waits for the next run, and the summary says "
      "how much.\n"
      "A url or header that holds a key belongs in {secret: env:NAME}; neither is ever logged.";
  d.example =
      "ops:\n  type: webhook\n  inputs: [surges]\n  url: {secret: env:OPS_WEBHOOK}\n  headers: {X-Team: content}";
  d.inputs_max = 64;
  OptionSpec url = Option("url", OptionKind::kString, "", "Where to send; may be {secret: env:NAME}.");
  url.required = true;
  OptionSpec method = Option("method", OptionKind::kEnum, "POST", "HTTP method.");
  method.enum_values = {"POST", "PUT"};
  OptionSpec timeout = Option("timeout", OptionKind::kDuration, "10s", "For one attempt as a whole.");
  timeout.min = 1000;
  timeout.max = 600e6;
  d.options = {url, method,
               Option("headers", OptionKind::kStringMap, "", "More headers; values may be {secret: env:NAME}."),
               timeout};
  for (OptionSpec& option : OutboxOptionSpecs()) d.options.push_back(std::move(option));
  d.make_sink = BindWebhook;
  return d;
}

}  // namespace freshet
