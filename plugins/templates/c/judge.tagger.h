// The rule of this plugin. It knows nothing of WebAssembly.
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct settings {
  // The tag of a version that has a comment.
  const char *tag;
  size_t tag_size;
};

// A mistake in settings.
struct mistake {
  // JSON pointer to it.
  const char *field;
  const char *message;
};

// Reads settings, whose text is changed, and which point into it. Returns false if there is a mistake.
bool settings_read(char *json, size_t size, struct settings *settings, struct mistake *mistake);

