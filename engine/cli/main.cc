#include "engine/cli/verbs.h"

int main(int argc, char** argv) { return freshet::cli::Main(argc, argv); }
