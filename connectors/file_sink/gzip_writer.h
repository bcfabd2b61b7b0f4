#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace freshet {

/// Compresses text into gzip members (RFC 1952), each of which can stand alone: a file that is cut between two members
/// is still a valid gzip file. One thread.
class GzipWriter {
 public:
  GzipWriter();
  ~GzipWriter();
  /// Compresses `text` into the open member (opening one if need be); appends what is ready to `out`.
  void Append(std::string_view text, std::string* out);
  /// Ends the open member, if any.
  void FinishMember(std::string* out);

 private:
  void Run(int flush, std::string* out);
  struct Stream;
  std::unique_ptr<Stream> stream_;
  bool open_ = false;
};

}  // namespace freshet
