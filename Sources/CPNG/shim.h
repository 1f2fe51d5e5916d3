#pragma once
// libpng reports errors by longjmp, which Swift cannot express: only the C target CImages includes this.
#include <png.h>
