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
  CHECK(reads("{}", &settings, &mistake) && settings.tag_size == strlen("commented"));
  CHECK(reads("{\"tag\": \"ә\"}", &settings, &mistake) && settings.tag_size == 2);
  CHECK(!reads("{\"tag\": 7}", &settings, &mistake) && !strcmp(mistake.field, "/tag"));
  CHECK(!reads("{\"tags\": \"a\"}", &settings, &mistake));
  printf(failures ? "%d checks failed.\n" : "All checks passed.\n", failures);
  return failures != 0;
}
