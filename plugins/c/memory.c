// Memory for a plugin in C. Each call of a plugin gets a fresh instance, so memory is never given back: an arena that
// only moves forward. The first 512 KiB are static, so most calls never grow the memory.

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { STATIC_BYTES = 512 * 1024, PAGE_BYTES = 64 * 1024, ALIGNMENT = 8 };

static _Alignas(ALIGNMENT) uint8_t first[STATIC_BYTES];
static uint8_t *next = first;
static uint8_t *end = first + STATIC_BYTES;

// Each piece has its size before it, which realloc must know.
void *malloc(size_t size) {
  if (size > SIZE_MAX - 2 * PAGE_BYTES) return NULL;
  size_t whole = ALIGNMENT + (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
  if (whole > (size_t)(end - next)) {
    size_t pages = (whole + PAGE_BYTES - 1) / PAGE_BYTES;
    size_t old = __builtin_wasm_memory_grow(0, pages);
    if (old == SIZE_MAX) return NULL;
    next = (uint8_t *)(old * PAGE_BYTES);
    end = next + pages * PAGE_BYTES;
  }
  uint8_t *memory = next + ALIGNMENT;
  *(size_t *)next = size;
  next += whole;
  return memory;
}

void *realloc(void *old, size_t size) {
  void *memory = malloc(size);
  if (old && memory) {
    size_t old_size = *(size_t *)((uint8_t *)old - ALIGNMENT);
    memcpy(memory, old, old_size < size ? old_size : size);
  }
  return memory;
}

void free(void *memory) { (void)memory; }

// stop.c has one that tells the plugin's author.
__attribute__((weak)) _Noreturn void abort(void) { __builtin_trap(); }

void *memcpy(void *restrict to, const void *restrict from, size_t size) {
  for (size_t i = 0; i < size; i++) ((uint8_t *)to)[i] = ((const uint8_t *)from)[i];
  return to;
}

void *memset(void *to, int byte, size_t size) {
  for (size_t i = 0; i < size; i++) ((uint8_t *)to)[i] = (uint8_t)byte;
  return to;
}

int memcmp(const void *one, const void *other, size_t size) {
  const uint8_t *a = one, *b = other;
  for (size_t i = 0; i < size; i++)
    if (a[i] != b[i]) return a[i] < b[i] ? -1 : 1;
  return 0;
}

size_t strlen(const char *text) {
  size_t size = 0;
  while (text[size]) size++;
  return size;
}
