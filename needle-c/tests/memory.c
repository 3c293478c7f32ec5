/* The host's block: a warm call asks nobody for memory, and what has no room comes from elsewhere. memory MODEL */
#include <needle_rs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                        \
  do {                                                                          \
    if (!(condition)) {                                                         \
      fprintf(stderr, "memory.c:%d: %s\n", __LINE__, #condition);               \
      exit(1);                                                                  \
    }                                                                           \
  } while (0)

/* The small block holds no second model. */
enum { WARM = 20, CALLS = 200, BLOCK = 24 << 20 };

/* What the host's allocator was asked for; it should not be while the block has room. */
struct account {
  size_t held;
  uint64_t asked;
};

static void *allocate(void *user, size_t size, size_t alignment) {
  struct account *account = user;
  void *memory = NULL;
  if (posix_memalign(&memory, alignment < sizeof memory ? sizeof memory : alignment, size)) return NULL;
  account->held += size;
  account->asked++;
  return memory;
}

static void release(void *user, void *memory, size_t size, size_t alignment) {
  struct account *account = user;
  CHECK(alignment > 0 && account->held >= size);
  account->held -= size;
  free(memory);
}

static ndl_memory used(void) {
  ndl_memory memory = {sizeof memory, 0, 0, 0};
  CHECK(ndl_memory_used(&memory, NULL) == NDL_OK);
  return memory;
}

static void decide(ndl_session *session, const ndl_catalogue *catalogue, int call) {
  static const char *const QUERIES[] = {"dim the lights in the bedroom to 30 percent", "what is the capital of France",
                                        "kitchen lights to 80, and the hall to 5"};
  const char *query = QUERIES[call % 3];
  ndl_decision *decision = NULL;
  CHECK(ndl_decide(session, catalogue, query, strlen(query), NULL, NULL, &decision, NULL) == NDL_OK);
  ndl_decision_free(decision);
}

int main(int argc, char **argv) {
  static const char TOOLS[] =
      "[{\"name\": \"dim_lights\", \"description\": \"Dim the lights of a room.\", \"parameters\": {\"type\": \"object\","
      " \"properties\": {\"room\": {\"type\": \"string\"}, \"level\": {\"type\": \"integer\"}}}}]";
  struct account account = {0, 0};
  const ndl_allocator given = {sizeof given, &account, allocate, release};
  ndl_error error = {sizeof error, NDL_OK, {0}};
  ndl_memory memory = {1, 0, 0, 0};
  ndl_model *model = NULL, *second = NULL;
  ndl_catalogue *catalogue = NULL;
  ndl_session *session = NULL;
  void *block = malloc(BLOCK);
  CHECK(argc == 2 && block != NULL);

  CHECK(ndl_memory_used(NULL, &error) == NDL_ERROR_INVALID_ARGUMENT && strstr(error.message, "NULL"));
  CHECK(ndl_memory_used(&memory, &error) == NDL_ERROR_INVALID_ARGUMENT && strstr(error.message, "struct_size"));
  CHECK(used().most_used == 0 && used().elsewhere == 0);
  CHECK(ndl_set_allocator(&given, NULL) == NDL_OK);
  CHECK(ndl_use_memory(NULL, BLOCK, &error) == NDL_ERROR_INVALID_ARGUMENT && strstr(error.message, "NULL"));
  CHECK(ndl_use_memory(block, 16, &error) == NDL_ERROR_INVALID_ARGUMENT && strstr(error.message, "too small"));
  CHECK(ndl_use_memory(block, (size_t)-1, &error) == NDL_ERROR_INVALID_ARGUMENT && strstr(error.message, "size"));
  /* The refusals' messages are the host's memory, if anything is. */
  account.asked = 0;
  CHECK(ndl_use_memory(block, BLOCK, &error) == NDL_OK);
  CHECK(ndl_use_memory(block, BLOCK, &error) == NDL_ERROR_INVALID_ARGUMENT && strstr(error.message, "already"));

  CHECK(ndl_model_open(argv[1], strlen(argv[1]), &model, &error) == NDL_OK);
  CHECK(ndl_catalogue_compile(model, TOOLS, strlen(TOOLS), &catalogue, &error) == NDL_OK);
  CHECK(ndl_session_new(model, 2, &session, &error) == NDL_OK);
  for (int call = 0; call < WARM; call++) decide(session, catalogue, call);
  memory = used();
  for (int call = 0; call < CALLS; call++) {
    decide(session, catalogue, call);
    CHECK(used().used == memory.used);
  }
  CHECK(used().elsewhere == 0 && account.asked == 0);
  printf("the block holds %.1f MB, at most %.1f MB\n", (double)memory.used / 1e6, (double)used().most_used / 1e6);

  /* What has no room in the block comes from the host's allocator, and goes back there. */
  CHECK(ndl_model_open(argv[1], strlen(argv[1]), &second, &error) == NDL_OK);
  CHECK(used().elsewhere > 0 && used().elsewhere == account.asked && account.held > 1 << 20);
  decide(session, catalogue, 0);
  ndl_model_free(second);
  CHECK(account.held < 1 << 20);

  ndl_session_free(session);
  ndl_catalogue_free(catalogue);
  ndl_model_free(model);
  /* What remains are a few tables that libraries build once for the process. */
  CHECK(used().used < 1 << 20);
  return 0;
}
