#include "engine/base/signed_link.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <charconv>

namespace freshet {
namespace {

/// The first line keeps this use of a secret apart from any other.
std::string SignedText(std::string_view path, std::string_view expires) {
  std::string text = "freshet link 1\n";
  text += path;
  text += '\n';
  text += expires;
  return text;
}

}  // namespace

std::string HmacSha256(std::string_view secret, std::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  unsigned char mac[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  const unsigned char* const made = HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
                                         reinterpret_cast<const unsigned char*>(text.data()), text.size(), mac, &size);
  std::string hex;
  for (unsigned i = 0; made != nullptr && i < size; ++i) (hex += kHex[mac[i] >> 4]) += kHex[mac[i] & 15];
  return hex;
}

bool EqualInConstantTime(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::string SignedLink(std::string_view secret, const std::string& base_url, const std::string& path,
                       int64_t expires_s) {
  const std::string expires = std::to_string(expires_s);
  return base_url + path + "?expires=" + expires + "&signature=" + HmacSha256(secret, SignedText(path, expires));
}

std::string SilencePath(const std::string& alert_id, const AlertLinkSpan& span) {
  return "/silence/" + alert_id + "/" + span.name;
}

int64_t LinkExpirySeconds(int64_t told_us, Duration valid_for) {
  int64_t expires_us = 0;
  if (__builtin_add_overflow(told_us, valid_for.us, &expires_us)) expires_us = INT64_MAX;
  return expires_us / 1000000;
}

LinkVerdict CheckSignedLink(std::string_view secret, std::string_view path, std::string_view expires,
                            std::string_view signature, int64_t now_us) {
  const std::string right = HmacSha256(secret, SignedText(path, expires));
  if (secret.empty() || right.empty() || !EqualInConstantTime(right, signature)) return LinkVerdict::kForged;
  int64_t expires_s = 0;
  const auto read = std::from_chars(expires.data(), expires.data() + expires.size(), expires_s);
  if (read.ec != std::errc() || read.ptr != expires.data() + expires.size()) return LinkVerdict::kForged;
  return now_us / 1000000 < expires_s ? LinkVerdict::kGood : LinkVerdict::kExpired;
}

}  // namespace freshet
