// Tags versions that have a comment. The rule is in judge.c, which knows nothing of WebAssembly.

#include <stdlib.h>
#include <string.h>

#include "bindings/hook.h"
#include "judge.h"
#include "stop.h"

void exports_sigpersist_hooks_lifecycle_describe(exports_sigpersist_hooks_lifecycle_description_t *description) {
  hook_string_dup(&description->summary, "Tags versions that have a comment");
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

bool exports_sigpersist_hooks_tagger_tag(exports_sigpersist_hooks_tagger_context_t *context,
                                         exports_sigpersist_hooks_tagger_signature_t *draft,
                                         exports_sigpersist_hooks_tagger_changes_t *changes,
                                         exports_sigpersist_hooks_tagger_rejection_t *rejection) {
  (void)context, (void)rejection;
  struct settings settings = settings_of_hook();
  hook_list_string_t tags = {malloc(sizeof *tags.ptr), 1};
  if (!tags.ptr) stop("out of memory");
  hook_string_dup_n(tags.ptr, settings.tag, settings.tag_size);
  *changes = (exports_sigpersist_hooks_tagger_changes_t){0};
  // A client can't claim it: without a comment, the tag is removed.
  if (draft->comment.is_some) changes->set = tags;
  else changes->remove = tags;
  return true;
}
