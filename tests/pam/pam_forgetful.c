/*
 * pam_forgetful: a PAM application that keeps nothing of what is typed. What its memory holds after a login is the module's.
 *
 *   pam_forgetful CONFDIR SERVICE USER HOOK...      HOOK: authenticate, acct_mgmt, open_session, close_session, chauthtok
 *
 * What is freed stays where it was, as it was: malloc would otherwise write over the beginning of it, and hide what was not wiped.
 *
 * Each prompt prints `PROMPT TEXT`; the answer is read byte by byte from standard input into the very memory that the reply is,
 * which its taker wipes and frees. Each hook prints `RESULT NUMBER`. After pam_end it prints `OVER` and waits for the end of
 * standard input, so that somebody can look at it.
 */
#define _GNU_SOURCE
#include <security/pam_appl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern int pam_start_confdir(const char *, const char *, const struct pam_conv *, const char *, pam_handle_t **);

void free(void *memory)
{
	(void)memory;
}

static int converse(int count, const struct pam_message **messages, struct pam_response **responses, void *data)
{
	(void)data;
	struct pam_response *replies = calloc((size_t)count, sizeof *replies);
	if (replies == NULL)
		return PAM_BUF_ERR;
	for (int number = 0; number < count; number++) {
		char *reply = calloc(1, PAM_MAX_RESP_SIZE);
		size_t length = 0;
		if (reply == NULL)
			return PAM_BUF_ERR;
		printf("PROMPT %s\n", messages[number]->msg);
		fflush(stdout);
		while (length < PAM_MAX_RESP_SIZE - 1 && read(STDIN_FILENO, reply + length, 1) == 1 && reply[length] != '\n')
			length++;
		reply[length] = '\0';
		replies[number].resp = reply;
	}
	*responses = replies;
	return PAM_SUCCESS;
}

static void no_delay(int result, unsigned microseconds, void *data)
{
	(void)result, (void)microseconds, (void)data;
}

static int call(pam_handle_t *handle, const char *hook)
{
	if (strcmp(hook, "authenticate") == 0)
		return pam_authenticate(handle, 0);
	if (strcmp(hook, "acct_mgmt") == 0)
		return pam_acct_mgmt(handle, 0);
	if (strcmp(hook, "open_session") == 0)
		return pam_open_session(handle, 0);
	if (strcmp(hook, "close_session") == 0)
		return pam_close_session(handle, 0);
	if (strcmp(hook, "chauthtok") == 0)
		return pam_chauthtok(handle, 0);
	fprintf(stderr, "pam_forgetful: no hook: %s\n", hook);
	_exit(2);
}

int main(int argc, char **argv)
{
	static const struct pam_conv conversation = {converse, NULL};
	union {
		void (*function)(int, unsigned, void *);
		const void *item;
	} delay = {.function = no_delay};
	pam_handle_t *handle = NULL;
	int result = PAM_SUCCESS;
	if (argc < 5) {
		fprintf(stderr, "usage: pam_forgetful CONFDIR SERVICE USER HOOK...\n");
		return 2;
	}
	if (pam_start_confdir(argv[2], argv[3], &conversation, argv[1], &handle) != PAM_SUCCESS)
		return 3;
	pam_set_item(handle, PAM_FAIL_DELAY, delay.item);
	pam_set_item(handle, PAM_RHOST, "203.0.113.7");
	for (int hook = 4; hook < argc; hook++) {
		result = call(handle, argv[hook]);
		printf("RESULT %d\n", result);
		fflush(stdout);
	}
	pam_end(handle, result);
	printf("OVER\n");
	fflush(stdout);
	char rest;
	while (read(STDIN_FILENO, &rest, 1) == 1)
		;
	return 0;
}
