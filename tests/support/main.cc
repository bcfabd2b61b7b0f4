// The entry point of every test program; `--help` lists doctest's own options.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
