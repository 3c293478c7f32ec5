/* Decides one query: quickstart [MODEL]; without MODEL, the model that is compiled into the library. */
#include <needle_rs.h>
#include <stdio.h>
#include <string.h>

static const char TOOLS[] =
    "[{\"name\": \"dim_lights\", \"description\": \"Dim the lights in a room to a brightness level.\","
    " \"parameters\": {\"type\": \"object\", \"properties\": {"
    "  \"room\": {\"type\": \"string\", \"description\": \"Room where the lights are\"},"
    "  \"level\": {\"type\": \"integer\", \"minimum\": 0, \"maximum\": 100, \"description\": \"Brightness in percent\"}},"
    " \"required\": [\"room\", \"level\"]}}]";
static const char QUERY[] = "dim the lights in the bedroom to 30 percent";

int main(int argc, char **argv) {
  ndl_error error = {sizeof error, NDL_OK, ""};
  ndl_model *model = NULL;
  ndl_catalogue *catalogue = NULL;
  ndl_session *session = NULL;
  ndl_decision *decision = NULL;
  ndl_options options;

  ndl_options_init(&options);
  options.threshold = 0; /* every valid call; leave it for the model's own threshold */

  if ((argc > 1 ? ndl_model_open(argv[1], strlen(argv[1]), &model, &error) : ndl_model_embedded(&model, &error)) ||
      ndl_catalogue_compile(model, TOOLS, strlen(TOOLS), &catalogue, &error) || /* once */
      ndl_session_new(model, 1, &session, &error) ||                            /* one per thread */
      ndl_decide(session, catalogue, QUERY, strlen(QUERY), &options, NULL, &decision, &error)) {
    fprintf(stderr, "%s\n", error.message);
  } else if (ndl_decision_reason(decision) == NDL_REASON_NONE) {
    for (size_t i = 0; i < ndl_decision_call_count(decision); i++) {
      size_t name_size, arguments_size;
      const char *name = ndl_decision_call_name(decision, i, &name_size);
      const char *arguments = ndl_decision_call_arguments(decision, i, &arguments_size);
      printf("%.*s %.*s\n", (int)name_size, name, (int)arguments_size, arguments);
    }
  } else {
    size_t size;
    const char *detail = ndl_decision_detail(decision, &size);
    printf("ask the large model: %.*s\n", (int)size, detail);
  }

  ndl_decision_free(decision);
  ndl_session_free(session);
  ndl_catalogue_free(catalogue);
  ndl_model_free(model);
  return error.status != NDL_OK;
}
