/*
 * pam_promptok: a control module. It asks one question and accepts whatever is answered; what a prompt, and nothing
 * else, costs a login. Arguments:
 *   log            one line by pam_syslog, of about the length of an audit line
 *   write=FOLDER   open FOLDER/USER, 2048 bytes in place and fdatasync: what a module that keeps its state can't do without
 *   noprompt       ask nothing
 *   authtok=TEXT   set PAM_AUTHTOK, as a password module before would (an application can't set it)
 *   keep           the answer becomes PAM_AUTHTOK
 *   setuser=TEXT   set PAM_USER, as a mapping module would
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <security/pam_ext.h>
#include <security/pam_modules.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

enum { SLOT = 2048 };

static int write_slot(pam_handle_t *handle, const char *folder)
{
	static const char slot[SLOT];
	const char *user = NULL;
	char path[4096];
	if (pam_get_user(handle, &user, NULL) != PAM_SUCCESS)
		return PAM_SYSTEM_ERR;
	snprintf(path, sizeof path, "%s/%s", folder, user);
	int file = open(path, O_RDWR | O_CLOEXEC);
	if (file < 0)
		return PAM_SYSTEM_ERR;
	int result = pwrite(file, slot, SLOT, 0) == SLOT && fdatasync(file) == 0 ? PAM_SUCCESS : PAM_SYSTEM_ERR;
	close(file);
	return result;
}

int pam_sm_authenticate(pam_handle_t *handle, int flags, int argc, const char **argv)
{
	bool ask = true, log = false, keep = false;
	const char *folder = NULL;
	char *answer = NULL;
	int result = PAM_SUCCESS;
	(void)flags;
	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "noprompt") == 0)
			ask = false;
		else if (strcmp(argv[i], "log") == 0)
			log = true;
		else if (strcmp(argv[i], "keep") == 0)
			keep = true;
		else if (strncmp(argv[i], "write=", 6) == 0)
			folder = argv[i] + 6;
		else if (strncmp(argv[i], "authtok=", 8) == 0)
			result = pam_set_item(handle, PAM_AUTHTOK, argv[i] + 8);
		else if (strncmp(argv[i], "setuser=", 8) == 0)
			result = pam_set_item(handle, PAM_USER, argv[i] + 8);
		if (result != PAM_SUCCESS)
			return result;
	}
	if (ask) {
		result = pam_prompt(handle, PAM_PROMPT_ECHO_OFF, &answer, "%s", "Verification code: ");
		if (result != PAM_SUCCESS)
			return result;
		if (answer != NULL && keep)
			result = pam_set_item(handle, PAM_AUTHTOK, answer);
		if (answer != NULL)
			explicit_bzero(answer, strlen(answer));
		free(answer);
	}
	if (folder != NULL && write_slot(handle, folder) != PAM_SUCCESS)
		return PAM_SYSTEM_ERR;
	if (log)
		pam_syslog(handle, LOG_INFO, "%s",
			   "control v=1 id=CTL-0001 event=accepted outcome=success user=\"alice\" uid=1000 service=sshd "
			   "rhost=203.0.113.7 tty=ssh device=1b9d6bcd method=app app=\"phone\" try=1 login=9f2c41d07be1 seq=2");
	return result;
}

int pam_sm_setcred(pam_handle_t *handle, int flags, int argc, const char **argv)
{
	(void)handle, (void)flags, (void)argc, (void)argv;
	return PAM_SUCCESS;
}

int pam_sm_acct_mgmt(pam_handle_t *handle, int flags, int argc, const char **argv)
{
	(void)handle, (void)flags, (void)argc, (void)argv;
	return PAM_SUCCESS;
}
