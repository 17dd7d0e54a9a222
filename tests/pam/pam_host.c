/*
 * pam_host: a PAM application that follows a script.
 *
 *   pam_host [OPTION...] CONFDIR SERVICE [SCRIPT]       SCRIPT: a file; absent or "-": standard input
 *
 * It calls pam_start_confdir(SERVICE, user, conversation, CONFDIR), does what the script says and prints what it saw.
 *
 * Options
 *   --bind SRC=DST   in a mount namespace of this process's own: SRC over DST (a file DST is made where it is missing);
 *                    a private /dev/log or /etc/passwd for one run
 *   --parallel N     N forked children follow the script; in it, %i is the child's number, from 1; a line `barrier` (or
 *                    `do barrier`, while a prompt is open) holds each until all are there, each time anew; output lines
 *                    begin with `[I] `
 *   --check          compare this process before and after each hook, and print what a module changed (CHANGED; facts.h)
 *   --late-log       glibc's socket to /dev/log is opened by the first line, whoever writes it; else before all
 *   --real-uid N     setresuid(N, 0, 0): what su is while its modules run
 *   --all-uids N     all user and group ids N, no groups: a caller that is not root
 *
 * Script: one word of command and the rest of the line. Values know \\ \n \r \t \e \xHH. Blank lines and # are skipped.
 *   user TEXT                      the user of pam_start (before the first action; none: NULL)
 *   set ITEM TEXT | unset ITEM     service user rhost tty ruser user_prompt
 *   answer text TEXT               queued for the next prompt
 *   answer hex HEX                 bytes, NUL and not-UTF-8 included
 *   answer repeat BYTE COUNT       COUNT times BYTE (a character, or \xHH)
 *   answer null                    a reply whose text is NULL
 *   answer nullarray               PAM_SUCCESS and no replies at all
 *   answer convfail                PAM_CONV_ERR
 *   answer run COMMAND             what `sh -c COMMAND` prints, less a last line break
 *   do run COMMAND                 before the next answer, while the prompt is open: `sh -c COMMAND`, which must exit 0
 *   do setuser TEXT                ... set PAM_USER
 *   do barrier                     ... wait for the other children
 *   authenticate | acct_mgmt | setcred | open_session | close_session | chauthtok     each followed by an optional flag
 *                                  number; setcred's default is PAM_ESTABLISH_CRED
 *   barrier | run COMMAND          the same, between actions
 *   getenv NAME                    PAM's environment
 *   getuser                        PAM_USER
 *   syslog TEXT                    a line of the host's own, by syslog(3)
 *   signal NAME ignore|default|handle|reap     CHLD or PIPE; reap: a handler that waits for every child there is
 *   descriptors N|all              from now on a hook may open N more, or as many as this process may
 *   delay real                     sleep for pam_fail_delay (else it is only printed)
 *   restart                        pam_end, and pam_start anew with the user named last
 *   forget                         drop the answers that are left
 *
 * Output (text in quotes, with \\ \" and \xHH for what is not printable ASCII)
 *   PROMPT echo_off|echo_on "TEXT"          MESSAGE info|error "TEXT"
 *   RESULT HOOK NUMBER NAME                 DELAY NUMBER MICROSECONDS          (pam_fail_delay: result and delay)
 *   ENV NAME "VALUE" | ENV NAME unset       USER "NAME"
 *   CHANGED HOOK WHAT: "BEFORE" -> "AFTER"  UNANSWERED                          LEFTOVER N
 *
 * Exit: 0 done, whatever PAM said; 2 usage or a wrong script; 3 answers were left over; 4 a prompt had no answer;
 * 5 a command of the script failed; with --parallel the highest of the children's.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <locale.h>
#include <poll.h>
#include <sched.h>
#include <security/pam_appl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

/* An extension of Linux-PAM that not every <security/pam_appl.h> shows. */
extern int pam_start_confdir(const char *, const char *, const struct pam_conv *, const char *, pam_handle_t **);

extern char **environ;

enum { EXIT_USAGE = 2, EXIT_LEFTOVER = 3, EXIT_UNANSWERED = 4, EXIT_COMMAND = 5 };

