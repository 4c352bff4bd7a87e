// The rule of this plugin. It knows nothing of WebAssembly.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct settings {
  // Number of characters that a comment must have.
  uint32_t min_chars;
};

// A mistake in settings.
struct mistake {
  // JSON pointer to it.
  const char *field;
  const char *message;
};

// Reads settings, whose text is changed. Returns false if there is a mistake.
bool settings_read(char *json, size_t size, struct settings *settings, struct mistake *mistake);

// Whether a version may be saved. A version without a comment has one of no bytes.
bool may_save(const struct settings *settings, const char *comment, size_t size);
