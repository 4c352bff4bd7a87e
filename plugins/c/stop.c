#include "stop.h"

#undef __builtin_trap

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { LEVEL_ERROR = 3, MAX_BYTES = 500 };

__attribute__((import_module("sigpersist:hooks/log@1.1.0"), import_name("write")))
extern void log_write(int32_t level, const char *text, size_t size);

static char text[MAX_BYTES];
static size_t size;

static void add(const char *part) {
  while (*part && size < MAX_BYTES) text[size++] = *part++;
}

_Noreturn void plugin_stop(const char *message, const char *file, int line) {
  char digits[12], *at = digits + sizeof digits - 1;
  *at = 0;
  do *--at = (char)('0' + line % 10);
  while (line /= 10);
  add("stopped at "), add(file), add(":"), add(at), add(": "), add(message);
  log_write(LEVEL_ERROR, text, size);
  __builtin_trap();
}

// Replaces the silent one of memory.c. The generated bindings call it if memory runs out.
_Noreturn void abort(void) { stop("abort was called, as the bindings do if memory runs out"); }