static char prefix[32];
static int exit_code;
/* Barriers take turns with two pipes: who is early at the next one can't take a late one's place at this one. */
static int ready_fd = -1, go_fds[2] = {-1, -1};
static pam_handle_t *handle;

static void fail(int code)
{
	if (code > exit_code)
		exit_code = code;
}

static void die(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fprintf(stderr, "pam_host: ");
	vfprintf(stderr, format, args);
	fprintf(stderr, "\n");
	va_end(args);
	_exit(EXIT_USAGE);
}

static void *must(void *memory)
{
	if (memory == NULL)
		die("out of memory");
	return memory;
}

/* One line, in one write, so that children's lines don't mix. */
static void say(const char *format, ...)
{
	char line[3800];
	va_list args;
	va_start(args, format);
	int head = snprintf(line, sizeof line, "%s", prefix);
	int body = vsnprintf(line + head, sizeof line - (size_t)head - 1, format, args);
	va_end(args);
	size_t length = (size_t)head + (size_t)body;
	if (length > sizeof line - 2)
		length = sizeof line - 2;
	line[length++] = '\n';
	if (write(STDOUT_FILENO, line, length) != (ssize_t)length)
		_exit(EXIT_USAGE);
}

/* Rotating buffers: enough for the two quoted texts of one line. */
static const char *quoted(const char *text)
{
	static char buffers[2][1700];
	static int turn;
	if (text == NULL)
		return "NULL";
	turn = !turn;
	char *out = buffers[turn];
	size_t used = 0;
	out[used++] = '"';
	for (; *text != '\0' && used < sizeof buffers[0] - 8; text++) {
		unsigned char byte = (unsigned char)*text;
		if (byte == '"' || byte == '\\')
			used += (size_t)sprintf(out + used, "\\%c", byte);
		else if (byte < 0x20 || byte > 0x7e)
			used += (size_t)sprintf(out + used, "\\x%02x", byte);
		else
			out[used++] = (char)byte;
	}
	out[used++] = '"';
	out[used] = '\0';
	return out;
}

/* ---- names --------------------------------------------------------------------------------------------------- */

static const char *result_name(int result)
{
	static const char *const names[] = {
		"PAM_SUCCESS", "PAM_OPEN_ERR", "PAM_SYMBOL_ERR", "PAM_SERVICE_ERR", "PAM_SYSTEM_ERR", "PAM_BUF_ERR",
		"PAM_PERM_DENIED", "PAM_AUTH_ERR", "PAM_CRED_INSUFFICIENT", "PAM_AUTHINFO_UNAVAIL", "PAM_USER_UNKNOWN",
		"PAM_MAXTRIES", "PAM_NEW_AUTHTOK_REQD", "PAM_ACCT_EXPIRED", "PAM_SESSION_ERR", "PAM_CRED_UNAVAIL",
		"PAM_CRED_EXPIRED", "PAM_CRED_ERR", "PAM_NO_MODULE_DATA", "PAM_CONV_ERR", "PAM_AUTHTOK_ERR",
		"PAM_AUTHTOK_RECOVERY_ERR", "PAM_AUTHTOK_LOCK_BUSY", "PAM_AUTHTOK_DISABLE_AGING", "PAM_TRY_AGAIN",
		"PAM_IGNORE", "PAM_ABORT", "PAM_AUTHTOK_EXPIRED", "PAM_MODULE_UNKNOWN", "PAM_BAD_ITEM", "PAM_CONV_AGAIN",
		"PAM_INCOMPLETE",
	};
	if (result < 0 || (size_t)result >= sizeof names / sizeof names[0])
		return "PAM_?";
	return names[result];
}

static int item_number(const char *name)
{
	static const struct {
		const char *name;
		int number;
	} items[] = {
		{"service", PAM_SERVICE}, {"user", PAM_USER},   {"rhost", PAM_RHOST},
		{"tty", PAM_TTY},         {"ruser", PAM_RUSER}, {"user_prompt", PAM_USER_PROMPT},
	};
	for (size_t i = 0; i < sizeof items / sizeof items[0]; i++)
		if (strcmp(name, items[i].name) == 0)
			return items[i].number;
	die("no such item: %s", name);
	return 0;
}

