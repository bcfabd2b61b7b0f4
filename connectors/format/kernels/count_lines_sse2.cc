#define FRESHET_ISA_NAMESPACE count_lines_sse2
#define FRESHET_ISA_ARCH xsimd::sse2
#include "connectors/format/kernels/count_lines_kernel.h"
