#include "engine/cli/state_access.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "connectors/net/http_client.h"
#include "engine/cli/exit_codes.h"
#include "engine/cli/loading.h"
#include "engine/serve/http_server.h"
#include "engine/state/state_directory.h"

namespace freshet::cli {
namespace {

constexpr size_t kNameSizeMax = 64;
constexpr int kLookAgainCount = 3;
constexpr int64_t kLookAgainUs = 200000;
constexpr const char* kSavepoints = "/savepoints/";
constexpr const char* kKept = "/kept/";

Status CheckName(const std::string& name) {
  const bool good = !name.empty() && name.size() <= kNameSizeMax &&
                    name.find_first_not_of(kSavepointNameLetters) == std::string::npos;
  return good ? Status::Ok()
              : Status::InvalidArgument("a savepoint's name is made of letters, digits, `-` and `_`, at most " +
                                        std::to_string(kNameSizeMax));
}

/// Asks the engine that works on the directory for a copy of its state.
Status AskEngine(const std::string& directory, const std::string& name, bool checkpoint_first) {
  const Result<std::string> address = Env::Posix()->ReadFile(directory + "/http.addr");
  if (!address.ok())
    return Status::Locked("the state in " + directory +
                          " is in use by a Freshet process that does not listen (`--http off`): stop it first");
  HttpRequest request;
  request.method = "POST";
  request.url = "http://" + address->substr(0, address->find('\n')) + kSavepointPath;
  request.headers = {{kSavepointHeader, name}, {kSavepointStateHeader, directory}};
  if (checkpoint_first) request.headers.emplace_back(kSavepointFreshHeader, "1");
  if (const auto token = Env::Posix()->Variable("FRESHET_HTTP_TOKEN"); token && !token->empty())
    request.headers.emplace_back("Authorization", "Bearer " + *token);
  request.timeout = Duration::Seconds(60);
  HttpClient client;
  const Result<HttpResponse> answer = client.Send(request);
  if (!answer.ok())
    return Status::Locked("the state in " + directory + " is in use by a Freshet process that does not answer at " +
                          HttpOrigin(request.url) + ": " + answer.status().message());
  if (answer->status == 200) return Status::Ok();
  return Status::Unavailable("the running Freshet at " + HttpOrigin(request.url) + " refused: " + answer->body);
}

}  // namespace

Result<std::string> StateDirectoryOf(const std::string& pipeline_file) {
  LoadRequest request;
  request.files = {pipeline_file};
  request.require_secrets = false;
  int exit_code = kExitOk;
  const std::vector<Pipeline> pipelines = LoadOrExplain(request, &exit_code);
  if (exit_code != kExitOk)
    return Status::InvalidArgument(pipeline_file + " is neither a state directory nor a pipeline that can be run");
  return pipelines[0].settings().checkpoint_path;
}

Result<StateTarget> FindState(const std::string& target) {
  Env* const env = Env::Posix();
  StateTarget found;
  const Result<FileInfo> info = env->Stat(target);
  if (info.ok() && info->is_directory) {
    found.directory = target;
  } else {
    FRESHET_ASSIGN_OR_RETURN(found.directory, StateDirectoryOf(target));
  }
  // Before anything is touched: to look whether it is locked would leave a file there.
  if (!HoldsState(env, found.directory))
    return Status::NotFound("there is no state in " + found.directory + "; a pipeline that ran keeps it there");
  found.idle = env->Lock(found.directory + "/LOCK").status().code() != StatusCode::kLocked;
  return found;
}

Status CheckMayHoldState(const std::string& directory) {
  Env* const env = Env::Posix();
  const Result<std::vector<std::string>> names = env->List(directory);
  if (!names.ok() || names->empty() || HoldsState(env, directory)) return Status::Ok();
  return Status::AlreadyExists(directory + " is no state, and not empty: name a new directory");
}

OpenedState::~OpenedState() {
  store_.reset();
  if (!copy_.empty()) (void)Env::Posix()->RemoveTree(copy_).ok();
}

Result<OpenedState> OpenedState::Open(const StateTarget& target) {
  // Nobody is kept out meanwhile: an engine that has started since may have moved the files away from under our eyes.
  StateTarget now = target;
  for (int n = 0;; ++n) {
    Result<OpenedState> opened = OpenOnce(now);
    if (opened.ok() || !target.idle || n == kLookAgainCount) return opened;
    FRESHET_ASSIGN_OR_RETURN(now, FindState(target.directory));
    if (now.idle && opened.status().code() == StatusCode::kNotFound) return opened;
    if (!now.idle) Env::Posix()->SleepMicros(kLookAgainUs);  // until it listens
  }
}

Result<OpenedState> OpenedState::OpenOnce(const StateTarget& target) {
  OpenedState opened;
  std::string directory = target.directory;
  if (!target.idle) {
    const std::string name = "look-" + std::to_string(Env::Posix()->SteadyMicros());
    FRESHET_RETURN_IF_ERROR(AskEngine(target.directory, name, /*checkpoint_first=*/false));
    directory = opened.copy_ = target.directory + kSavepoints + name;
  }
  FRESHET_ASSIGN_OR_RETURN(opened.store_, OpenRocksDbStoreReadOnly(Env::Posix(), directory));
  return opened;
}

Status MakeSavepoint(const StateTarget& target, const std::string& name) {
  FRESHET_RETURN_IF_ERROR(CheckName(name));
  Env* const env = Env::Posix();
  if (env->Stat(target.directory + kSavepoints + name).ok())
    return Status::AlreadyExists("there is a savepoint `" + name + "` already; choose another name, or remove " +
                                 target.directory + kSavepoints + name);
  if (!target.idle) return AskEngine(target.directory, name, /*checkpoint_first=*/true);
  FRESHET_ASSIGN_OR_RETURN(const auto store, OpenRocksDbStore(env, target.directory, false));
  FRESHET_ASSIGN_OR_RETURN(const std::optional<Manifest> manifest, store->Load());
  if (!manifest) return Status::NotFound("there is no checkpoint in " + target.directory + " yet");
  FRESHET_RETURN_IF_ERROR(env->MakeDirectories(target.directory + kSavepoints));
  return store->CopyTo(target.directory + kSavepoints + name);
}

std::vector<SavepointLine> ListSavepoints(const std::string& state_directory) {
  std::vector<SavepointLine> lines;
  for (const char* place : {kSavepoints, kKept}) {
    const Result<std::vector<std::string>> names = Env::Posix()->List(state_directory + place);
    for (const std::string& name : names.ok() ? *names : std::vector<std::string>()) {
      auto store = OpenRocksDbStoreReadOnly(Env::Posix(), state_directory + place + name);
      if (!store.ok()) continue;
      const Result<std::optional<Manifest>> manifest = (*store)->Load();
      if (manifest.ok() && *manifest) lines.push_back({name, place == kKept, **manifest});
    }
  }
  return lines;
}

Result<std::string> FindSavepoint(const std::string& state_directory, const std::string& name) {
  for (const char* place : {kSavepoints, kKept})
    if (std::string path = state_directory + place + name; !name.empty() && Env::Posix()->Stat(path + "/db").ok())
      return path;
  std::string names;
  for (const SavepointLine& line : ListSavepoints(state_directory)) names += (names.empty() ? "" : ", ") + line.name;
  return Status::NotFound("there is no savepoint `" + name + "` in " + state_directory +
                          (names.empty() ? "; `freshet savepoint FILE NAME` makes one" : "; there are " + names));
}

}  // namespace freshet::cli