/* ---- values -------------------------------------------------------------------------------------------------- */

static int hex_digit(char c)
{
	if (!isxdigit((unsigned char)c))
		die("not a hex digit: %c", c);
	return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

static char *unescaped(const char *text)
{
	char *out = must(malloc(strlen(text) + 1)), *to = out;
	while (*text != '\0') {
		if (*text != '\\') {
			*to++ = *text++;
			continue;
		}
		text++;
		switch (*text) {
		case 'n': *to++ = '\n'; break;
		case 'r': *to++ = '\r'; break;
		case 't': *to++ = '\t'; break;
		case 'e': *to++ = '\033'; break;
		case '\\': *to++ = '\\'; break;
		case 'x':
			*to++ = (char)(hex_digit(text[1]) * 16 + hex_digit(text[2]));
			text += 2;
			break;
		default: die("no such escape: \\%c", *text);
		}
		text++;
	}
	*to = '\0';
	return out;
}

/* A NUL always follows, as a PAM reply needs. */
static char *from_hex(const char *hex)
{
	size_t length = strlen(hex) / 2;
	char *out = must(malloc(length + 1));
	if (strlen(hex) % 2 != 0)
		die("an odd number of hex digits");
	for (size_t i = 0; i < length; i++)
		out[i] = (char)(hex_digit(hex[2 * i]) * 16 + hex_digit(hex[2 * i + 1]));
	out[length] = '\0';
	return out;
}

static char *repeated(const char *arguments)
{
	char *copy = must(strdup(arguments));
	char *count = strchr(copy, ' ');
	if (count == NULL)
		die("repeat BYTE COUNT");
	*count++ = '\0';
	char *byte = unescaped(copy);
	size_t length = strtoul(count, NULL, 10);
	char *out = must(malloc(length + 1));
	memset(out, byte[0], length);
	out[length] = '\0';
	free(byte);
	free(copy);
	return out;
}

/* What a command prints, less a last line break. Our own child is waited for by its pid, whatever SIGCHLD is. */
static char *output_of(const char *command)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) != 0)
		die("pipe: %m");
	struct sigaction usual = {.sa_handler = SIG_DFL}, before;
	sigaction(SIGCHLD, &usual, &before);
	pid_t child = fork();
	if (child == 0) {
		dup2(ends[1], STDOUT_FILENO);
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	close(ends[1]);
	size_t used = 0, room = 65536;
	char *out = must(malloc(room));
	for (;;) {
		ssize_t got = read(ends[0], out + used, room - used - 1);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		used += (size_t)got;
		if (used + 1 == room)
			die("too much output: %s", command);
	}
	close(ends[0]);
	int status = 0;
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	sigaction(SIGCHLD, &before, NULL);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		fprintf(stderr, "pam_host: failed (%d): %s\n", status, command);
		fail(EXIT_COMMAND);
	}
	if (used > 0 && out[used - 1] == '\n')
		used--;
	out[used] = '\0';
	return out;
}

static void barrier(void)
{
	static int turn;
	char byte = 1;
	if (ready_fd < 0)
		return;
	if (write(ready_fd, &byte, 1) != 1)
		die("barrier: %m");
	while (read(go_fds[turn], &byte, 1) < 0 && errno == EINTR)
		;
	turn = !turn;
}

/* ---- the scripted person ------------------------------------------------------------------------------------- */

enum kind { TEXT, HEX, REPEAT, NULL_TEXT, NULL_ARRAY, CONV_FAIL, RUN_ANSWER, DO_RUN, DO_SETUSER, DO_BARRIER };

struct step {
	enum kind kind;
	char *value;
	struct step *next;
};

static struct step *queue, **queue_end = &queue;

static void enqueue(enum kind kind, const char *value)
{
	struct step *step = must(calloc(1, sizeof *step));
	step->kind = kind;
	step->value = must(strdup(value));
	*queue_end = step;
	queue_end = &step->next;
}

static struct step *dequeue(void)
{
	struct step *step = queue;
	if (step != NULL) {
		queue = step->next;
		if (queue == NULL)
			queue_end = &queue;
	}
	return step;
}

