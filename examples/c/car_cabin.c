/* A car's cabin: a fixed catalogue, no network, tight memory. Prints latencies and memory. car_cabin [MODEL] */
#include <needle_rs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const char TOOLS[] =
    "[{\"name\": \"set_temperature\", \"description\": \"Set the cabin temperature in degrees Celsius.\","
    "  \"parameters\": {\"type\": \"object\", \"properties\": {"
    "   \"degrees\": {\"type\": \"number\", \"minimum\": 16, \"maximum\": 28},"
    "   \"zone\": {\"type\": \"string\", \"enum\": [\"driver\", \"passenger\", \"rear\", \"all\"]}},"
    "  \"required\": [\"degrees\"]}},"
    " {\"name\": \"seat_heating\", \"description\": \"Set the level of a seat's heating, 0 is off.\","
    "  \"parameters\": {\"type\": \"object\", \"properties\": {"
    "   \"seat\": {\"type\": \"string\", \"enum\": [\"driver\", \"passenger\"]},"
    "   \"level\": {\"type\": \"integer\", \"minimum\": 0, \"maximum\": 3}}, \"required\": [\"seat\", \"level\"]}},"
    " {\"name\": \"navigate\", \"description\": \"Start navigation to a place or an address.\","
    "  \"parameters\": {\"type\": \"object\", \"properties\": {\"destination\": {\"type\": \"string\"}},"
    "  \"required\": [\"destination\"]}},"
    " {\"name\": \"open_window\", \"description\": \"Open or close a window.\","
    "  \"parameters\": {\"type\": \"object\", \"properties\": {"
    "   \"window\": {\"type\": \"string\", \"enum\": [\"driver\", \"passenger\", \"rear\", \"all\"]},"
    "   \"open\": {\"type\": \"boolean\"}}, \"required\": [\"window\", \"open\"]}},"
    " {\"name\": \"play_media\", \"description\": \"Play music, a station or a podcast.\","
    "  \"parameters\": {\"type\": \"object\", \"properties\": {\"query\": {\"type\": \"string\"}},"
    "  \"required\": [\"query\"]}}]";

static const char *const QUERIES[] = {
    "set the temperature to 21 degrees",  "navigate to the central station", "heat the driver seat to level 2",
    "open the passenger window",          "play some jazz",                  "why is the sky blue",
};

static int by_value(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Resident memory in MiB, where Linux tells; 0 elsewhere. */
static double resident(void) {
  long pages = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  if (file == NULL) return 0;
  if (fscanf(file, "%*s %ld", &pages) != 1) pages = 0;
  fclose(file);
  return (double)pages * 4096 / (1 << 20);
}

int main(int argc, char **argv) {
  enum { ROUNDS = 50 };
  static double times[ROUNDS * COUNT(QUERIES)];
  ndl_error error = {sizeof error, NDL_OK, ""};
  ndl_model *model = NULL;
  ndl_catalogue *catalogue = NULL;
  ndl_session *session = NULL;
  size_t done = 0, calls = 0;

  if ((argc > 1 ? ndl_model_open(argv[1], strlen(argv[1]), &model, &error) : ndl_model_embedded(&model, &error)) ||
      ndl_catalogue_compile(model, TOOLS, strlen(TOOLS), &catalogue, &error) ||
      ndl_session_new(model, 1, &session, &error)) {
    fprintf(stderr, "%s\n", error.message);
  }
  for (int round = 0; round < ROUNDS && error.status == NDL_OK; round++) {
    for (size_t i = 0; i < COUNT(QUERIES); i++) {
      ndl_decision *decision = NULL;
      if (ndl_decide(session, catalogue, QUERIES[i], strlen(QUERIES[i]), NULL, NULL, &decision, &error)) {
        fprintf(stderr, "%s\n", error.message);
        break;
      }
      times[done++] = ndl_decision_total_ms(decision);
      calls += ndl_decision_call_count(decision);
      if (round == 0) {
        size_t size;
        const char *json = ndl_decision_json(decision, &size);
        printf("%s\n  %.*s\n", QUERIES[i], (int)size, json);
      }
      ndl_decision_free(decision);
    }
  }
  if (done > 0) {
    qsort(times, done, sizeof times[0], by_value);
    printf("%zu decisions, %zu calls: median %.2f ms, 99 %% below %.2f ms; resident memory %.1f MiB\n", done, calls,
           times[done / 2], times[done * 99 / 100], resident());
  }
  ndl_session_free(session);
  ndl_catalogue_free(catalogue);
  ndl_model_free(model);
  return error.status != NDL_OK;
}
