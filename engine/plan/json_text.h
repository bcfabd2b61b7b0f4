#pragma once

#include <string>
#include <string_view>

namespace freshet {

/// A JSON string with its quotes. `text` is UTF-8.
std::string JsonQuote(std::string_view text);
/// A finite number in its shortest form.
std::string JsonNumber(double value);
/// Compact JSON, put on lines with two spaces a level. REQUIRES: valid JSON.
std::string JsonIndent(std::string_view compact);

}  // namespace freshet