static void discard(struct step *step)
{
	free(step->value);
	free(step);
}

/* Does what the script has for an open prompt, up to an answer. Returns the answer, or NULL with *result set. */
static char *next_answer(int *result, bool *no_array)
{
	for (;;) {
		struct step *step = dequeue();
		if (step == NULL) {
			say("UNANSWERED");
			fail(EXIT_UNANSWERED);
			*result = PAM_CONV_ERR;
			return NULL;
		}
		char *answer = NULL;
		bool answered = true;
		switch (step->kind) {
		case TEXT: answer = unescaped(step->value); break;
		case HEX: answer = from_hex(step->value); break;
		case REPEAT: answer = repeated(step->value); break;
		case RUN_ANSWER: answer = output_of(step->value); break;
		case NULL_TEXT: break;
		case NULL_ARRAY: *no_array = true; break;
		case CONV_FAIL: *result = PAM_CONV_ERR; break;
		case DO_RUN:
			free(output_of(step->value));
			answered = false;
			break;
		case DO_SETUSER: {
			char *name = unescaped(step->value);
			if (pam_set_item(handle, PAM_USER, name) != PAM_SUCCESS)
				die("PAM_USER can't be set");
			free(name);
			answered = false;
			break;
		}
		case DO_BARRIER:
			barrier();
			answered = false;
			break;
		}
		discard(step);
		if (answered)
			return answer;
	}
}

static int converse(int count, const struct pam_message **messages, struct pam_response **responses, void *data)
{
	(void)data;
	if (count <= 0 || count > PAM_MAX_NUM_MSG)
		return PAM_CONV_ERR;
	struct pam_response *replies = must(calloc((size_t)count, sizeof *replies));
	int result = PAM_SUCCESS;
	bool no_array = false;
	for (int i = 0; i < count && result == PAM_SUCCESS; i++) {
		const char *text = quoted(messages[i]->msg);
		switch (messages[i]->msg_style) {
		case PAM_PROMPT_ECHO_OFF: say("PROMPT echo_off %s", text); break;
		case PAM_PROMPT_ECHO_ON: say("PROMPT echo_on %s", text); break;
		case PAM_TEXT_INFO: say("MESSAGE info %s", text); continue;
		case PAM_ERROR_MSG: say("MESSAGE error %s", text); continue;
		default: say("MESSAGE %d %s", messages[i]->msg_style, text); continue;
		}
		replies[i].resp = next_answer(&result, &no_array);
	}
	if (result != PAM_SUCCESS || no_array) {
		for (int i = 0; i < count; i++)
			free(replies[i].resp);
		free(replies);
		*responses = NULL;
		return result;
	}
	*responses = replies;
	return PAM_SUCCESS;
}

static void print_delay(int result, unsigned microseconds, void *data)
{
	(void)data;
	say("DELAY %d %u", result, microseconds);
}

/* ---- what a module must leave as it was ---------------------------------------------------------------------- */

#include "facts.h"

/* How many more descriptors a hook may open; -1: as many as this process may. */
static int room = -1;

/* Runs a hook with little room for descriptors, and puts the limit back: what is compared needs some itself. */
static int call_within(int (*hook)(pam_handle_t *, int), const char *name, int flags)
{
	struct rlimit before, tight, after;
	if (room < 0)
		return hook(handle, flags);
	getrlimit(RLIMIT_NOFILE, &before);
	tight = before;
	tight.rlim_cur = 0;
	for (int free = 0; free < room || fcntl((int)tight.rlim_cur, F_GETFD) >= 0; tight.rlim_cur++)
		free += fcntl((int)tight.rlim_cur, F_GETFD) < 0;
	if (setrlimit(RLIMIT_NOFILE, &tight) != 0)
		die("setrlimit: %m");
	int result = hook(handle, flags);
	getrlimit(RLIMIT_NOFILE, &after);
	if (after.rlim_cur != tight.rlim_cur)
		say("CHANGED %s limit on descriptors", name);
	setrlimit(RLIMIT_NOFILE, &before);
	return result;
}

/* ---- the script ---------------------------------------------------------------------------------------------- */

