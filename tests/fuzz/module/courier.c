/*
 * Couriers without processes: what the module starts is written down, answered as the input says, and must be ended by the
 * module before its call is over.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

/* Beyond what a kernel gives out (PID_MAX_LIMIT is 2^22). */
enum { FIRST_PID = 1 << 23, MAX_COURIERS = 64, MAX_DOCUMENT = 16 * 1024 };
/* Numbers of the calls in libc.c. */
enum { SPAWN = 16, WAITPID = 27 };

static struct courier {
	int socket;
	bool is_killed, is_reaped, is_judge;
	char document[MAX_DOCUMENT + 2];
	size_t length;
} couriers[MAX_COURIERS];
static size_t started;
static enum courier_mood mood;
static const char *answer;
static size_t answer_length;
static int handed_over = -1;
static char newest_code[9];
bool codes_are_known;

void courier_begin(enum courier_mood new_mood, const char *text, size_t length)
{
	mood = new_mood;
	answer = text;
	answer_length = length;
	started = 0;
	newest_code[0] = '\0';
	codes_are_known = true;
}

int posix_spawn_file_actions_adddup2(posix_spawn_file_actions_t *actions, int from, int to)
{
	static int (*real)(posix_spawn_file_actions_t *, int, int);
	if (real == NULL)
		real = must(dlsym(RTLD_NEXT, "posix_spawn_file_actions_adddup2"));
	if (is_inside && to == 0)
		handed_over = from;
	return real(actions, from, to);
}

int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes,
		char *const argv[], char *const envp[])
{
	static int (*real)(pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *, char *const[],
			   char *const[]);
	if (real == NULL)
		real = must(dlsym(RTLD_NEXT, "posix_spawn"));
	if (!is_inside)
		return real(pid, path, actions, attributes, argv, envp);
	bool is_judge = now.hook == CHAUTHTOK && argv[1] != NULL && strcmp(argv[1], "passphrase") == 0;
	/* What it was to be told is told to nobody. */
	codes_are_known &= is_judge;
	if (libc_fails(SPAWN))
		return errno;
	if (envp[0] != NULL)
		wrong("the courier was started with an environment: %s", envp[0]);
	if (argv[1] == NULL || (strcmp(argv[1], "send") != 0 && !is_judge) || argv[4] != NULL)
		wrong("the courier was started with other arguments");
	if (started == MAX_COURIERS)
		wrong("%zu couriers in one call", started + 1);
	struct courier *courier = &couriers[started];
	*courier = (struct courier){.socket = dup(handed_over), .is_judge = is_judge};
	if (courier->socket < 0)
		return errno;
	if (mood == COURIER_ANSWERS && plain_send(courier->socket, answer, answer_length) < 0)
		wrong("no answer of a courier can be written");
	if (mood == COURIER_IS_GONE) {
		plain_close(courier->socket);
		courier->socket = -1;
	}
	codes_are_known |= !is_judge;
	*pid = FIRST_PID + (pid_t)started++;
	return 0;
}

static struct courier *courier_of(pid_t pid)
{
	size_t number = (size_t)(pid - FIRST_PID);
	return pid >= FIRST_PID && number < started ? &couriers[number] : NULL;
}

int kill(pid_t pid, int signal)
{
	static int (*real)(pid_t, int);
	if (real == NULL)
		real = must(dlsym(RTLD_NEXT, "kill"));
	if (!is_inside)
		return real(pid, signal);
	struct courier *courier = courier_of(pid < 0 ? -pid : pid);
	if (courier == NULL || courier->is_reaped || signal != SIGKILL)
		wrong("the module sends signal %d to %d, which is no courier of its own", signal, (int)pid);
	courier->is_killed = true;
	return 0;
}

pid_t waitpid(pid_t pid, int *status, int options)
{
	static pid_t (*real)(pid_t, int *, int);
	if (real == NULL)
		real = must(dlsym(RTLD_NEXT, "waitpid"));
	struct courier *courier = courier_of(pid);
	if (!is_inside)
		return real(pid, status, options);
	if (courier == NULL)
		wrong("the module waits for %d, which is no courier of its own", (int)pid);
	/* Only who waits can be interrupted (wait(2)). */
	if (libc_fails(WAITPID) && errno == EINTR && (options & WNOHANG) == 0)
		return -1;
	if (courier->is_reaped || mood == COURIER_WAS_REAPED) {
		courier->is_reaped = true;
		errno = ECHILD;
		return -1;
	}
	if (!courier->is_killed && mood != COURIER_IS_GONE) {
		if (options & WNOHANG)
			return 0;
		wrong("the module waits for a courier that it has not ended");
	}
	courier->is_reaped = true;
	if (status != NULL)
		*status = courier->is_killed ? SIGKILL : 75 << 8;
	return pid;
}

void courier_hears(const void *data, size_t length)
{
	if (started == 0)
		wrong("something is sent, and not to a courier");
	struct courier *courier = &couriers[started - 1];
	/* All of it is in the first try, however little of that goes out. */
	if (courier->length > 0)
		return;
	if (length > MAX_DOCUMENT)
		wrong("a document of %zu bytes", length);
	if (courier->is_judge) {
		size_t typed = strlen(now.typed[1]);
		if (typed == 0 || length <= typed || memcmp(data, now.typed[1], typed) != 0 || ((const char *)data)[typed] != '\n')
			wrong("another passphrase is asked about than the one that was typed");
	} else if (memchr(data, '\n', length) != (const char *)data + length - 1)
		wrong("a document that is not one line: %.*s", (int)length, (const char *)data);
	memcpy(courier->document, data, length);
	courier->document[courier->length = length] = '\0';
}

const char *courier_code(void)
{
	for (size_t i = 0; i < started; i++) {
		struct courier *courier = &couriers[i];
		const char *code = strstr(courier->document, "\"code\":\"");
		if (courier->is_judge)
			continue;
		bool is_nothing = strstr(courier->document, "\"kind\":\"nothing\"") != NULL;
		if (code != NULL && is_nothing)
			wrong("a code for nobody: %s", courier->document);
		size_t digits = code == NULL ? 0 : strspn(code + 8, "0123456789");
		if (code != NULL && digits != 6)
			wrong("a code of %zu digits", digits);
		if (code != NULL)
			snprintf(newest_code, sizeof newest_code, "%.6s", code + 8);
	}
	return newest_code;
}

bool courier_takes(const char *passphrase)
{
	const struct courier *courier = started == 0 ? NULL : &couriers[started - 1];
	size_t length = strlen(passphrase);
	return courier != NULL && courier->is_judge && mood == COURIER_ANSWERS && strncmp(answer, "accepted ", 9) == 0 &&
	       strncmp(courier->document, passphrase, length) == 0 && courier->document[length] == '\n';
}

void courier_must_be_gone(void)
{
	courier_code();
	for (size_t i = 0; i < started; i++) {
		if (!couriers[i].is_reaped)
			wrong("courier %zu of %zu was left behind", i + 1, started);
		if (couriers[i].socket >= 0)
			plain_close(couriers[i].socket);
	}
	started = 0;
}
