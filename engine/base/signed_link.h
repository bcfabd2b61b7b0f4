#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/base/time.h"

namespace freshet {

/// HMAC-SHA-256 (RFC 2104, FIPS 180-4; by libcrypto) of `text`, as 64 lower-case hexadecimal digits.
std::string HmacSha256(std::string_view secret, std::string_view text);
/// Takes the same time wherever the difference lies; a difference in length shows at once.
bool EqualInConstantTime(std::string_view a, std::string_view b);

/// `BASE_URL + PATH?expires=SECONDS&signature=HMAC`: whoever holds the link may do what the path says, until then, and
/// nothing else. The signature is over the path and the moment, not over what stands in front of the path, so the same
/// link works by whatever name the server is reached.
std::string SignedLink(std::string_view secret, const std::string& base_url, const std::string& path,
                       int64_t expires_s);

/// Of a link told at `told_us`; as late as there is where the sum is later than that.
int64_t LinkExpirySeconds(int64_t told_us, Duration valid_for);

enum class LinkVerdict : uint8_t { kGood, kForged, kExpired };
/// What the query of a link says of it, by the clock `now_us` (Unix time). `expires` must be written as SignedLink
/// writes it. Nothing is said of time before the signature is known to be right.
LinkVerdict CheckSignedLink(std::string_view secret, std::string_view path, std::string_view expires,
                            std::string_view signature, int64_t now_us);

/// How long an alert may be silenced by a link: each a column of its rows.
struct AlertLinkSpan {
  const char* name;     ///< as in the path
  const char* words;    ///< for people
  const char* column;   ///< of an alert's rows
  int64_t duration_us;  ///< 0: until the alert is resolved
};
inline constexpr std::array<AlertLinkSpan, 3> kAlertLinkSpans = {{
    {"1h", "1h", "silence_1h", 3'600'000'000},
    {"24h", "24h", "silence_24h", 86'400'000'000},
    {"resolved", "until resolved", "silence_until_resolved", 0},
}};
/// "/silence/27dc2be818c6cd7e/24h", what is signed.
std::string SilencePath(const std::string& alert_id, const AlertLinkSpan& span);

}  // namespace freshet
