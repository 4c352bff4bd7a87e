// Refuses to delete a thread that is on legal hold, or younger than a retention period.
//
// It looks at metadata alone: at the tags, and at when the thread was created.

#include <stdlib.h>
#include <string.h>

#include "bindings/hook.h"
#include "json.h"
#include "stop.h"

typedef hook_string_t string;
typedef exports_sigpersist_hooks_lifecycle_list_issue_t issues;
typedef exports_sigpersist_hooks_delete_validator_list_rejection_t rejections;

enum { MAX_DAYS = 100000 };
static const uint64_t DAY_MS = 24 * 60 * 60 * 1000;

struct settings {
  // Array of the tags that hold a thread; NULL for the default one.
  struct json *hold_tags;
  uint32_t retention_days;
};

// One string of several, up to NULL.
static string text(const char *const parts[]) {
  string result = {NULL, 0};
  for (int i = 0; parts[i]; i++) result.len += strlen(parts[i]);
  uint8_t *to = result.ptr = malloc(result.len);
  if (!to) stop("out of memory");
  for (int i = 0; parts[i]; i++) {
    memcpy(to, parts[i], strlen(parts[i]));
    to += strlen(parts[i]);
  }
  return result;
}
#define TEXT(...) text((const char *const[]){__VA_ARGS__, NULL})

static const char *terminated(const void *bytes, size_t size) {
  char *copy = malloc(size + 1);
  if (!copy) stop("out of memory");
  memcpy(copy, bytes, size);
  copy[size] = 0;
  return copy;
}

static const char *decimal(uint64_t number) {
  char *digits = malloc(21);
  if (!digits) stop("out of memory");
  char *at = digits + 20;
  *at = 0;
  do *--at = (char)('0' + number % 10);
  while (number /= 10);
  return at;
}

// Decimal digits alone, up to a maximum.
static bool natural(const void *bytes, size_t size, uint64_t max, uint64_t *number) {
  const char *digits = bytes;
  *number = 0;
  for (size_t i = 0; i < size; i++) {
    if (digits[i] < '0' || digits[i] > '9' || *number > (max - (uint64_t)(digits[i] - '0')) / 10) return false;
    *number = *number * 10 + (uint64_t)(digits[i] - '0');
  }
  return size > 0;
}

static void add_issue(issues *list, string field, const char *message) {
  list->ptr = realloc(list->ptr, (list->len + 1) * sizeof *list->ptr);
  if (!list->ptr) stop("out of memory");
  list->ptr[list->len++] = (exports_sigpersist_hooks_lifecycle_issue_t){field, TEXT(message)};
}

// As in a JSON pointer (RFC 6901).
static const char *escaped(const char *name, size_t size) {
  char *result = malloc(2 * size + 1), *to = result;
  if (!result) stop("out of memory");
  for (size_t i = 0; i < size; i++) {
    if (name[i] == '~' || name[i] == '/') {
      *to++ = '~';
      *to++ = name[i] == '~' ? '0' : '1';
    } else {
      *to++ = name[i];
    }
  }
  *to = 0;
  return result;
}

static struct settings read_settings(const string *json, issues *found) {
  struct settings settings = {NULL, 0};
  struct json *root = json_read((char *)json->ptr, json->len);
  if (!root || root->kind != JSON_OBJECT) {
    add_issue(found, TEXT(""), "must be a JSON object");
    return settings;
  }
  for (struct json *member = root->first; member; member = member->next) {
    uint64_t days;
    if (json_is(member->name, member->name_size, "hold_tags")) {
      settings.hold_tags = member;
      if (member->kind != JSON_ARRAY) add_issue(found, TEXT("/hold_tags"), "must be an array of tags");
      size_t index = 0;
      for (struct json *tag = member->first; member->kind == JSON_ARRAY && tag; tag = tag->next, index++)
        if (tag->kind != JSON_STRING || tag->size == 0)
          add_issue(found, TEXT("/hold_tags/", decimal(index)), "must be a tag");
    } else if (json_is(member->name, member->name_size, "retention_days")) {
      if (member->kind == JSON_NUMBER && natural(member->text, member->size, MAX_DAYS, &days))
        settings.retention_days = (uint32_t)days;
      else
        add_issue(found, TEXT("/retention_days"), "must be a whole number from 0 to 100000");
    } else {
      add_issue(found, TEXT("/", escaped(member->name, member->name_size)), "there is no such setting");
    }
  }
  return settings;
}

static bool holds(const struct settings *settings, const string *tag) {
  if (!settings->hold_tags) return json_is((const char *)tag->ptr, tag->len, "legal-hold");
  for (struct json *held = settings->hold_tags->first; held; held = held->next)
    if (held->size == tag->len && !memcmp(held->text, tag->ptr, tag->len)) return true;
  return false;
}

static void reject(rejections *list, const char *code, string message) {
  list->ptr = realloc(list->ptr, (list->len + 1) * sizeof *list->ptr);
  if (!list->ptr) stop("out of memory");
  list->ptr[list->len++] = (exports_sigpersist_hooks_delete_validator_rejection_t){
      .code = TEXT(code), .message = message, .field = {true, TEXT("/thread")}};
}

void exports_sigpersist_hooks_lifecycle_describe(exports_sigpersist_hooks_lifecycle_description_t *description) {
  description->summary = TEXT("Refuses to delete threads on legal hold, or younger than a retention period");
}

void exports_sigpersist_hooks_lifecycle_validate_config(string *json, issues *found) {
  *found = (issues){NULL, 0};
  read_settings(json, found);
}

bool exports_sigpersist_hooks_delete_validator_validate_delete(
    exports_sigpersist_hooks_delete_validator_context_t *context,
    exports_sigpersist_hooks_delete_validator_signature_t *stored,
    exports_sigpersist_hooks_delete_validator_acceptance_t *acceptance, rejections *refused) {
  string json;
  issues found = {NULL, 0};
  sigpersist_hooks_config_json(&json);
  struct settings settings = read_settings(&json, &found);
  // The server gives no settings that were not accepted.
  if (found.len) stop("the server gave settings that were not accepted");

  *refused = (rejections){NULL, 0};
  for (size_t i = 0; i < stored->tags.len; i++) {
    string *tag = &stored->tags.ptr[i];
    if (holds(&settings, tag))
      reject(refused, "legal-hold", TEXT("The thread has the tag ", terminated(tag->ptr, tag->len), ", which holds it."));
  }
  if (settings.retention_days) {
    bool known = false;
    uint64_t created_ms = 0;
    for (size_t i = 0; i < stored->extra.len && !known; i++) {
      sigpersist_hooks_types_attribute_t *attribute = &stored->extra.ptr[i];
      known = json_is((const char *)attribute->name.ptr, attribute->name.len, "created-at-ms") &&
              natural(attribute->value.ptr, attribute->value.len, UINT64_MAX, &created_ms);
    }
    uint64_t age_days = context->now_ms > created_ms ? (context->now_ms - created_ms) / DAY_MS : 0;
    if (!known)
      reject(refused, "age-unknown", TEXT("The server does not say when the thread was created."));
    else if (age_days < settings.retention_days)
      reject(refused, "retained", TEXT("The thread must be kept for ", decimal(settings.retention_days),
                                       " days, of which ", decimal(age_days), " have passed."));
  }
  if (refused->len) return false;
  *acceptance = (exports_sigpersist_hooks_delete_validator_acceptance_t){{NULL, 0}, {NULL, 0}};
  return true;
}
