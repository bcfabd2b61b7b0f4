#include "engine/base/env.h"

#include <chrono>
#include <thread>

namespace freshet {

void Env::SleepMicros(int64_t us) { std::this_thread::sleep_for(std::chrono::microseconds(us)); }

Result<std::string> Env::ReadFile(const std::string& path) {
  FRESHET_ASSIGN_OR_RETURN(std::unique_ptr<ReadableFile> file, OpenReadable(path));
  std::string bytes;
  char chunk[16384];
  for (;;) {
    FRESHET_ASSIGN_OR_RETURN(const int64_t n, file->Read(chunk, sizeof chunk));
    if (n == 0) return bytes;
    bytes.append(chunk, static_cast<size_t>(n));
  }
}

Status Env::WriteFileAtomically(const std::string& path, std::string_view bytes) {
  const std::string temporary = path + ".tmp";
  const auto write = [&]() -> Status {
    FRESHET_ASSIGN_OR_RETURN(std::unique_ptr<WritableFile> file, OpenWritable(temporary, 0));
    FRESHET_RETURN_IF_ERROR(file->Append(bytes));
    FRESHET_RETURN_IF_ERROR(file->Sync());
    FRESHET_RETURN_IF_ERROR(file->Close());
    return Rename(temporary, path);
  };
  if (Status status = write(); !status.ok()) {
    (void)Remove(temporary);  // the first error is the one worth telling
    return status;
  }
  return SyncDirectory(DirectoryOf(path));
}

std::string DirectoryOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string ResolvePath(const std::string& directory, const std::string& path) {
  if (path.empty() || path[0] == '/' || directory.empty() || directory == ".") return path;
  return directory.back() == '/' ? directory + path : directory + "/" + path;
}

}  // namespace freshet
