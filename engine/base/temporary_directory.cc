#include "engine/base/temporary_directory.h"

#include <cerrno>
#include <cstdlib>
#include <utility>

namespace freshet {
namespace {

constexpr const char* kLockFile = "/LOCK";

/// Directories whose process is gone: nobody holds their lock. One that is just being made has none yet.
void RemoveAbandoned(Env* env, const std::string& parent, const std::string& prefix) {
  const Result<std::vector<std::string>> names = env->List(parent);
  if (!names.ok()) return;
  for (const std::string& name : *names) {
    const std::string path = parent + "/" + name;
    if (!name.starts_with(prefix) || !env->Stat(path + kLockFile).ok()) continue;
    const Result<std::unique_ptr<FileLock>> lock = env->Lock(path + kLockFile);
    if (lock.ok()) (void)env->RemoveTree(path).ok();
  }
}

}  // namespace

Result<std::unique_ptr<TemporaryDirectory>> TemporaryDirectory::Make(Env* env, const std::string& prefix) {
  const std::string parent = env->Variable("TMPDIR").value_or("/tmp");
  RemoveAbandoned(env, parent, prefix);
  std::string path = parent + "/" + prefix + "XXXXXX";
  if (::mkdtemp(path.data()) == nullptr) return Status::FromErrno(errno, "cannot make a directory in " + parent);
  std::unique_ptr<TemporaryDirectory> made(new TemporaryDirectory(env, path));
  FRESHET_ASSIGN_OR_RETURN(made->lock_, env->Lock(path + kLockFile));
  return made;
}

TemporaryDirectory::~TemporaryDirectory() { (void)env_->RemoveTree(path_).ok(); }

}  // namespace freshet
