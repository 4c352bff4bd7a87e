#include "judge.h"

#include <string.h>

#include "json.h"

bool settings_read(char *json, size_t size, struct settings *settings, struct mistake *mistake) {
  *settings = (struct settings){"commented", strlen("commented")};
  struct json *root = json_read(json, size);
  if (!root || root->kind != JSON_OBJECT) {
    *mistake = (struct mistake){"", "must be a JSON object"};
    return false;
  }
  for (struct json *member = root->first; member; member = member->next) {
    if (!json_is(member->name, member->name_size, "tag")) {
      *mistake = (struct mistake){"", "the only setting is tag"};
      return false;
    }
    if (member->kind != JSON_STRING) {
      *mistake = (struct mistake){"/tag", "must be a text"};
      return false;
    }
    *settings = (struct settings){member->text, member->size};
  }
  return true;
}

