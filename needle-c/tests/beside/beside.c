/* The static library in a program with another library in Rust, which has names that needle's dependencies have. */
#include <needle_rs.h>
#include <stdio.h>
#include <string.h>

const char *llg_get_version(void);

int main(void) {
  static const char TOOLS[] = "[{\"name\":\"ping\",\"description\":\"Ping the server.\"}]", QUERY[] = "ping the server";
  ndl_error error = {sizeof error, NDL_OK, ""};
  ndl_model *model = NULL;
  ndl_catalogue *catalogue = NULL;
  ndl_session *session = NULL;
  ndl_decision *decision = NULL;
  const char *version = llg_get_version();
  int failed = version == NULL || strcmp(version, "neighbour") != 0 || ndl_model_embedded(&model, &error) ||
               ndl_catalogue_compile(model, TOOLS, strlen(TOOLS), &catalogue, &error) ||
               ndl_session_new(model, 1, &session, &error) ||
               ndl_decide(session, catalogue, QUERY, strlen(QUERY), NULL, NULL, &decision, &error);
  if (failed) fprintf(stderr, "llg_get_version: %s; %s\n", version ? version : "NULL", error.message);
  ndl_decision_free(decision);
  ndl_session_free(session);
  ndl_catalogue_free(catalogue);
  ndl_model_free(model);
  return failed;
}
