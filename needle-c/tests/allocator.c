/* The host's allocator: all memory comes from it, calls keep none, and handles give all of theirs back. allocator MODEL */
#include <needle_rs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                        \
  do {                                                                          \
    if (!(condition)) {                                                         \
      fprintf(stderr, "allocator.c:%d: %s\n", __LINE__, #condition);            \
      exit(1);                                                                  \
    }                                                                           \
  } while (0)

enum { WARM = 20, CALLS = 200 };

/* What the library holds, and how often it asked. */
struct account {
  size_t held, asked;
};

static void *allocate(void *user, size_t size, size_t alignment) {
  struct account *account = user;
  void *memory = NULL;
  CHECK(size > 0 && alignment > 0 && (alignment & (alignment - 1)) == 0);
  if (posix_memalign(&memory, alignment < sizeof memory ? sizeof memory : alignment, size)) return NULL;
  /* Whoever reads it before writing gets noticed. */
  memset(memory, 0xA5, size);
  account->held += size;
  account->asked++;
  return memory;
}

static void release(void *user, void *memory, size_t size, size_t alignment) {
  struct account *account = user;
  CHECK(memory != NULL && alignment > 0 && account->held >= size);
  account->held -= size;
  free(memory);
}

static void decide(ndl_session *session, const ndl_catalogue *catalogue) {
  static const char QUERY[] = "dim the lights in the bedroom to 30 percent";
  ndl_decision *decision = NULL;
  CHECK(ndl_decide(session, catalogue, QUERY, strlen(QUERY), NULL, NULL, &decision, NULL) == NDL_OK);
  ndl_decision_free(decision);
}

int main(int argc, char **argv) {
  static const char TOOLS[] =
      "[{\"name\": \"dim_lights\", \"description\": \"Dim the lights of a room.\", \"parameters\": {\"type\": \"object\","
      " \"properties\": {\"room\": {\"type\": \"string\"}, \"level\": {\"type\": \"integer\"}}}}]";
  struct account account = {0, 0};
  const ndl_allocator given = {sizeof given, &account, allocate, release};
  ndl_allocator wrong = given;
  ndl_error error = {sizeof error, NDL_OK, {0}};
  ndl_model *model = NULL;
  ndl_catalogue *catalogue = NULL;
  ndl_session *session = NULL;
  size_t held, asked, before;
  CHECK(argc == 2);

  CHECK(ndl_set_allocator(NULL, &error) == NDL_ERROR_INVALID_ARGUMENT && strstr(error.message, "NULL"));
  wrong.release = NULL;
  CHECK(ndl_set_allocator(&wrong, &error) == NDL_ERROR_INVALID_ARGUMENT && strstr(error.message, "give both"));
  wrong = given;
  wrong.struct_size = 1;
  CHECK(ndl_set_allocator(&wrong, &error) == NDL_ERROR_INVALID_ARGUMENT && strstr(error.message, "struct_size"));
  /* What was refused leaves the way free. */
  CHECK(ndl_set_allocator(&given, &error) == NDL_OK);
  CHECK(ndl_set_allocator(&given, &error) == NDL_ERROR_INVALID_ARGUMENT && strstr(error.message, "too late"));

  CHECK(ndl_model_open(argv[1], strlen(argv[1]), &model, &error) == NDL_OK);
  CHECK(ndl_catalogue_compile(model, TOOLS, strlen(TOOLS), &catalogue, &error) == NDL_OK);
  CHECK(account.held > 1 << 20);
  before = account.held;
  CHECK(ndl_session_new(model, 1, &session, &error) == NDL_OK);
  for (int call = 0; call < WARM; call++) decide(session, catalogue);
  held = account.held;
  asked = account.asked;
  for (int call = 0; call < CALLS; call++) {
    decide(session, catalogue);
    CHECK(account.held == held);
  }
  printf("a warm call asks %.0f times for memory and keeps none; a session holds %.2f MB\n",
         (double)(account.asked - asked) / CALLS, (double)(held - before) / 1e6);
  ndl_session_free(session);
  ndl_catalogue_free(catalogue);
  ndl_model_free(model);
  /* What remains are a few tables that libraries build once for the process. */
  CHECK(account.held < 1 << 20);
  return 0;
}
