// ESPHOME_VERSION and ESPHOME_VERSION_CODE are given to the compiler.
#pragma once
#include "esphome/core/macros.h"