static const struct pam_conv conversation = {converse, NULL};
static const char *confdir, *service;
static char *first_user;
static bool check, real_delay, late_log;

static void end(void)
{
	if (handle != NULL && pam_end(handle, PAM_SUCCESS) != PAM_SUCCESS)
		die("pam_end failed");
	handle = NULL;
}

static void start(void)
{
	if (handle != NULL)
		return;
	int result = pam_start_confdir(service, first_user, &conversation, confdir, &handle);
	if (result != PAM_SUCCESS)
		die("pam_start_confdir: %d %s", result, result_name(result));
	if (!real_delay) {
		union {
			void (*function)(int, unsigned, void *);
			const void *item;
		} hook = {.function = print_delay};
		pam_set_item(handle, PAM_FAIL_DELAY, hook.item);
	}
}

static bool call(const char *name, const char *arguments)
{
	static const struct {
		const char *name;
		int (*hook)(pam_handle_t *, int);
		int flags;
	} hooks[] = {
		{"authenticate", pam_authenticate, 0},   {"acct_mgmt", pam_acct_mgmt, 0},
		{"setcred", pam_setcred, PAM_ESTABLISH_CRED}, {"open_session", pam_open_session, 0},
		{"close_session", pam_close_session, 0}, {"chauthtok", pam_chauthtok, 0},
	};
	for (size_t i = 0; i < sizeof hooks / sizeof hooks[0]; i++) {
		if (strcmp(name, hooks[i].name) != 0)
			continue;
		start();
		struct facts *before = check ? look() : NULL;
		int result = call_within(hooks[i].hook, name, *arguments == '\0' ? hooks[i].flags : atoi(arguments));
		if (check)
			compare(name, before, look());
		say("RESULT %s %d %s", name, result, result_name(result));
		return true;
	}
	return false;
}

static void queue_answer(const char *arguments)
{
	static const struct {
		const char *word;
		enum kind kind;
	} kinds[] = {
		{"text", TEXT},           {"hex", HEX},          {"repeat", REPEAT}, {"null", NULL_TEXT},
		{"nullarray", NULL_ARRAY}, {"convfail", CONV_FAIL}, {"run", RUN_ANSWER},
	};
	size_t length = strcspn(arguments, " ");
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
		if (strlen(kinds[i].word) == length && strncmp(arguments, kinds[i].word, length) == 0) {
			enqueue(kinds[i].kind, arguments[length] == ' ' ? arguments + length + 1 : "");
			return;
		}
	die("no such answer: %s", arguments);
}

static void queue_deed(const char *arguments)
{
	if (strncmp(arguments, "run ", 4) == 0)
		enqueue(DO_RUN, arguments + 4);
	else if (strncmp(arguments, "setuser ", 8) == 0)
		enqueue(DO_SETUSER, arguments + 8);
	else if (strcmp(arguments, "barrier") == 0)
		enqueue(DO_BARRIER, "");
	else
		die("no such deed: %s", arguments);
}

static void set_item(char *arguments, bool set)
{
	char *value = arguments + strcspn(arguments, " ");
	if (*value != '\0')
		*value++ = '\0';
	char *text = set ? unescaped(value) : NULL;
	start();
	int result = pam_set_item(handle, item_number(arguments), text);
	if (result != PAM_SUCCESS)
		die("pam_set_item %s: %s", arguments, result_name(result));
	free(text);
}

static void take_note(int number)
{
	(void)number;
}

/* What some hosts do: whatever child has ended is theirs. */
static void reap_all(int number)
{
	int error = errno;
	(void)number;
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	errno = error;
}

static void set_signal(const char *arguments)
{
	int number = strncmp(arguments, "CHLD", 4) == 0 ? SIGCHLD : strncmp(arguments, "PIPE", 4) == 0 ? SIGPIPE : 0;
	const char *what = strchr(arguments, ' ');
	if (number == 0 || what == NULL)
		die("signal CHLD|PIPE ignore|default|handle|reap");
	struct sigaction action = {.sa_flags = SA_RESTART};
	action.sa_handler = strcmp(what + 1, "ignore") == 0 ? SIG_IGN
			    : strcmp(what + 1, "handle") == 0 ? take_note
			    : strcmp(what + 1, "reap") == 0 ? reap_all
							     : SIG_DFL;
	sigaction(number, &action, NULL);
}

