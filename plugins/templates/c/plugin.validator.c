// Refuses a version without a comment. The rule is in judge.c, which knows nothing of WebAssembly.

#include <stdlib.h>
#include <string.h>

#include "bindings/hook.h"
#include "judge.h"
#include "stop.h"

void exports_sigpersist_hooks_lifecycle_describe(exports_sigpersist_hooks_lifecycle_description_t *description) {
  hook_string_dup(&description->summary, "Refuses a version without a comment");
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

bool exports_sigpersist_hooks_save_validator_validate_save(
    exports_sigpersist_hooks_save_validator_context_t *context,
    exports_sigpersist_hooks_save_validator_signature_t *draft,
    exports_sigpersist_hooks_save_validator_acceptance_t *acceptance,
    exports_sigpersist_hooks_save_validator_list_rejection_t *rejections) {
  (void)context;
  struct settings settings = settings_of_hook();
  hook_string_t comment = draft->comment.is_some ? draft->comment.val : (hook_string_t){NULL, 0};
  *acceptance = (exports_sigpersist_hooks_save_validator_acceptance_t){0};
  if (may_save(&settings, (const char *)comment.ptr, comment.len)) return true;
  rejections->ptr = malloc(sizeof *rejections->ptr);
  if (!rejections->ptr) stop("out of memory");
  rejections->len = 1;
  hook_string_dup(&rejections->ptr->code, "no-comment");
  hook_string_dup(&rejections->ptr->message, "Say what this version changes.");
  rejections->ptr->field.is_some = true;
  hook_string_dup(&rejections->ptr->field.val, "/version_comment");
  return false;
}
