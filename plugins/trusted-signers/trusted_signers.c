// Refuses versions with a signer whose signature does not hold by the certificates that the tenant trusts.

#include <stdlib.h>
#include <string.h>

#include "bindings/hook.h"
#include "json.h"
#include "stop.h"

typedef hook_string_t string;
typedef exports_sigpersist_hooks_lifecycle_list_issue_t issues;
typedef exports_sigpersist_hooks_save_validator_list_rejection_t rejections;
typedef sigpersist_hooks_verdicts_option_certificate_t certificate;
typedef sigpersist_hooks_verdicts_verdict_t verdict;

struct settings {
  // Whether a signature that is intact is enough, whoever vouches for its certificate.
  bool intact;
  bool countersigners;
};

// One string of several, up to one whose pointer is NULL.
static string text(const string parts[]) {
  string result = {NULL, 0};
  for (int i = 0; parts[i].ptr; i++) result.len += parts[i].len;
  uint8_t *to = result.ptr = malloc(result.len);
  if (!to) stop("out of memory");
  for (int i = 0; parts[i].ptr; i++) {
    memcpy(to, parts[i].ptr, parts[i].len);
    to += parts[i].len;
  }
  return result;
}
#define TEXT(...) text((const string[]){__VA_ARGS__, {NULL, 0}})

static string literal(const char *words) { return (string){(uint8_t *)words, strlen(words)}; }

static bool is(const string *text, const char *expected) { return json_is((const char *)text->ptr, text->len, expected); }

static void add_issue(issues *list, string field, const char *message) {
  list->ptr = realloc(list->ptr, (list->len + 1) * sizeof *list->ptr);
  if (!list->ptr) stop("out of memory");
  list->ptr[list->len++] = (exports_sigpersist_hooks_lifecycle_issue_t){field, TEXT(literal(message))};
}

// As in a JSON pointer (RFC 6901).
static string pointer(const char *name, size_t size) {
  uint8_t *result = malloc(2 * size + 1), *to = result;
  if (!result) stop("out of memory");
  *to++ = '/';
  for (size_t i = 0; i < size; i++) {
    if (name[i] == '~' || name[i] == '/') *to++ = '~';
    *to++ = name[i] == '~' ? '0' : name[i] == '/' ? '1' : (uint8_t)name[i];
  }
  return (string){result, (size_t)(to - result)};
}

static struct settings read_settings(const string *json, issues *found) {
  struct settings settings = {false, false};
  struct json *root = json_read((char *)json->ptr, json->len);
  if (!root || root->kind != JSON_OBJECT) {
    add_issue(found, TEXT(literal("")), "must be a JSON object");
    return settings;
  }
  for (struct json *member = root->first; member; member = member->next) {
    if (json_is(member->name, member->name_size, "least")) {
      settings.intact = member->kind == JSON_STRING && json_is(member->text, member->size, "intact");
      if (!settings.intact && !(member->kind == JSON_STRING && json_is(member->text, member->size, "passed")))
        add_issue(found, TEXT(literal("/least")), "must be `passed` or `intact`");
    } else if (json_is(member->name, member->name_size, "countersigners")) {
      settings.countersigners = member->kind == JSON_TRUE;
      if (member->kind != JSON_TRUE && member->kind != JSON_FALSE)
        add_issue(found, TEXT(literal("/countersigners")), "must be true or false");
    } else {
      add_issue(found, pointer(member->name, member->name_size), "there is no such setting");
    }
  }
  return settings;
}

static void reject(rejections *list, const char *code, string message) {
  list->ptr = realloc(list->ptr, (list->len + 1) * sizeof *list->ptr);
  if (!list->ptr) stop("out of memory");
  list->ptr[list->len++] = (exports_sigpersist_hooks_save_validator_rejection_t){
      .code = TEXT(literal(code)), .message = message, .field = {true, TEXT(literal("/cms"))}};
}

// What a person knows the signer by: the common name, or else the whole one.
static string label(const certificate *of) {
  if (!of->is_some) return literal("without a certificate");
  const sigpersist_hooks_cms_name_t *subject = &of->val.subject;
  for (size_t i = 0; i < subject->attributes.len; i++) {
    sigpersist_hooks_cms_name_attribute_t *part = &subject->attributes.ptr[i];
    if (part->name.is_some && is(&part->name.val, "CN")) return part->value;
  }
  return subject->rfc4514;
}

