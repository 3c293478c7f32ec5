/* What a call costs beside the engine's work: an empty query is handed off before the model is asked. overhead [MODEL] */
#include <needle_rs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 21, CALLS = 20000 };

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

static int by_value(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

int main(int argc, char **argv) {
  static const char TOOLS[] = "[{\"name\": \"ping\", \"description\": \"Ping the server.\"}]";
  ndl_model *model = NULL;
  ndl_catalogue *catalogue = NULL;
  ndl_session *session = NULL;
  double times[ROUNDS];
  if ((argc > 1 ? ndl_model_open(argv[1], strlen(argv[1]), &model, NULL) : ndl_model_embedded(&model, NULL)) ||
      ndl_catalogue_compile(model, TOOLS, strlen(TOOLS), &catalogue, NULL) ||
      ndl_session_new(model, 1, &session, NULL)) {
    return 1;
  }
  for (int round = 0; round < ROUNDS; round++) {
    const double start = now();
    for (int call = 0; call < CALLS; call++) {
      ndl_decision *decision = NULL;
      if (ndl_decide(session, catalogue, "", 0, NULL, NULL, &decision, NULL)) return 1;
      ndl_decision_free(decision);
    }
    times[round] = (now() - start) / CALLS;
  }
  qsort(times, ROUNDS, sizeof times[0], by_value);
  printf("ndl_decide %.2f us\n", times[ROUNDS / 2]);
  ndl_session_free(session);
  ndl_catalogue_free(catalogue);
  ndl_model_free(model);
  return 0;
}
