#include "engine/cli/commit_holder.h"

#include <cstdio>
#include <cstdlib>
#include <memory>

namespace freshet::cli {

std::function<void(Epoch)> CommitHolder(Env* env) {
  const std::optional<std::string> text = env->Variable("FRESHET_TEST_HOLD_COMMIT");
  if (!text) return {};
  const auto left = std::make_shared<int64_t>(std::strtoll(text->c_str(), nullptr, 10));
  return [env, left](Epoch epoch) {
    if (--*left != 0) return;
    std::fprintf(stderr, "FRESHET_TEST_HOLD_COMMIT: epoch %llu is prepared and will not be committed\n",
                 static_cast<unsigned long long>(epoch.number));
    std::fflush(stderr);
    for (;;) env->SleepMicros(1000000);
  };
}

}  // namespace freshet::cli
