#include "tests/cli/program.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "engine/base/env.h"

namespace freshet::testing {
namespace {

int program_count = 0;

std::string Slurp(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace

Workshop::Workshop() {
  std::string pattern = Env::Posix()->Variable("TMPDIR").value_or("/tmp") + "/freshet-cli-XXXXXX";
  path_ = mkdtemp(pattern.data());
}
Workshop::~Workshop() { (void)Env::Posix()->RemoveTree(path_).ok(); }

std::string Workshop::Write(const std::string& name, const std::string& text) const {
  std::ofstream(Path(name), std::ios::binary) << text;
  return Path(name);
}
void Workshop::Append(const std::string& name, const std::string& text) const {
  std::ofstream(Path(name), std::ios::binary | std::ios::app) << text;
}
std::string Workshop::Read(const std::string& name) const { return Slurp(Path(name)); }

Program::Program(const Workshop& workshop, std::vector<std::string> arguments, int input)
    : workshop_(workshop), number_(++program_count) {
  const std::string out = workshop.Path("stdout" + std::to_string(number_));
  const std::string err = workshop.Path("stderr" + std::to_string(number_));
  const std::string home = workshop.Path("home");
  arguments.insert(arguments.begin(), FRESHET_BINARY);
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  pid_ = fork();
  if (pid_ != 0) return;
  const int out_fd = open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  const int err_fd = open(err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  dup2(input >= 0 ? input : open("/dev/null", O_RDONLY), STDIN_FILENO);
  dup2(out_fd, STDOUT_FILENO);
  dup2(err_fd, STDERR_FILENO);
  setenv("XDG_STATE_HOME", home.c_str(), 1);
  unsetenv("FRESHET_STATE");
  execv(argv[0], argv.data());
  _exit(99);
}

Program::~Program() {
  if (code_ >= 0) return;
  Signal(SIGKILL);
  Wait();
}

void Program::Signal(int number) const { kill(pid_, number); }

int Program::Wait() {
  if (code_ >= 0) return code_;
  int status = 0;
  waitpid(pid_, &status, 0);
  code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return code_;
}

bool Program::running() {
  if (code_ >= 0) return false;
  int status = 0;
  if (waitpid(pid_, &status, WNOHANG) == 0) return true;
  code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return false;
}

std::string Program::out() const { return workshop_.Read("stdout" + std::to_string(number_)); }
std::string Program::err() const { return workshop_.Read("stderr" + std::to_string(number_)); }

Finished RunProgram(const Workshop& workshop, std::vector<std::string> arguments) {
  Program program(workshop, std::move(arguments));
  const int code = program.Wait();
  return {code, program.out(), program.err()};
}

bool Eventually(const std::function<bool()>& condition) {
  for (int i = 0; i < 12000; ++i) {
    if (condition()) return true;
    (void)poll(nullptr, 0, 5);  // leaves the core to the program that is waited for
  }
  return false;
}

int64_t NumberAfter(const std::string& text, const std::string& anchor, const std::string& key) {
  const size_t from = text.find(anchor);
  if (from == std::string::npos) return -1;
  const std::string wanted = "\"" + key + "\":";
  const size_t at = text.find(wanted, from);
  return at == std::string::npos ? -1 : std::atoll(text.c_str() + at + wanted.size());
}

}  // namespace freshet::testing
