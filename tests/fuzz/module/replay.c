/*
 * replay MODULE FOLDER FILE...: tries inputs on a module as it is built, without a fuzzer. Prints how often each hook answered
 * what: `HOOK RESULT COUNT`. FOLDER was made by mfa_properties::host.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "harness.h"

static const char *const names[HOOKS] = {"pam_sm_authenticate", "pam_sm_acct_mgmt", "pam_sm_setcred",
				    "pam_sm_open_session", "pam_sm_close_session", "pam_sm_chauthtok"};

int main(int argc, char **argv)
{
	static uint8_t bytes[1 << 20];
	void *module = argc < 4 ? NULL : dlopen(argv[1], RTLD_NOW);
	if (module == NULL) {
		fprintf(stderr, "replay MODULE FOLDER FILE...: %s\n", argc < 4 ? "too few words" : dlerror());
		return 2;
	}
	for (size_t i = 0; i < HOOKS; i++)
		harness_module[i] = (hook_function *)must(dlsym(module, names[i]));
	harness_folder = argv[2];
	for (int i = 3; i < argc; i++) {
		FILE *file = fopen(argv[i], "rbe");
		if (file == NULL) {
			perror(argv[i]);
			return 2;
		}
		size_t size = fread(bytes, 1, sizeof bytes, file);
		fclose(file);
		/* Where it does not hold, this is the last line. */
		fprintf(stderr, "%s\n", argv[i]);
		harness_one(bytes, size);
	}
	for (int hook = 0; hook < HOOKS; hook++)
		for (int result = 0; result < 32; result++)
			if (harness_counts[hook][result] > 0)
				printf("%s %d %lu\n", names[hook] + 7, result, harness_counts[hook][result]);
	return 0;
}