static void print_environment(const char *name)
{
	start();
	const char *value = pam_getenv(handle, name);
	if (value == NULL)
		say("ENV %s unset", name);
	else
		say("ENV %s %s", name, quoted(value));
}

static void print_user(void)
{
	const void *name = NULL;
	start();
	pam_get_item(handle, PAM_USER, &name);
	say("USER %s", quoted(name));
}

static void obey(char *line)
{
	char *arguments = line + strcspn(line, " ");
	if (*arguments != '\0')
		*arguments++ = '\0';
	if (*line == '\0' || *line == '#')
		return;
	if (strcmp(line, "user") == 0) {
		free(first_user);
		first_user = unescaped(arguments);
	} else if (strcmp(line, "set") == 0)
		set_item(arguments, true);
	else if (strcmp(line, "unset") == 0)
		set_item(arguments, false);
	else if (strcmp(line, "answer") == 0)
		queue_answer(arguments);
	else if (strcmp(line, "do") == 0)
		queue_deed(arguments);
	else if (strcmp(line, "barrier") == 0)
		barrier();
	else if (strcmp(line, "run") == 0)
		free(output_of(arguments));
	else if (strcmp(line, "getenv") == 0)
		print_environment(arguments);
	else if (strcmp(line, "getuser") == 0)
		print_user();
	else if (strcmp(line, "syslog") == 0)
		syslog(LOG_INFO, "%s", arguments);
	else if (strcmp(line, "signal") == 0)
		set_signal(arguments);
	else if (strcmp(line, "descriptors") == 0)
		room = strcmp(arguments, "all") == 0 ? -1 : atoi(arguments);
	else if (strcmp(line, "delay") == 0)
		real_delay = strcmp(arguments, "real") == 0;
	else if (strcmp(line, "restart") == 0) {
		end();
		start();
	} else if (strcmp(line, "forget") == 0) {
		while (queue != NULL)
			discard(dequeue());
	} else if (!call(line, arguments))
		die("no such command: %s", line);
}

/* %i becomes the child's number. */
static char *numbered(const char *line, int number)
{
	size_t room = strlen(line) + 64 * 12 + 1, used = 0;
	char *out = must(malloc(room));
	while (*line != '\0' && used + 13 < room) {
		if (number > 0 && line[0] == '%' && line[1] == 'i') {
			used += (size_t)sprintf(out + used, "%d", number);
			line += 2;
		} else
			out[used++] = *line++;
	}
	out[used] = '\0';
	return out;
}

static int follow(const char *script, int number)
{
	/* LOG_NDELAY: glibc's socket is there before the first comparison. LOG_PID: tests tell one run from another. */
	openlog("pam_host", LOG_PID | (late_log ? LOG_ODELAY : LOG_NDELAY), LOG_AUTHPRIV);
	/* glibc does that at the first line it logs. */
	tzset();
	while (*script != '\0') {
		size_t length = strcspn(script, "\n");
		char *line = must(strndup(script, length));
		char *own = numbered(line, number);
		obey(own);
		free(own);
		free(line);
		script += length + (script[length] == '\n');
	}
	size_t left = 0;
	for (struct step *step = queue; step != NULL; step = step->next)
		left++;
	if (left > 0) {
		say("LEFTOVER %zu", left);
		fail(EXIT_LEFTOVER);
	}
	end();
	return exit_code;
}

/* ---- many at once -------------------------------------------------------------------------------------------- */

