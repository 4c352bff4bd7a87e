#include "json.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 32 };

struct reader {
  char *at, *end;
};

static struct json *value(struct reader *r, int depth);

static void space(struct reader *r) {
  while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r')) r->at++;
}

static bool take(struct reader *r, char c) {
  space(r);
  if (r->at == r->end || *r->at != c) return false;
  r->at++;
  return true;
}

static bool word(struct reader *r, const char *word) {
  size_t size = strlen(word);
  if ((size_t)(r->end - r->at) < size || memcmp(r->at, word, size)) return false;
  r->at += size;
  return true;
}

static bool hex4(struct reader *r, unsigned *code) {
  if (r->end - r->at < 4) return false;
  *code = 0;
  for (int i = 0; i < 4; i++) {
    char c = *r->at++;
    unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                     : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10)
                     : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A' + 10)
                                            : 16;
    if (digit == 16) return false;
    *code = *code * 16 + digit;
  }
  return true;
}

static char *utf8(char *to, unsigned code) {
  if (code < 0x80) {
    *to++ = (char)code;
  } else if (code < 0x800) {
    *to++ = (char)(0xc0 | code >> 6);
    *to++ = (char)(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    *to++ = (char)(0xe0 | code >> 12);
    *to++ = (char)(0x80 | (code >> 6 & 0x3f));
    *to++ = (char)(0x80 | (code & 0x3f));
  } else {
    *to++ = (char)(0xf0 | code >> 18);
    *to++ = (char)(0x80 | (code >> 12 & 0x3f));
    *to++ = (char)(0x80 | (code >> 6 & 0x3f));
    *to++ = (char)(0x80 | (code & 0x3f));
  }
  return to;
}

// What follows a backslash.
static bool escape(struct reader *r, char **to) {
  if (r->at == r->end) return false;
  char c = *r->at++;
  switch (c) {
    case '"': case '\\': case '/': break;
    case 'b': c = '\b'; break;
    case 'f': c = '\f'; break;
    case 'n': c = '\n'; break;
    case 'r': c = '\r'; break;
    case 't': c = '\t'; break;
    case 'u': {
      unsigned code, low;
      if (!hex4(r, &code)) return false;
      if (code >= 0xdc00 && code < 0xe000) return false;
      if (code >= 0xd800 && code < 0xdc00) {
        if (!word(r, "\\u") || !hex4(r, &low) || low < 0xdc00 || low >= 0xe000) return false;
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
      }
      *to = utf8(*to, code);
      return true;
    }
    default: return false;
  }
  *(*to)++ = c;
  return true;
}

// What follows the opening quote, without escapes in place: none is shorter than what it stands for.
static bool string(struct reader *r, const char **text, size_t *size) {
  char *start = r->at, *to = start;
  while (r->at < r->end) {
    char c = *r->at++;
    if (c == '"') {
      *text = start;
      *size = (size_t)(to - start);
      return true;
    }
    if ((unsigned char)c < 0x20) return false;
    if (c != '\\') *to++ = c;
    else if (!escape(r, &to)) return false;
  }
  return false;
}

static bool digits(struct reader *r) {
  const char *start = r->at;
  while (r->at < r->end && *r->at >= '0' && *r->at <= '9') r->at++;
  return r->at > start;
}

static bool number(struct reader *r, struct json *json) {
  json->text = r->at;
  word(r, "-");
  const char *whole = r->at;
  if (!digits(r) || (*whole == '0' && r->at - whole > 1)) return false;
  if (word(r, ".") && !digits(r)) return false;
  if (word(r, "e") || word(r, "E")) {
    if (!word(r, "+")) word(r, "-");
    if (!digits(r)) return false;
  }
  json->size = (size_t)(r->at - json->text);
  return true;
}

// What follows the opening bracket or brace.
static bool members(struct reader *r, struct json *json, int depth) {
  bool object = json->kind == JSON_OBJECT;
  char close = object ? '}' : ']';
  struct json **last = &json->first;
  if (take(r, close)) return true;
  do {
    const char *name = "";
    size_t name_size = 0;
    if (object && !(take(r, '"') && string(r, &name, &name_size) && take(r, ':'))) return false;
    struct json *member = value(r, depth + 1);
    if (!member) return false;
    member->name = name;
    member->name_size = name_size;
    *last = member;
    last = &member->next;
  } while (take(r, ','));
  return take(r, close);
}

static struct json *value(struct reader *r, int depth) {
  struct json *json = malloc(sizeof *json);
  if (!json || depth > MAX_DEPTH) return NULL;
  memset(json, 0, sizeof *json);
  space(r);
  bool good;
  if (take(r, '{')) {
    json->kind = JSON_OBJECT;
    good = members(r, json, depth);
  } else if (take(r, '[')) {
    json->kind = JSON_ARRAY;
    good = members(r, json, depth);
  } else if (take(r, '"')) {
    json->kind = JSON_STRING;
    good = string(r, &json->text, &json->size);
  } else if (word(r, "null")) {
    json->kind = JSON_NULL;
    good = true;
  } else if (word(r, "true")) {
    json->kind = JSON_TRUE;
    good = true;
  } else if (word(r, "false")) {
    json->kind = JSON_FALSE;
    good = true;
  } else {
    json->kind = JSON_NUMBER;
    good = number(r, json);
  }
  return good ? json : NULL;
}

struct json *json_read(char *text, size_t size) {
  struct reader r = {text, text + size};
  struct json *json = value(&r, 0);
  space(&r);
  return r.at == r.end ? json : NULL;
}

bool json_is(const char *text, size_t size, const char *expected) {
  return strlen(expected) == size && !memcmp(text, expected, size);
}
