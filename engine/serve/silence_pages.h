#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "engine/base/status.h"
#include "engine/base/time.h"

namespace freshet {

/// A pipeline whose alerts carry links (engine/base/signed_link.h).
struct LinkSigner {
  std::string state_directory;
  std::string secret;
  Duration valid_for;
};

/// The alert of a link, as the newest checkpoint knows it.
struct LinkedAlert {
  std::string pipeline, rule, key, state, severity, started_at, message, owner;
  std::string silenced_until;       ///< RFC 3339, "resolved", "for ever"; empty: it is not silenced
  std::string silenced_until_time;  ///< beside "resolved": the time that holds afterwards
};

/// What became of an order about an alert.
struct AlertOrderOutcome {
  bool certain = true;  ///< a checkpoint holds it; else none came in time, and it may still be obeyed, or not
  std::string note;     ///< what the alert has to say to it, often nothing
};

/// What the pages ask and order; all but `order` without side effects. Called from the server's threads.
struct SilenceHooks {
  /// Several may share a secret.
  std::function<std::vector<LinkSigner>()> signers;
  /// kNotFound: the newest checkpoint does not know it.
  std::function<Result<LinkedAlert>(const std::string& state_directory, const std::string& alert_id)> find;
  /// As `freshet alerts silence`, by a form that was made at `asked_us` (wall clock). `until`: RFC 3339, or "resolved".
  /// The alert's state knows which forms are used up, and refuses these by a note. kNotFound: it has no such alert; any
  /// other error: nothing was changed.
  std::function<Result<AlertOrderOutcome>(const std::string& state_directory, const std::string& alert_id,
                                          const std::string& until, int64_t asked_us)>
      order;
};

struct SilenceRequest {
  bool post = false;
  std::string alert_id, span;           ///< of the path
  std::string expires, signature;       ///< of the query
  std::string until, asked, confirmed;  ///< of the form, POST only
};

struct SilencePage {
  int status = 200;
  std::string html;
};

/// The page behind a link of an alert. Whoever holds the link may silence the alert's key for the link's span.
///   GET  : asks. Changes nothing, so that a program that looks at links, such as the preview of a chat, silences
///          nothing. The form it shows says until when, and when it was asked for, signed.
///   POST : of that form only; silences until that moment. Sent again it changes nothing more: it is the same moment,
///          and where that silence was ended or changed by other means meanwhile, all forms made before are used up
///          (that is durable, with the silence). A silence that lasts longer is not shortened.
/// 403: not made by one of the signers, or changed. 410: expired, or a form that is too old. 400: a POST that is none
/// of our form. 404: no such alert. 409: it is resolved, or the form is used up. 503: not accepted. Nothing is
/// silenced then. 504: no checkpoint came in time, so nobody knows yet.
SilencePage AnswerSilence(const SilenceRequest& request, const SilenceHooks& hooks, int64_t now_wall_us);

/// Text for HTML: & < > " ' as entities.
std::string HtmlText(std::string_view text);

}  // namespace freshet
