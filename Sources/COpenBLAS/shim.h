#pragma once
// Swift imports cblas.h as it is.
#include <cblas.h>