static int follow_in_parallel(const char *script, int count)
{
	int ready[2], go[2][2];
	if (pipe2(ready, O_CLOEXEC) != 0 || pipe2(go[0], O_CLOEXEC) != 0 || pipe2(go[1], O_CLOEXEC) != 0)
		die("pipe: %m");
	for (int number = 1; number <= count; number++) {
		pid_t child = fork();
		if (child < 0)
			die("fork: %m");
		if (child == 0) {
			close(ready[0]);
			ready_fd = ready[1];
			for (int turn = 0; turn < 2; turn++) {
				close(go[turn][1]);
				go_fds[turn] = go[turn][0];
			}
			snprintf(prefix, sizeof prefix, "[%d] ", number);
			_exit(follow(script, number));
		}
	}
	close(ready[1]);
	int waiting = 0, gone = 0, worst = 0, turn = 0;
	while (gone < count) {
		struct pollfd readiness = {.fd = ready[0], .events = POLLIN};
		if (poll(&readiness, 1, 2) > 0) {
			char bytes[64];
			ssize_t got = read(ready[0], bytes, sizeof bytes);
			waiting += got > 0 ? (int)got : 0;
		}
		int status;
		while (waitpid(-1, &status, WNOHANG) > 0) {
			gone++;
			int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
			if (WIFSIGNALED(status))
				say("KILLED %d", WTERMSIG(status));
			worst = code > worst ? code : worst;
		}
		/* Whoever ended early is not waited for. */
		if (waiting > 0 && waiting + gone >= count) {
			for (; waiting > 0; waiting--)
				if (write(go[turn][1], "", 1) != 1)
					die("barrier: %m");
			turn = !turn;
		}
	}
	return worst;
}

/* ---- options ------------------------------------------------------------------------------------------------- */

static void bind_over(const char *pair)
{
	static bool own_namespace;
	char *source = must(strdup(pair));
	char *target = strchr(source, '=');
	if (target == NULL)
		die("--bind SRC=DST");
	*target++ = '\0';
	if (!own_namespace && (unshare(CLONE_NEWNS) != 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) != 0))
		die("a mount namespace: %m");
	own_namespace = true;
	if (access(target, F_OK) != 0) {
		int made = open(target, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
		if (made < 0)
			die("%s: %m", target);
		close(made);
	}
	if (mount(source, target, "none", MS_BIND, NULL) != 0)
		die("%s over %s: %m", source, target);
	free(source);
}

static char *read_script(const char *path)
{
	int file = path == NULL || strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	size_t used = 0, room = 1 << 20;
	char *script = must(calloc(1, room));
	if (file < 0)
		die("%s: %m", path);
	for (ssize_t got; (got = read(file, script + used, room - used - 1)) > 0;)
		used += (size_t)got;
	if (used + 1 == room)
		die("the script is too long");
	if (file != STDIN_FILENO)
		close(file);
	return script;
}

int main(int argc, char **argv)
{
	int parallel = 0, at = 1;
	long real_uid = -1, all_uids = -1;
	for (; at < argc && strncmp(argv[at], "--", 2) == 0; at++) {
		const char *option = argv[at];
		if (strcmp(option, "--check") == 0) {
			check = true;
			continue;
		}
		if (strcmp(option, "--late-log") == 0) {
			late_log = true;
			continue;
		}
		if (++at == argc)
			die("%s: a value is missing", option);
		if (strcmp(option, "--bind") == 0)
			bind_over(argv[at]);
		else if (strcmp(option, "--parallel") == 0)
			parallel = atoi(argv[at]);
		else if (strcmp(option, "--real-uid") == 0)
			real_uid = atol(argv[at]);
		else if (strcmp(option, "--all-uids") == 0)
			all_uids = atol(argv[at]);
		else
			die("no such option: %s", option);
	}
	if (argc - at < 2)
		die("usage: pam_host [OPTION...] CONFDIR SERVICE [SCRIPT]");
	confdir = argv[at];
	service = argv[at + 1];
	char *script = read_script(argc - at > 2 ? argv[at + 2] : NULL);
	if (real_uid >= 0 && setresuid((uid_t)real_uid, 0, 0) != 0)
		die("setresuid: %m");
	if (all_uids >= 0) {
		gid_t group = (gid_t)all_uids;
		uid_t user = (uid_t)all_uids;
		if (setgroups(0, NULL) != 0 || setresgid(group, group, group) != 0 || setresuid(user, user, user) != 0)
			die("setresuid: %m");
	}
	int code = parallel > 0 ? follow_in_parallel(script, parallel) : follow(script, 0);
	free(script);
	return code;
}
