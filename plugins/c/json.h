// A small reader of JSON, for settings.
#pragma once
#include <stdbool.h>
#include <stddef.h>

enum json_kind { JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json {
  enum json_kind kind;
  // For a string: its value, without escapes. For a number: its text.
  const char *text;
  size_t size;
  // For a member of an object: its name.
  const char *name;
  size_t name_size;
  // For an array or object: its first value. For a value in one: the next value.
  struct json *first, *next;
};

// Returns NULL if the text is not JSON, or is nested deeper than 32. The strings point into the text, which is changed.
struct json *json_read(char *text, size_t size);

bool json_is(const char *text, size_t size, const char *expected);
