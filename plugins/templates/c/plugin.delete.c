// Refuses to delete threads that have a tag. The rule is in judge.c, which knows nothing of WebAssembly.

#include <stdlib.h>
#include <string.h>

#include "bindings/hook.h"
#include "judge.h"
#include "stop.h"

void exports_sigpersist_hooks_lifecycle_describe(exports_sigpersist_hooks_lifecycle_description_t *description) {
  hook_string_dup(&description->summary, "Refuses to delete threads that have a tag");
}

void exports_sigpersist_hooks_lifecycle_validate_config(hook_string_t *json,
                                                        exports_sigpersist_hooks_lifecycle_list_issue_t *issues) {
  struct settings settings;
  struct mistake mistake;
  *issues = (exports_sigpersist_hooks_lifecycle_list_issue_t){NULL, 0};
  if (settings_read((char *)json->ptr, json->len, &settings, &mistake)) return;
  issues->ptr = malloc(sizeof *issues->ptr);
  if (!issues->ptr) stop("out of memory");
  issues->len = 1;
  hook_string_dup(&issues->ptr->field, mistake.field);
  hook_string_dup(&issues->ptr->message, mistake.message);
}

static struct settings settings_of_hook(void) {
  hook_string_t json;
  struct settings settings;
  struct mistake mistake;
  sigpersist_hooks_config_json(&json);
  // The server gives no settings that were not accepted.
  if (!settings_read((char *)json.ptr, json.len, &settings, &mistake)) stop(mistake.message);
  return settings;
}

bool exports_sigpersist_hooks_delete_validator_validate_delete(
    exports_sigpersist_hooks_delete_validator_context_t *context,
    exports_sigpersist_hooks_delete_validator_signature_t *stored,
    exports_sigpersist_hooks_delete_validator_acceptance_t *acceptance,
    exports_sigpersist_hooks_delete_validator_list_rejection_t *rejections) {
  (void)context;
  struct settings settings = settings_of_hook();
  bool is_kept = false;
  for (size_t i = 0; i < stored->tags.len; i++)
    is_kept |= keeps(&settings, (const char *)stored->tags.ptr[i].ptr, stored->tags.ptr[i].len);
  *acceptance = (exports_sigpersist_hooks_delete_validator_acceptance_t){0};
  if (!is_kept) return true;
  rejections->ptr = malloc(sizeof *rejections->ptr);
  if (!rejections->ptr) stop("out of memory");
  rejections->len = 1;
  hook_string_dup(&rejections->ptr->code, "kept");
  hook_string_dup(&rejections->ptr->message, "Remove the tag that keeps the thread first.");
  rejections->ptr->field.is_some = true;
  hook_string_dup(&rejections->ptr->field.val, "/thread");
  return false;
}