static void judge(const struct settings *settings, const char *who, const certificate *of, const verdict *told,
                  rejections *refused) {
  // Of what is intact, something may be wrong all the same: a type of the content that is not the one that was signed.
  bool holds = settings->intact
                   ? told->intact.is_some && told->intact.val &&
                         told->indication != SIGPERSIST_HOOKS_VERDICTS_INDICATION_TOTAL_FAILED
                   : told->indication == SIGPERSIST_HOOKS_VERDICTS_INDICATION_TOTAL_PASSED;
  if (!holds)
    reject(refused, settings->intact ? "signer-not-intact" : "signer-not-passed",
           TEXT(literal("The "), literal(who), literal(" "), label(of), literal(" does not hold: "), told->explanation));
}

// Some servers give the reason alone, others a sentence.
static string unreadable(string why) {
  while (why.len && why.ptr[why.len - 1] == '.') why.len--;
  if (why.len > 3 && memcmp(why.ptr, "It ", 3) == 0)
    return TEXT(literal("The signature "), ((string){why.ptr + 3, why.len - 3}), literal("."));
  return TEXT(literal("The signature can't be read: "), why, literal("."));
}

static void reject_unread(const sigpersist_hooks_cms_inspect_error_t *error, rejections *refused) {
  if (error->tag == SIGPERSIST_HOOKS_CMS_INSPECT_ERROR_MALFORMED)
    reject(refused, "malformed-cms", unreadable(error->val.malformed));
  else
    reject(refused, "not-cms", TEXT(literal("The signature is neither CMS nor signed XML.")));
}

void exports_sigpersist_hooks_lifecycle_describe(exports_sigpersist_hooks_lifecycle_description_t *description) {
  description->summary =
      TEXT(literal("Refuses signers whose signatures do not hold by the certificates that the tenant trusts"));
}

void exports_sigpersist_hooks_lifecycle_validate_config(string *json, issues *found) {
  *found = (issues){NULL, 0};
  read_settings(json, found);
}

bool exports_sigpersist_hooks_save_validator_validate_save(
    exports_sigpersist_hooks_save_validator_context_t *context,
    exports_sigpersist_hooks_save_validator_signature_t *draft,
    exports_sigpersist_hooks_save_validator_acceptance_t *acceptance, rejections *refused) {
  (void)context, (void)draft;
  string json;
  issues found = {NULL, 0};
  sigpersist_hooks_config_json(&json);
  struct settings settings = read_settings(&json, &found);
  // The server gives no settings that were not accepted.
  if (found.len) stop("the server gave settings that were not accepted");

  *refused = (rejections){NULL, 0};
  sigpersist_hooks_cms_inspection_t read;
  sigpersist_hooks_verdicts_judgement_t judgement;
  sigpersist_hooks_cms_inspect_error_t error;
  if (!sigpersist_hooks_cms_inspect(&read, &error)) {
    reject_unread(&error, refused);
  } else if (read.signers.len == 0) {
    // Some servers judge what nobody signed, others refuse to.
    reject(refused, "not-signed", TEXT(literal("Nobody has signed it.")));
  } else if (!sigpersist_hooks_verdicts_judge(&judgement, &error)) {
    reject_unread(&error, refused);
  } else {
    for (size_t i = 0; i < judgement.signers.len; i++) {
      sigpersist_hooks_verdicts_judged_signer_t *signer = &judgement.signers.ptr[i];
      judge(&settings, "signer", &signer->certificate, &signer->verdict, refused);
    }
    for (size_t i = 0; settings.countersigners && i < judgement.countersigners.len; i++) {
      sigpersist_hooks_verdicts_countersigner_t *signer = &judgement.countersigners.ptr[i];
      judge(&settings, "countersigner", &signer->certificate, &signer->verdict, refused);
    }
  }
  if (refused->len) return false;
  *acceptance = (exports_sigpersist_hooks_save_validator_acceptance_t){{NULL, 0}, {NULL, 0}};
  return true;
}
