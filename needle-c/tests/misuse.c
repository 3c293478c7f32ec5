/* What only C can get wrong: NULL, bytes that are not UTF-8, structs of other sizes, handles freed early. misuse MODEL */
#include <needle_rs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                          \
  do {                                                                            \
    if (!(condition)) {                                                           \
      fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #condition, error.message); \
      return 1;                                                                   \
    }                                                                             \
  } while (0)

static const char TOOLS[] = "[{\"name\":\"ping\",\"description\":\"Ping the server.\"}]";

struct memory {
  const unsigned char *bytes;
  uint64_t size;
};

static int32_t read_memory(void *user, uint64_t offset, uint8_t *buffer, size_t size) {
  const struct memory *memory = user;
  if (memory->bytes == NULL || offset + size > memory->size) return 7;
  memcpy(buffer, memory->bytes + offset, size);
  return 0;
}

int main(int argc, char **argv) {
  ndl_error error = {sizeof error, NDL_OK, ""}, small = {4, NDL_OK, "untouched"};
  ndl_model *model = NULL, *none = (ndl_model *)&error;
  ndl_catalogue *catalogue = NULL;
  ndl_session *session = NULL;
  ndl_decision *decision = NULL;
  ndl_options options;
  size_t size = 99;
  float confidence = 7;
  if (argc != 2) return 2;

  CHECK(ndl_model_open(NULL, 3, &none, &error) == NDL_ERROR_INVALID_ARGUMENT && none == NULL);
  CHECK(strcmp(error.message, "the path is NULL") == 0);
  CHECK(ndl_model_open("\xff", 1, &none, &error) == NDL_ERROR_UTF8);
  CHECK(ndl_model_open("/does/not/exist", 15, &none, &error) == NDL_ERROR_IO);
  CHECK(strstr(error.message, "/does/not/exist") != NULL);
  CHECK(ndl_model_open("x", 1, NULL, &error) == NDL_ERROR_INVALID_ARGUMENT);
  CHECK(ndl_model_open("/does/not/exist", 15, &none, NULL) == NDL_ERROR_IO);
  CHECK(ndl_model_open("/does/not/exist", 15, &none, &small) == NDL_ERROR_IO);
  CHECK(strcmp(small.message, "untouched") == 0);
  CHECK(ndl_model_from_buffer((const uint8_t *)"no model", 8, &none, &error) == NDL_ERROR_CHECKPOINT);
  CHECK(ndl_model_from_buffer(NULL, 0, &none, &error) == NDL_ERROR_CHECKPOINT);

  struct memory memory = {(const unsigned char *)"no model", 8};
  ndl_reader reader = {sizeof reader, 8, read_memory, &memory};
  CHECK(ndl_model_read(&reader, &none, &error) == NDL_ERROR_CHECKPOINT);
  reader.total_size = UINT64_MAX;
  CHECK(ndl_model_read(&reader, &none, &error) == NDL_ERROR_IO);
  CHECK(ndl_model_read(NULL, &none, &error) == NDL_ERROR_INVALID_ARGUMENT);

  CHECK(ndl_model_open(argv[1], strlen(argv[1]), &model, &error) == NDL_OK && error.message[0] == 0);
  CHECK(ndl_catalogue_compile(NULL, TOOLS, strlen(TOOLS), &catalogue, &error) == NDL_ERROR_INVALID_ARGUMENT);
  CHECK(ndl_catalogue_compile(model, "{", 1, &catalogue, &error) == NDL_ERROR_TOOL && catalogue == NULL);
  CHECK(ndl_catalogue_compile(model, TOOLS, strlen(TOOLS), &catalogue, &error) == NDL_OK);
  CHECK(ndl_catalogue_size(catalogue) == 1 && ndl_catalogue_size(NULL) == 0);
  CHECK(strcmp(ndl_catalogue_name(catalogue, 0, &size), "ping") == 0 && size == 4);
  CHECK(ndl_catalogue_name(catalogue, 1, &size) == NULL && size == 0);
  CHECK(ndl_session_new(model, 0, &session, &error) == NDL_ERROR_OPTION);
  CHECK(ndl_session_new(model, 1, &session, &error) == NDL_OK);
  /* What was made of a model keeps it alive. */
  ndl_model_free(model);

  CHECK(ndl_options_init(NULL) == NDL_ERROR_INVALID_ARGUMENT);
  memset(&options, 0, sizeof options);
  CHECK(ndl_decide(session, catalogue, "x", 1, &options, NULL, &decision, &error) == NDL_ERROR_INVALID_ARGUMENT);
  CHECK(ndl_options_init(&options) == NDL_OK && options.struct_size == sizeof options);
  options.grounding = 9;
  CHECK(ndl_decide(session, catalogue, "x", 1, &options, NULL, &decision, &error) == NDL_ERROR_INVALID_ARGUMENT);
  ndl_options_init(&options);
  options.max_calls = 0;
  CHECK(ndl_decide(session, catalogue, "x", 1, &options, NULL, &decision, &error) == NDL_ERROR_OPTION);
  ndl_options_init(&options);
  options.deadline_ms = 0;
  CHECK(ndl_decide(session, catalogue, "x", 1, &options, NULL, &decision, &error) == NDL_ERROR_DEADLINE_EXCEEDED);
  ndl_hooks hooks = {0, NULL, NULL, NULL};
  CHECK(ndl_decide(session, catalogue, "x", 1, NULL, &hooks, &decision, &error) == NDL_ERROR_INVALID_ARGUMENT);
  CHECK(ndl_decide(NULL, catalogue, "x", 1, NULL, NULL, &decision, &error) == NDL_ERROR_INVALID_ARGUMENT);
  CHECK(ndl_decide(session, NULL, "x", 1, NULL, NULL, &decision, &error) == NDL_ERROR_INVALID_ARGUMENT);
  CHECK(ndl_decide(session, catalogue, "\xc3", 1, NULL, NULL, &decision, &error) == NDL_ERROR_UTF8);
  CHECK(decision == NULL);

  /* An empty query may be NULL. */
  CHECK(ndl_decide(session, catalogue, NULL, 0, NULL, NULL, &decision, &error) == NDL_OK);
  CHECK(ndl_decision_reason(decision) == NDL_REASON_NOT_A_USER_TURN && ndl_decision_call_count(decision) == 0);
  CHECK(!ndl_decision_confidence(decision, &confidence) && confidence == 7);
  CHECK(ndl_decision_call_name(decision, 0, &size) == NULL && size == 0);
  CHECK(ndl_decision_call_arguments(decision, 0, NULL) == NULL);
  CHECK(ndl_decision_json(decision, &size)[0] == '{' && size > 2);
  ndl_decision_free(decision);
  CHECK(ndl_decision_json(NULL, &size) == NULL && size == 0);
  CHECK(ndl_decision_reason(NULL) == NDL_REASON_OTHER && ndl_decision_total_ms(NULL) == 0);

  ndl_cancel_set(NULL, true);
  ndl_cancel_free(NULL);
  ndl_decision_free(NULL);
  ndl_session_free(NULL);
  ndl_session_free(session);
  ndl_catalogue_free(NULL);
  ndl_catalogue_free(catalogue);
  ndl_model_free(NULL);
  puts("misuse is reported");
  return 0;
}
