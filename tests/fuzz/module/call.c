/*
 * One call of a hook: what it answers, what it logs, and what it leaves behind.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <security/pam_appl.h>
#include <security/pam_ext.h>
#include <security/pam_modules.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "harness.h"

enum { MAX_LINE = 900, MAX_FDS = 128 };

hook_function *harness_module[HOOKS];
unsigned long harness_counts[HOOKS][32];
bool is_inside;

/* ---- the log -------------------------------------------------------------------------------------------------- */

/* Whether what looks like a passphrase comes from where names come from, or from the courier: that may be in a line. */
static bool is_named_outside(void)
{
	static const int items[] = {PAM_USER, PAM_RHOST, PAM_TTY, PAM_RUSER, PAM_SERVICE};
	bool is_named = now.courier_names_passphrase;
	for (size_t i = 0; i < sizeof items / sizeof items[0]; i++) {
		const void *item = NULL;
		pam_get_item(now.handle, items[i], &item);
		is_named |= item != NULL && strstr(item, "passphrase of ") != NULL;
	}
	for (int i = 0; i < now.argument_count; i++)
		is_named |= strstr(now.arguments[i], "passphrase of ") != NULL;
	return is_named;
}

static void check_line(const char *line)
{
	static const char *const beginnings[] = {"mfa v=1 id=MFA-", "authentication failure; logname= uid=", "mfa: "};
	bool is_ours = false;
	for (size_t i = 0; i < sizeof beginnings / sizeof beginnings[0]; i++)
		is_ours |= strncmp(line, beginnings[i], strlen(beginnings[i])) == 0;
	if (!is_ours)
		wrong("a line that begins with something else: %s", line);
	if (strlen(line) > MAX_LINE)
		wrong("a line of %zu bytes: %s", strlen(line), line);
	for (const char *at = line; *at != '\0'; at++)
		if (*at < ' ' || *at > '~')
			wrong("a line with byte %02x: %s", (unsigned char)*at, line);
	if (strstr(line, "id=MFA-9001") != NULL)
		wrong("a panic: %s", line);
	if (strstr(line, "passphrase of ") != NULL && !is_named_outside())
		wrong("a passphrase: %s", line);
}

void pam_syslog(const pam_handle_t *handle, int priority, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	/* libpam calls this too, with formats of its own. */
	if (is_inside && strcmp(format, "%s") == 0) {
		va_list again;
		va_copy(again, arguments);
		const char *line = va_arg(again, const char *);
		if (getenv("MFA_FUZZ_SHOW") != NULL)
			fprintf(stderr, "%s\n", line);
		check_line(line);
		va_end(again);
	}
	pam_vsyslog(handle, priority, format, arguments);
	va_end(arguments);
}

/* Where libpam's lines end. */
void vsyslog(int priority, const char *format, va_list arguments)
{
	(void)priority, (void)format, (void)arguments;
}

void syslog(int priority, const char *format, ...)
{
	(void)priority, (void)format;
}

void __vsyslog_chk(int priority, int flag, const char *format, va_list arguments)
{
	(void)priority, (void)flag, (void)format, (void)arguments;
}

void __syslog_chk(int priority, int flag, const char *format, ...)
{
	(void)priority, (void)flag, (void)format;
}

/* ---- what must be as it was ------------------------------------------------------------------------------------- */

struct surroundings {
	bool is_open[MAX_FDS];
	sigset_t mask;
	uid_t uids[3];
};

static struct surroundings look(void)
{
	struct surroundings seen = {0};
	for (int fd = 0; fd < MAX_FDS; fd++)
		seen.is_open[fd] = fcntl(fd, F_GETFD) >= 0;
	sigprocmask(SIG_SETMASK, NULL, &seen.mask);
	getresuid(&seen.uids[0], &seen.uids[1], &seen.uids[2]);
	return seen;
}

static void compare(const struct surroundings *before, const struct surroundings *after)
{
	for (int fd = 0; fd < MAX_FDS; fd++)
		if (before->is_open[fd] != after->is_open[fd])
			wrong("descriptor %d was %s", fd, after->is_open[fd] ? "left open" : "closed");
	for (int signal = 1; signal < NSIG; signal++)
		if (sigismember(&before->mask, signal) != sigismember(&after->mask, signal))
			wrong("signal %d was left %sblocked", signal, sigismember(&after->mask, signal) ? "" : "un");
	if (memcmp(before->uids, after->uids, sizeof before->uids) != 0)
		wrong("other uids");
}

