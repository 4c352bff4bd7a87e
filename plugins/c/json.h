// A small reader of JSON, for settings.
#pragma once
#include <stdbool.h>
#include <stddef.h>

enum json_kind { JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json {
  enum json_kind kind;
  // Of a string, what it says, without escapes; of a number, as it is written.
  const char *text;
  size_t size;
  // Of a member of an object, its name.
  const char *name;
  size_t name_size;
  // Of an array or object, its first value; of a value in one, the next.
  struct json *first, *next;
};

// NULL where the text is not JSON, or is nested deeper than 32. The strings are in the text, which is changed.
struct json *json_read(char *text, size_t size);

bool json_is(const char *text, size_t size, const char *expected);
