#include "engine/expr/lexer.h"

#include <fast_float/fast_float.h>

#include <charconv>

#include "engine/base/units.h"

namespace freshet::expr_internal {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80) != 0; }
bool IsWordPart(char c) { return IsLetter(c) || IsDigit(c); }

class Lexer {
 public:
  Lexer(const SpannedText& text, Diagnostics* diagnostics, std::vector<Token>* tokens)
      : text_(text), s_(text.value), diagnostics_(diagnostics), tokens_(tokens) {}

  bool Run() {
    while (true) {
      while (at_ < s_.size() && (s_[at_] == ' ' || s_[at_] == '\t' || s_[at_] == '\n' || s_[at_] == '\r')) ++at_;
      begin_ = at_;
      if (at_ == s_.size()) {
        Push(Token::Type::kEnd);
        return true;
      }
      const char c = s_[at_];
      bool ok = true;
      if (IsDigit(c) || (c == '.' && at_ + 1 < s_.size() && IsDigit(s_[at_ + 1])))
        ok = Number();
      else if (IsLetter(c))
        Word();
      else if (c == '\'' || c == '"')
        ok = Quoted(c);
      else
        ok = Symbol();
      if (!ok) return false;
    }
  }

 private:
  Token& Push(Token::Type type) {
    Token& token = tokens_->emplace_back();
    token.type = type;
    token.offset = static_cast<int32_t>(begin_);
    token.length = static_cast<int32_t>(at_ - begin_);
    token.text = std::string(s_.substr(begin_, at_ - begin_));
    return token;
  }
  bool Fail(const char* code, size_t length, std::string message, std::string suggestion = {}) {
    diagnostics_->Error(code, text_.At(static_cast<int32_t>(begin_), static_cast<int32_t>(length)), std::move(message),
                        std::move(suggestion));
    return false;
  }

  void Word() {
    // A dotted name is one word: nested JSON paths are column names too.
    while (at_ < s_.size() && (IsWordPart(s_[at_]) || (s_[at_] == '.' && at_ + 1 < s_.size() && IsLetter(s_[at_ + 1]))))
      ++at_;
    Token& token = Push(Token::Type::kWord);
    token.lower = Lower(token.text);
  }

  bool Quoted(char quote) {
    std::string value;
    for (++at_; at_ < s_.size(); ++at_) {
      if (s_[at_] != quote) {
        value += s_[at_];
      } else if (at_ + 1 < s_.size() && s_[at_ + 1] == quote) {
        value += s_[at_++];
      } else {
        ++at_;
        Token& token = Push(quote == '"' ? Token::Type::kQuotedName : Token::Type::kLiteral);
        if (quote == '\'') token.literal = Value::Text(value);
        token.text = std::move(value);
        return true;
      }
    }
    return Fail("FR3002", 1, quote == '"' ? "the quoted name does not end" : "the text does not end",
                std::string("close it with ") + quote + "; a " + quote + " inside is written twice");
  }

  bool Number() {
    bool fraction = false;
    while (at_ < s_.size() && (IsDigit(s_[at_]) || s_[at_] == '.')) fraction |= s_[at_++] == '.';
    if (at_ < s_.size() && (s_[at_] == 'e' || s_[at_] == 'E')) {
      size_t digits = at_ + 1;
      if (digits < s_.size() && (s_[digits] == '+' || s_[digits] == '-')) ++digits;
      if (digits < s_.size() && IsDigit(s_[digits])) {
        fraction = true;
        for (at_ = digits; at_ < s_.size() && IsDigit(s_[at_]);) ++at_;
      }
    }
    if (at_ < s_.size() && IsWordPart(s_[at_])) {
      while (at_ < s_.size() && (IsWordPart(s_[at_]) || s_[at_] == '.')) ++at_;
      const auto duration = ParseDuration(s_.substr(begin_, at_ - begin_));
      if (!duration.ok())
        return Fail("FR3003", at_ - begin_,
                    "`" + std::string(s_.substr(begin_, at_ - begin_)) + "` is neither a number nor a duration",
                    "numbers look like 12, 1.5 or 2e6, durations like 250ms, 10s or 1h30m");
      Push(Token::Type::kLiteral).literal = Value::Integer(Kind::kDuration, duration->us);
      return true;
    }
    Token& token = Push(Token::Type::kLiteral);
    const char* first = token.text.data();
    const char* last = first + token.text.size();
    if (!fraction) {
      int64_t value = 0;
      const auto [end, error] = std::from_chars(first, last, value);
      token.literal =
          error == std::errc() && end == last ? Value::Integer(Kind::kInt64, value) : Value::Null(Kind::kInt64);
      return true;
    }
    double value = 0;
    const auto [end, error] = fast_float::from_chars(first, last, value);
    if (error != std::errc() || end != last)
      return Fail("FR3003", at_ - begin_, "`" + token.text + "` is not a number");
    token.literal = Value::Number(value);
    return true;
  }

  bool Symbol() {
    static constexpr std::string_view kSymbols[] = {"==", "!=", "<>", "<=", ">=", "||", "::", "+", "-",
                                                    "*",  "/",  "%",  "(",  ")",  ",",  "=",  "<", ">"};
    const std::string_view rest = s_.substr(at_);
    for (const std::string_view symbol : kSymbols) {
      if (!rest.starts_with(symbol)) continue;
      at_ += symbol.size();
      Push(Token::Type::kSymbol);
      return true;
    }
    if (rest.starts_with("&&")) return Fail("FR3001", 2, "`&&` is not an operator here", "did you mean `and`?");
    if (rest.starts_with("!")) return Fail("FR3001", 1, "`!` is not an operator here", "did you mean `not`?");
    if (rest.starts_with("`")) return Fail("FR3001", 1, "a name is not quoted with `", "write \"name\"");
    return Fail("FR3001", 1, std::string("`") + rest[0] + "` has no meaning in an expression");
  }

  const SpannedText& text_;
  std::string_view s_;
  Diagnostics* diagnostics_;
  std::vector<Token>* tokens_;
  size_t at_ = 0;
  size_t begin_ = 0;
};

}  // namespace

std::string Lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

bool Tokenize(const SpannedText& text, Diagnostics* diagnostics, std::vector<Token>* tokens) {
  return Lexer(text, diagnostics, tokens).Run();
}

}  // namespace freshet::expr_internal
