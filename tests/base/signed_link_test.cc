// Signatures of links against the published vectors, and what is done to a link.
#include "engine/base/signed_link.h"

#include <doctest/doctest.h>

using namespace freshet;

// RFC 4231, test cases 1, 2, 3 and 6.
TEST_CASE("HmacSha256_Rfc4231_GivesThePublishedMacs") {
  CHECK(HmacSha256(std::string(20, '\x0b'), "Hi There") ==
        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  CHECK(HmacSha256("Jefe", "what do ya want for nothing?") ==
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  CHECK(HmacSha256(std::string(20, '\xaa'), std::string(50, '\xdd')) ==
        "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
  CHECK(HmacSha256(std::string(131, '\xaa'), "Test Using Larger Than Block-Size Key - Hash Key First") ==
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST_CASE("EqualInConstantTime_Texts_AreComparedWhole") {
  CHECK(EqualInConstantTime("", ""));
  CHECK(EqualInConstantTime("abc", "abc"));
  CHECK_FALSE(EqualInConstantTime("abc", "abd"));
  CHECK_FALSE(EqualInConstantTime("abc", "ab"));
  CHECK_FALSE(EqualInConstantTime("abc", std::string_view("abc\0", 4)));
}

TEST_CASE("LinkExpirySeconds_BeyondTheEndOfTime_IsItsEnd") {
  CHECK(LinkExpirySeconds(1'700'000'000'999'999, Duration::Seconds(60)) == 1'700'000'060);
  CHECK(LinkExpirySeconds(INT64_MAX - 5, Duration::Seconds(60)) == INT64_MAX / 1'000'000);
}

TEST_CASE("SignedLink_Changed_IsForgedOrExpired") {
  const std::string secret = "0123456789abcdef";
  const std::string path = SilencePath("27dc2be818c6cd7e", kAlertLinkSpans[1]);
  CHECK(path == "/silence/27dc2be818c6cd7e/24h");
  const std::string link = SignedLink(secret, "https://alerts.example.org/x", path, 1000);
  const std::string head = "https://alerts.example.org/x" + path + "?expires=1000&signature=";
  REQUIRE(link.substr(0, head.size()) == head);
  const std::string signature = link.substr(head.size());
  CHECK(signature.size() == 64);
  CHECK(CheckSignedLink(secret, path, "1000", signature, 999'999'999) == LinkVerdict::kGood);
  CHECK(CheckSignedLink(secret, path, "1000", signature, 1000'000'000) == LinkVerdict::kExpired);
  CHECK(CheckSignedLink("0123456789abcdeF", path, "1000", signature, 0) == LinkVerdict::kForged);
  CHECK(CheckSignedLink("", path, "1000", signature, 0) == LinkVerdict::kForged);
  CHECK(CheckSignedLink(secret, path, "1001", signature, 0) == LinkVerdict::kForged);
  CHECK(CheckSignedLink(secret, path, "01000", signature, 0) == LinkVerdict::kForged);
  CHECK(CheckSignedLink(secret, "/silence/27dc2be818c6cd7f/24h", "1000", signature, 0) == LinkVerdict::kForged);
  CHECK(CheckSignedLink(secret, "/silence/27dc2be818c6cd7e/1h", "1000", signature, 0) == LinkVerdict::kForged);
  for (size_t i = 0; i < signature.size(); ++i) {
    std::string other = signature;
    other[i] = other[i] == '0' ? '1' : '0';
    CHECK(CheckSignedLink(secret, path, "1000", other, 0) == LinkVerdict::kForged);
    CHECK(CheckSignedLink(secret, path, "1000", signature.substr(0, i), 0) == LinkVerdict::kForged);
  }
}
