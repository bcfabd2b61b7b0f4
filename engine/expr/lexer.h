#pragma once

#include <string>
#include <vector>

#include "engine/expr/value.h"
#include "engine/options/diagnostics.h"
#include "engine/options/span.h"

namespace freshet::expr_internal {

struct Token {
  enum class Type : uint8_t { kWord, kQuotedName, kLiteral, kSymbol, kEnd };
  Type type = Type::kEnd;
  int32_t offset = 0;
  int32_t length = 0;
  std::string text;   ///< words as written; names unquoted; symbols
  std::string lower;  ///< words in lower case
  Value literal;      ///< kLiteral; an integer too large for int64 keeps its digits in `text` and is null
};

/// Cuts an expression into tokens; the last one is kEnd. Reports a bad token at its place and returns false.
bool Tokenize(const SpannedText& text, Diagnostics* diagnostics, std::vector<Token>* tokens);

/// ASCII lower case.
std::string Lower(std::string_view text);

}  // namespace freshet::expr_internal
