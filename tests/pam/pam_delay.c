/*
 * pam_delay: to be preloaded. Prints what a module asks of pam_fail_delay, which libpam varies at random before an application
 * gets to hear of it:
 *   ASKED FOR DELAY MICROSECONDS
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <security/pam_appl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int pam_fail_delay(pam_handle_t *handle, unsigned int microseconds)
{
	union {
		void *symbol;
		int (*function)(pam_handle_t *, unsigned int);
	} real = {.symbol = dlsym(RTLD_NEXT, "pam_fail_delay")};
	if (real.symbol == NULL || dprintf(STDOUT_FILENO, "ASKED FOR DELAY %u\n", microseconds) < 0)
		abort();
	return real.function(handle, microseconds);
}
