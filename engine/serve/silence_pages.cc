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
  const bool both = alert.silenced_until == "resolved" && !alert.silenced_until_time.empty();
  row("silenced until", alert.silenced_until + (both ? ", and " + alert.silenced_until_time : ""));
  return "<table>\n" + rows + "</table>\n";
}

/// What the form sends back, so that nobody makes up a moment of his own.
std::string Confirmation(const std::string& secret, const std::string& path, const std::string& until,
                         const std::string& asked) {
  return HmacSha256(secret, "freshet silence 2\n" + path + "\n" + until + "\n" + asked);
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

/// The present silence is as long as `until` (RFC 3339 sorts by time). Of one that ends with the episode, the time
/// beside it counts.
bool LastsLonger(const LinkedAlert& alert, const std::string& until) {
  if (alert.silenced_until == "for ever" || alert.silenced_until == until) return true;
  const std::string& time = alert.silenced_until == "resolved" ? alert.silenced_until_time : alert.silenced_until;
  return until != "resolved" && time >= until;
}

SilencePage Ask(const std::string& title, const std::string& about, const LinkSigner& signer, const std::string& path,
                const std::string& until, int64_t now_wall_us) {
  const std::string asked = std::to_string(now_wall_us);
  return Page(200, title,
              about + "<form method=\"post\"><input type=\"hidden\" name=\"until\" value=\"" + HtmlText(until) +
                  "\"><input type=\"hidden\" name=\"asked\" value=\"" + asked +
                  "\"><input type=\"hidden\" name=\"confirmed\" value=\"" +
                  Confirmation(signer.secret, path, until, asked) +
                  "\"><button type=\"submit\">Silence</button></form>\n" +
                  Paragraph("Nothing is changed until the button is pressed. That this alert is over is told all the "
                            "same. One of the same key that begins while it is silenced is told when that is over, if "
                            "it still fires then."));
}

/// Who may have made the link; what stands in the newest checkpoint of the first that knows the alert.
struct Found {
  std::vector<LinkSigner> signers;
  Result<LinkedAlert> alert = Status::NotFound("no such alert");  ///< any other error: one cannot be asked
  bool may_be_new = false;  ///< one can be asked, and its checkpoint may just not have it yet
};

/// Pipelines that share a secret all fit a link; only one of them has its alert.
Found Find(std::vector<LinkSigner> good, const SilenceHooks& hooks, const SilenceRequest& request,
           int64_t now_wall_us) {
  const std::string& alert_id = request.alert_id;
  int64_t expires_s = 0;
  (void)std::from_chars(request.expires.data(), request.expires.data() + request.expires.size(), expires_s);
  Found found;
  for (LinkSigner& signer : good) {
    Result<LinkedAlert> alert = hooks.find(signer.state_directory, alert_id);
    if (alert.ok()) {
      found.signers.assign(1, std::move(signer));
      found.alert = std::move(alert);
      return found;
    }
    if (alert.status().code() != StatusCode::kNotFound)
      found.alert = std::move(alert);
    else if (now_wall_us - (expires_s * 1000000 - signer.valid_for.us) < kYoungUs)
      found.may_be_new = true;
    found.signers.push_back(std::move(signer));
  }
  return found;
}

/// To each until one has the alert. The first reason that is more than "no such alert" is kept.
Result<AlertOrderOutcome> Order(const Found& found, const SilenceHooks& hooks, const std::string& alert_id,
                                const std::string& until, int64_t asked_us) {
  Result<AlertOrderOutcome> said = Status::NotFound("no such alert");
  for (const LinkSigner& signer : found.signers) {
    Result<AlertOrderOutcome> outcome = hooks.order(signer.state_directory, alert_id, until, asked_us);
    if (outcome.ok()) return outcome;
    if (said.status().code() == StatusCode::kNotFound) said = std::move(outcome);
  }
  return said;
}

SilencePage Obey(const SilenceRequest& request, const SilenceHooks& hooks, const Found& found, const std::string& path,
                 const std::string& about, int64_t now_wall_us) {
  int64_t until_us = 0;
  const std::optional<std::string> until = UntilText(request.until, &until_us);
  if (!until || !EqualInConstantTime(Confirmation(found.signers[0].secret, path, request.until, request.asked),
                                     request.confirmed))
    return Page(400, "Nothing was silenced", Paragraph("Open the link, and press the button on its page."));
  if (until_us <= now_wall_us)
    return Page(410, "Nothing was silenced", Paragraph("This page is too old: open the link again."));
  const std::string till = *until == "resolved" ? "until it is resolved" : "until " + *until;
  if (found.alert.ok() && LastsLonger(*found.alert, *until)) return Page(200, "Silenced already", about);
  int64_t asked_us = 0;  // as we wrote it: the confirmation is right
  (void)std::from_chars(request.asked.data(), request.asked.data() + request.asked.size(), asked_us);
  const Result<AlertOrderOutcome> outcome = Order(found, hooks, request.alert_id, *until, asked_us);
  if (outcome.ok() && !outcome->certain)
    return Page(504, "Not certain: open the link again", about + Paragraph(outcome->note));
  if (outcome.ok() && !outcome->note.empty())
    return Page(409, "Nothing was silenced", about + Paragraph("The alert says: " + outcome->note + "."));
  if (outcome.ok()) return Page(200, "Silenced " + till, about + Paragraph("This is durable."));
  const bool unknown = outcome.status().code() == StatusCode::kNotFound;
  return Page(unknown ? 404 : 503, "Nothing was silenced", about + Paragraph(outcome.status().message()));
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
  std::vector<LinkSigner> good;
  bool expired = false;
  for (LinkSigner& candidate : hooks.signers()) {
    const LinkVerdict verdict =
        CheckSignedLink(candidate.secret, path, request.expires, request.signature, now_wall_us);
    expired = expired || verdict == LinkVerdict::kExpired;
    if (verdict == LinkVerdict::kGood) good.push_back(std::move(candidate));
  }
  if (good.empty() && expired)
    return Page(410, "This link has expired",
                Paragraph("`freshet alerts silence " + request.alert_id + "` still works."));
  if (good.empty())
    return Page(403, "This link is not valid",
                Paragraph("It was changed, or made with another secret than the one in use."));
  const Found found = Find(std::move(good), hooks, request, now_wall_us);
  const Result<LinkedAlert>& alert = found.alert;
  if (!alert.ok() && alert.status().code() != StatusCode::kNotFound && !found.may_be_new)
    return Page(503, "The alert cannot be looked up", Paragraph(alert.status().message()));
  if (!alert.ok() && !request.post && !found.may_be_new)
    return Page(404, "This alert is not known any more",
                Paragraph("It has been over for longer than its rule remembers."));
  const std::string about =
      alert.ok() ? Table(request.alert_id, *alert)
                 : Paragraph("Alert " + request.alert_id + ", so new that the newest checkpoint does not have it yet.");
  if (alert.ok() && alert->state == "resolved" && span->duration_us == 0)
    return Page(request.post ? 409 : 200, "It is resolved already", about);
  if (request.post) return Obey(request, hooks, found, path, about, now_wall_us);
  const std::string until =
      span->duration_us == 0 ? "resolved" : std::to_string((now_wall_us + span->duration_us) / 1000000);
  int64_t until_us = 0;
  if (alert.ok() && LastsLonger(*alert, *UntilText(until, &until_us))) return Page(200, "Silenced already", about);
  return Ask(span->duration_us == 0 ? "Silence this alert until it is resolved?"
                                    : "Silence this alert for " + std::string(span->words) + "?",
             about, found.signers[0], path, until, now_wall_us);
}

}  // namespace freshet
