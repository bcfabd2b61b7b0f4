// The child process of tests/cli, built into this test program too (each area links its own files).
#include "tests/cli/program.cc"  // NOLINT(bugprone-suspicious-include)
