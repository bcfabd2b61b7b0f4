#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "tests/serve/http_get.h"

namespace freshet::testing {

/// A directory for one test, removed at its end.
class Workshop {
 public:
  Workshop();
  ~Workshop();
  std::string Path(const std::string& name) const { return path_ + "/" + name; }
  std::string Write(const std::string& name, const std::string& text) const;
  void Append(const std::string& name, const std::string& text) const;
  std::string Read(const std::string& name) const;

 private:
  std::string path_;
};

/// The built `freshet` as a child process; standard output and error go to files of the workshop. Killed when it still
/// runs at the end.
class Program {
 public:
  /// `input`: what it reads as standard input; -1: nothing.
  Program(const Workshop& workshop, std::vector<std::string> arguments, int input = -1);
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  void Signal(int number) const;
  /// The exit code, or 128 + the signal that ended it.
  int Wait();
  bool running();
  std::string out() const;
  std::string err() const;

 private:
  const Workshop& workshop_;
  int number_ = 0;
  pid_t pid_ = -1;
  int code_ = -1;
};

struct Finished {
  int code = -1;
  std::string out;
  std::string err;
};
Finished RunProgram(const Workshop& workshop, std::vector<std::string> arguments);

/// Asks again and again until it holds; false when it has not within a minute (which no test should need).
bool Eventually(const std::function<bool()>& condition);

inline bool Contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// How often `part` stands in `text`.
inline size_t CountOf(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++count;
  return count;
}

/// The number behind `"key":` after `anchor` in a JSON text, or -1.
int64_t NumberAfter(const std::string& text, const std::string& anchor, const std::string& key);

}  // namespace freshet::testing
