/*
 * pam_mfa.so for libpam, in the place of the module: hands each call to the harness, which calls the module and sees what it
 * answers. So the module has a real handle, in a real stack, and may ask for what only modules may have.
 */
#include <security/pam_modules.h>

extern int harness_hook(int hook, pam_handle_t *handle, int flags);

#define HOOK(name, number)                                                               \
	int name(pam_handle_t *handle, int flags, int argc, const char **argv)               \
	{                                                                                    \
		(void)argc;                                                                  \
		(void)argv;                                                                  \
		return harness_hook(number, handle, flags);                                  \
	}

HOOK(pam_sm_authenticate, 0)
HOOK(pam_sm_acct_mgmt, 1)
HOOK(pam_sm_setcred, 2)
HOOK(pam_sm_open_session, 3)
HOOK(pam_sm_close_session, 4)
HOOK(pam_sm_chauthtok, 5)
