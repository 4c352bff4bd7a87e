#include "judge.h"

#include "json.h"

enum { MAX_CHARS = 1000 };

// A whole number in decimal digits.
static bool natural(const struct json *json, uint32_t *number) {
  if (json->kind != JSON_NUMBER) return false;
  *number = 0;
  for (size_t i = 0; i < json->size; i++) {
    if (json->text[i] < '0' || json->text[i] > '9') return false;
    *number = *number * 10 + (uint32_t)(json->text[i] - '0');
    if (*number > MAX_CHARS) return false;
  }
  return true;
}

bool settings_read(char *json, size_t size, struct settings *settings, struct mistake *mistake) {
  *settings = (struct settings){.min_chars = 1};
  struct json *root = json_read(json, size);
  if (!root || root->kind != JSON_OBJECT) {
    *mistake = (struct mistake){"", "must be a JSON object"};
    return false;
  }
  for (struct json *member = root->first; member; member = member->next) {
    if (!json_is(member->name, member->name_size, "min_chars")) {
      *mistake = (struct mistake){"", "the only setting is min_chars"};
      return false;
    }
    if (!natural(member, &settings->min_chars)) {
      *mistake = (struct mistake){"/min_chars", "must be a whole number from 0 to 1000"};
      return false;
    }
  }
  return true;
}

bool may_save(const struct settings *settings, const char *comment, size_t size) {
  uint32_t chars = 0;
  // In UTF-8, the bytes of a character after its first one begin with the bits 10.
  for (size_t i = 0; i < size; i++) chars += (comment[i] & 0xc0) != 0x80;
  return chars >= settings->min_chars;
}
