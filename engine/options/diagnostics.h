#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/options/span.h"

namespace freshet {

enum class DiagnosticLevel : uint8_t { kError, kWarning };

/// One problem of a pipeline, with its place, a stable code ("FR2003", listed in engine/options/ERRORS.md) and a
/// suggestion.
struct Diagnostic {
  DiagnosticLevel severity = DiagnosticLevel::kError;
  SourceSpan span;
  std::string code;
  std::string message;     ///< one sentence, no full stop
  std::string suggestion;  ///< "did you mean `lateness`?", or empty
};

/// Collects all problems of a pipeline before anything runs. One thread.
class Diagnostics {
 public:
  void Error(std::string_view code, SourceSpan span, std::string message, std::string suggestion = {});
  void Warning(std::string_view code, SourceSpan span, std::string message, std::string suggestion = {});
  bool has_errors() const { return error_count_ > 0; }
  int error_count() const { return error_count_; }
  int warning_count() const { return warning_count_; }
  /// Sorted by file, line, column; duplicates removed.
  std::vector<Diagnostic> Sorted() const;
  /// `file:line:column: error: … [FRnnnn]`, the source line, a caret line and the suggestion, for each problem.
  std::string Render(bool color = false) const;
  /// Source lines are shown with these bytes masked: for a secret written in plain text.
  void Conceal(SourceSpan span);
  /// Takes over another collection's problems.
  void Append(const Diagnostics& other);

 private:
  void Add(Diagnostic diagnostic);
  void AppendExcerpt(const SourceSpan& span, const char* caret_color, const char* reset, std::string* out) const;

  std::vector<Diagnostic> items_;
  std::vector<SourceSpan> concealed_;
  int error_count_ = 0;
  int warning_count_ = 0;
};

}  // namespace freshet
