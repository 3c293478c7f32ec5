/*
 * The C library as a program that conformance vectors are run through. It reads commands, one per line, with text in
 * hexadecimal, and answers each:
 *
 *   tools JSON     ok | error STATUS MESSAGE
 *   options JSON   ok | error STATUS MESSAGE
 *   cancel 0|1     ok
 *   decide QUERY   event KIND CALL TEXT (any number), then decision JSON | error STATUS MESSAGE
 *
 * driver MODEL
 */
#include <needle_rs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char line[1 << 22], text[1 << 21];
static ndl_error error = {sizeof error, NDL_OK, ""};

/* A nibble; the commands are well-formed. */
static int nibble(char digit) { return digit <= '9' ? digit - '0' : digit - 'a' + 10; }

/* Decodes into `text`; returns its length. */
static size_t decode(const char *hex) {
  size_t size = 0;
  for (; hex[0] > ' '; hex += 2) text[size++] = (char)(nibble(hex[0]) << 4 | nibble(hex[1]));
  return size;
}

static void put(const char *bytes, size_t size) {
  for (size_t i = 0; i < size; i++) printf("%02x", (unsigned char)bytes[i]);
  putchar('\n');
}

static void answer(ndl_status status) {
  if (status == NDL_OK) {
    puts("ok");
  } else {
    printf("error %d ", (int)status);
    put(error.message, strlen(error.message));
  }
}

static void on_event(void *user, ndl_event_kind kind, size_t call, const char *bytes, size_t size) {
  (void)user;
  printf("event %d %zu ", (int)kind, call);
  put(bytes, size);
}

int main(int argc, char **argv) {
  ndl_model *model = NULL;
  ndl_catalogue *catalogue = NULL;
  ndl_session *session = NULL;
  ndl_cancel *cancel = ndl_cancel_new();
  ndl_options options;
  ndl_options_init(&options);
  if (argc != 2 || ndl_abi_version() != NDL_ABI_VERSION || ndl_model_open(argv[1], strlen(argv[1]), &model, &error) ||
      ndl_session_new(model, 1, &session, &error)) {
    fprintf(stderr, "driver: %s\n", error.message);
    return 2;
  }
  while (fgets(line, sizeof line, stdin) != NULL) {
    if (strncmp(line, "tools ", 6) == 0) {
      ndl_catalogue_free(catalogue);
      answer(ndl_catalogue_compile(model, text, decode(line + 6), &catalogue, &error));
    } else if (strncmp(line, "options ", 8) == 0) {
      answer(ndl_options_from_json(text, decode(line + 8), &options, &error));
    } else if (strncmp(line, "cancel ", 7) == 0) {
      ndl_cancel_set(cancel, line[7] == '1');
      puts("ok");
    } else if (strncmp(line, "decide ", 7) == 0) {
      const ndl_hooks hooks = {sizeof hooks, cancel, on_event, NULL};
      ndl_decision *decision = NULL;
      const size_t size = decode(line + 7);
      const ndl_status status = ndl_decide(session, catalogue, text, size, &options, &hooks, &decision, &error);
      if (status == NDL_OK) {
        size_t json_size;
        const char *json = ndl_decision_json(decision, &json_size);
        printf("decision ");
        put(json, json_size);
      } else {
        answer(status);
      }
      ndl_decision_free(decision);
    }
    fflush(stdout);
  }
  ndl_cancel_free(cancel);
  ndl_session_free(session);
  ndl_catalogue_free(catalogue);
  ndl_model_free(model);
  return 0;
}
