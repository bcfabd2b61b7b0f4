#include "engine/state/state_directory.h"

#include <string_view>
#include <vector>

namespace freshet {
namespace {

constexpr std::string_view kDigits = "0123456789";

/// As in the files of a RocksDB database.
bool IsDatabaseName(std::string_view name) {
  for (const std::string_view whole : {"CURRENT", "IDENTITY", "LOCK", "LOG", "SYNCED", "archive", "lost"})
    if (name == whole) return true;
  for (const std::string_view start : {"CURRENT.", "LOG.old.", "MANIFEST-", "OPTIONS-", "SYNCED."})
    if (name.starts_with(start)) return true;
  const size_t digits = name.find_first_not_of(kDigits);  // 000012.sst
  return digits != 0 && digits != std::string_view::npos && name[digits] == '.';
}

bool IsStagingName(std::string_view name) { return name == "epoch.sst" || name == "probe"; }
bool IsIncomingName(std::string_view name) { return name == "db"; }

Status CheckNames(Env* env, const std::string& directory, const std::string& part, bool (*is_ours)(std::string_view)) {
  const std::string path = directory + "/" + part;
  const Result<FileInfo> info = env->Stat(path);
  if (!info.ok() && info.status().code() != StatusCode::kNotFound) return info.status();
  if (!info.ok() || !info->is_directory) return Status::Ok();
  FRESHET_ASSIGN_OR_RETURN(const std::vector<std::string> names, env->List(path));
  for (const std::string& name : names) {
    if (is_ours(name)) continue;
    return Status::AlreadyExists(directory + " is no directory of a state: there is " + part + "/" + name +
                                 ", which Freshet has not made; nothing was changed, name another directory");
  }
  return Status::Ok();
}

}  // namespace

bool HoldsState(Env* env, const std::string& directory) {
  return env->Stat(directory + "/db/CURRENT").ok() || env->Stat(directory + "/db.replaced/CURRENT").ok();
}

Status CheckNothingForeign(Env* env, const std::string& directory) {
  for (const char* part : {"db", "db.replaced", "incoming/db", "spill"})
    FRESHET_RETURN_IF_ERROR(CheckNames(env, directory, part, IsDatabaseName));
  FRESHET_RETURN_IF_ERROR(CheckNames(env, directory, "incoming", IsIncomingName));
  return CheckNames(env, directory, "staging", IsStagingName);
}

}  // namespace freshet
