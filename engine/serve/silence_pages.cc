#include "engine/serve/silence_pages.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "engine/base/signed_link.h"
#include "engine/base/units.h"

namespace freshet {
namespace {

/// Alerts leave before the checkpoint that holds them; one so young may not be in it yet.
constexpr int64_t kYoungUs = 300'000'000;

SilencePage Page(int status, const std::string& title, const std::string& body) {
  return {status,
          "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>" + HtmlText(title) +
              "</title>\n<meta name=\"robots\" content=\"noindex\">"
              "<meta name=\"viewport\" content=\"width=device-width\">\n"
              "<style>body{font:16px sans-serif;max-width:40em;margin:3em auto;padding:0 1em}"
              "td{padding:.1em 1em .1em 0;vertical-align:top}button{font:inherit;padding:.5em 1em}</style></head>\n"
              "<body><h1>" +
              HtmlText(title) + "</h1>\n" + body + "</body></html>\n"};
}

std::string Paragraph(const std::string& text) { return "<p>" + HtmlText(text) + "</p>\n"; }

std::string Table(const std::string& alert_id, const LinkedAlert& alert) {
  std::string rows;
  const auto row = [&](const char* name, const std::string& value) {
    if (!value.empty()) rows += "<tr><td>" + std::string(name) + "</td><td>" + HtmlText(value) + "</td></tr>\n";
  };
  row("alert", alert_id);
  row("rule", alert.pipeline.empty() ? alert.rule : alert.pipeline + " / " + alert.rule);
  row("key", alert.key);
  row("state", alert.state);
  row("severity", alert.severity);
  row("since", alert.started_at);
  row("message", alert.message);
  row("owner", alert.owner);
  row("silenced until", alert.silenced_until);
  return "<table>\n" + rows + "</table>\n";
}

/// What the form sends back, so that nobody makes up a moment of his own.
std::string Confirmation(const std::string& secret, const std::string& path, const std::string& until) {
  return HmacSha256(secret, "freshet silence 1\n" + path + "\n" + until);
}

/// "resolved" as it is, Unix seconds as RFC 3339.
std::optional<std::string> UntilText(const std::string& until, int64_t* until_us) {
  *until_us = INT64_MAX;
  if (until == "resolved") return until;
  int64_t seconds = 0;
  const auto read = std::from_chars(until.data(), until.data() + until.size(), seconds);
  if (read.ec != std::errc() || read.ptr != until.data() + until.size() || seconds < 0 || seconds > 253402300799)
    return std::nullopt;
  *until_us = seconds * 1000000;
  return FormatTime({*until_us});
}

/// The present silence is as long as `until` (RFC 3339 sorts by time). One that ends with the episode is not compared.
bool LastsLonger(const LinkedAlert& alert, const std::string& until) {
  if (alert.silenced_until == "for ever" || alert.silenced_until == until) return true;
  return until != "resolved" && !alert.silenced_until.empty() && alert.silenced_until != "resolved" &&
         alert.silenced_until >= until;
}

SilencePage Ask(const std::string& title, const std::string& about, const LinkSigner& signer, const std::string& path,
                const std::string& until) {
  return Page(200, title,
              about + "<form method=\"post\"><input type=\"hidden\" name=\"until\" value=\"" + HtmlText(until) +
                  "\"><input type=\"hidden\" name=\"confirmed\" value=\"" + Confirmation(signer.secret, path, until) +
                  "\"><button type=\"submit\">Silence</button></form>\n" +
                  Paragraph("Nothing is changed until the button is pressed. What still fires when the silence is over "
                            "is told then."));
}

SilencePage Obey(const SilenceRequest& request, const SilenceHooks& hooks, const LinkSigner& signer,
                 const std::string& path, const std::string& about, const Result<LinkedAlert>& alert,
                 int64_t now_wall_us) {
  int64_t until_us = 0;
  const std::optional<std::string> until = UntilText(request.until, &until_us);
  if (!until || !EqualInConstantTime(Confirmation(signer.secret, path, request.until), request.confirmed))
    return Page(400, "Nothing was silenced", Paragraph("Open the link, and press the button on its page."));
  if (until_us <= now_wall_us)
    return Page(410, "Nothing was silenced", Paragraph("This page is too old: open the link again."));
  const std::string till = *until == "resolved" ? "until it is resolved" : "until " + *until;
  if (alert.ok() && LastsLonger(*alert, *until)) return Page(200, "Silenced already", about);
  const Status status = hooks.order(signer.state_directory, request.alert_id, *until);
  if (status.ok()) return Page(200, "Silenced " + till, about + Paragraph("This is durable."));
  const bool unknown = status.code() == StatusCode::kNotFound;
  return Page(unknown ? 404 : 503, "Nothing was silenced", about + Paragraph(status.message()));
}

}  // namespace

std::string HtmlText(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

SilencePage AnswerSilence(const SilenceRequest& request, const SilenceHooks& hooks, int64_t now_wall_us) {
  const auto span = std::find_if(kAlertLinkSpans.begin(), kAlertLinkSpans.end(),
                                 [&](const AlertLinkSpan& s) { return request.span == s.name; });
  if (span == kAlertLinkSpans.end())
    return Page(403, "This link is not valid",
                Paragraph("There are links for 1h, 24h, and until an alert is resolved."));
  const std::string path = SilencePath(request.alert_id, *span);
  std::optional<LinkSigner> signer;
  bool expired = false;
  for (LinkSigner& candidate : hooks.signers()) {
    const LinkVerdict verdict =
        CheckSignedLink(candidate.secret, path, request.expires, request.signature, now_wall_us);
    expired = expired || verdict == LinkVerdict::kExpired;
    if (verdict == LinkVerdict::kGood && !signer) signer = std::move(candidate);
  }
  if (!signer && expired)
    return Page(410, "This link has expired",
                Paragraph("`freshet alerts silence " + request.alert_id + "` still works."));
  if (!signer)
    return Page(403, "This link is not valid",
                Paragraph("It was changed, or made with another secret than the one in use."));
  const Result<LinkedAlert> alert = hooks.find(signer->state_directory, request.alert_id);
  if (!alert.ok() && alert.status().code() != StatusCode::kNotFound)
    return Page(503, "The alert cannot be looked up", Paragraph(alert.status().message()));
  int64_t expires_s = 0;
  (void)std::from_chars(request.expires.data(), request.expires.data() + request.expires.size(), expires_s);
  const bool young = now_wall_us - (expires_s * 1000000 - signer->valid_for.us) < kYoungUs;
  if (!alert.ok() && !young && !request.post)
    return Page(404, "This alert is not known any more",
                Paragraph("It has been over for longer than its rule remembers."));
  const std::string about =
      alert.ok() ? Table(request.alert_id, *alert)
                 : Paragraph("Alert " + request.alert_id + ", so new that the newest checkpoint does not have it yet.");
  if (alert.ok() && alert->state == "resolved" && span->duration_us == 0)
    return Page(request.post ? 409 : 200, "It is resolved already", about);
  if (request.post) return Obey(request, hooks, *signer, path, about, alert, now_wall_us);
  const std::string until =
      span->duration_us == 0 ? "resolved" : std::to_string((now_wall_us + span->duration_us) / 1000000);
  int64_t until_us = 0;
  if (alert.ok() && LastsLonger(*alert, *UntilText(until, &until_us))) return Page(200, "Silenced already", about);
  return Ask(span->duration_us == 0 ? "Silence this alert until it is resolved?"
                                    : "Silence this alert for " + std::string(span->words) + "?",
             about, *signer, path, until);
}

}  // namespace freshet
