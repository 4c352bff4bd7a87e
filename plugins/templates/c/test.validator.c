#include <stdio.h>
#include <string.h>

#include "judge.h"

static int failures;

#define CHECK(condition) \
  ((condition) ? (void)0 : (void)(failures++, printf("%s:%d: failed: %s\n", __FILE__, __LINE__, #condition)))

static bool reads(const char *json, struct settings *settings, struct mistake *mistake) {
  // The settings point into it.
  static char text[200];
  strcpy(text, json);
  return settings_read(text, strlen(text), settings, mistake);
}

int main(void) {
  struct settings settings;
  struct mistake mistake;
  CHECK(reads("{}", &settings, &mistake) && settings.min_chars == 1);
  CHECK(!may_save(&settings, NULL, 0));
  CHECK(may_save(&settings, "a", 1));
  CHECK(reads("{\"min_chars\": 3}", &settings, &mistake));
  CHECK(!may_save(&settings, "ab", 2));
  CHECK(may_save(&settings, "әәә", strlen("әәә")));
  CHECK(!reads("{\"min_chars\": \"3\"}", &settings, &mistake) && !strcmp(mistake.field, "/min_chars"));
  CHECK(!reads("{\"minimum\": 3}", &settings, &mistake));
  printf(failures ? "%d checks failed.\n" : "All checks passed.\n", failures);
  return failures != 0;
}