/* ---- a call ----------------------------------------------------------------------------------------------------- */

static bool is_skipped_service(void)
{
	static const char *const skipped[] = {"cron", "crond", "atd", "systemd-user", "runuser", "runuser-l"};
	const void *service = NULL;
	pam_get_item(now.handle, PAM_SERVICE, &service);
	for (size_t i = 0; i < sizeof skipped / sizeof skipped[0]; i++)
		if (strcmp(service, skipped[i]) == 0)
			return true;
	return false;
}

static void check_result(int result)
{
	const struct person *person = person_of(now.user);
	bool is_approved = person != NULL && person->standing != REFUSED && person->standing != NO_RECORD;
	bool has_no_record = person == NULL ? now.user[0] == '+' : person->standing == NO_RECORD;
	bool may_be_skipped = now.may_skip && (has_no_record || (now.hook == AUTHENTICATE && person != NULL && person->standing == NO_APP));
	bool is_expected = false;
	switch (now.hook) {
	case AUTHENTICATE:
		if (result == PAM_SUCCESS)
			check_success();
		else if (now.must_succeed)
			wrong("%s was not let in with a right code: %d", now.user, result);
		is_expected = result == PAM_SUCCESS || result == PAM_AUTH_ERR || result == PAM_CONV_ERR || result == PAM_AUTHINFO_UNAVAIL ||
			      (result == PAM_IGNORE && may_be_skipped && !now.asks_passphrase);
		break;
	case ACCT_MGMT:
		is_expected = (result == PAM_SUCCESS && is_approved) || result == PAM_PERM_DENIED || result == PAM_AUTHINFO_UNAVAIL ||
			      (result == PAM_IGNORE && (may_be_skipped || is_skipped_service()));
		break;
	case SETCRED:
	case OPEN_SESSION:
	case CLOSE_SESSION: is_expected = result == PAM_SUCCESS; break;
	case CHAUTHTOK:
		if (now.asks_passphrase && now.is_update)
			check_change(result);
		else if (now.asks_passphrase && result == PAM_SUCCESS)
			check_present();
		is_expected = !now.asks_passphrase ? result == PAM_IGNORE
						   : result == PAM_SUCCESS || result == PAM_AUTH_ERR || result == PAM_CONV_ERR ||
							     result == PAM_AUTHTOK_ERR || result == PAM_AUTHTOK_LOCK_BUSY ||
							     (result == PAM_TRY_AGAIN && !now.is_update);
		break;
	case HOOKS: break;
	}
	if (!is_expected)
		wrong("%s: result %d", now.user, result);
	/* Who may go on has changed nothing yet. */
	if (now.hook != CHAUTHTOK || now.is_update || !now.asks_passphrase || result != PAM_SUCCESS)
		harness_counts[now.hook][result & 31]++;
}

/* Called by libpam, through shim.c. */
int harness_hook(int hook, pam_handle_t *handle, int flags)
{
	const void *user = NULL, *own_service = NULL;
	char *service_before;
	now.hook = (enum hook)hook;
	now.calls++;
	now.prompts = 0;
	now.must_succeed = false;
	now.answer_length = 0;
	now.is_update = (flags & PAM_UPDATE_AUTHTOK) != 0;
	/* The present one was typed in the first of two calls. */
	if (!now.is_update)
		memset(now.typed, 0, sizeof now.typed);
	pam_get_item(handle, PAM_USER, &user);
	snprintf(now.user, sizeof now.user, "%s", user == NULL ? "" : (const char *)user);
	bool has_name = user != NULL;
	pam_set_item(handle, PAM_AUTHTOK, now.password);
	pam_get_item(handle, PAM_SERVICE, &own_service);
	service_before = must(strdup(own_service));
	if (now.service != NULL)
		pam_set_item(handle, PAM_SERVICE, now.service);
	struct surroundings before = look();
	is_inside = true;
	int result = harness_module[hook](handle, flags, now.argument_count, now.arguments);
	is_inside = false;
	struct surroundings after = look();
	if (!has_name) {
		/* Asked for by libpam; or nobody said, and the module was called for nobody. */
		pam_get_item(handle, PAM_USER, &user);
		snprintf(now.user, sizeof now.user, "%s", user == NULL ? "" : (const char *)user);
	}
	check_result(result);
	courier_must_be_gone();
	/* What couriers held is closed by now. */
	after = look();
	compare(&before, &after);
	pam_set_item(handle, PAM_SERVICE, service_before);
	free(service_before);
	return result;
}
