/*
 * With MFA_FUZZ_SHOW in the environment lines for the log are shown.
 *
 * One input: a configuration, arguments, items, calls of libc's that fail, and then calls of the module's hooks by libpam, with a
 * person who answers as the input says. Afterwards everything is as it was before.
 *
 * What must hold:
 * - Nobody is let in without a code that is right at that moment, and by one step of an app never twice; whom nothing stands
 *   in the way of is let in.
 * - A hook answers what its part of DESIGN's table says, and nothing else: PAM_IGNORE only where somebody may be skipped.
 * - Lines are one line of printable ASCII, of at most 900 bytes; prompts are the three that there are.
 * - Descriptors, signals, uids and children are as they were before each call.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <security/pam_appl.h>
#include <security/pam_ext.h>
#include <security/pam_modules.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>
#include <dirent.h>

#include "harness.h"

extern int pam_start_confdir(const char *, const char *, const struct pam_conv *, const char *, pam_handle_t **);

enum hook { AUTHENTICATE, ACCT_MGMT, SETCRED, OPEN_SESSION, CLOSE_SESSION, CHAUTHTOK, HOOKS };
typedef int hook_function(pam_handle_t *, int, int, const char **);

/* Set before the first input. */
hook_function *harness_module[HOOKS];
const char *harness_folder;
/* How often each hook answered what. */
unsigned long harness_counts[HOOKS][32];

bool is_inside;

enum { MAX_LINE = 900, MAX_HOOKS = 6, MAX_PROMPTS = 64, BLOCK = 4096, MAX_FDS = 128, LONG_ANSWER = 64 << 10, HUGE_ANSWER = 10 << 20 };

/* The people of the store (host.rs). */
enum standing { FINE, REFUSED, NO_APP, NO_RECORD, BROKEN_STATE };
static struct person {
	const char *name;
	enum standing standing;
	/* The last step of the app that let in, during this input. */
	uint64_t last_step;
	uint8_t *state;
	uint8_t *as_it_was;
} people[] = {
	{.name = "alice"}, {.name = "grace"}, {.name = "ivan"}, {.name = "bob", .standing = REFUSED},
	{.name = "carol", .standing = REFUSED}, {.name = "frank", .standing = REFUSED}, {.name = "mallory", .standing = REFUSED},
	{.name = "dave", .standing = BROKEN_STATE}, {.name = "erin", .standing = NO_APP}, {.name = "heidi", .standing = NO_RECORD},
};
enum { PEOPLE = sizeof people / sizeof people[0] };

static struct {
	struct input input;
	pam_handle_t *handle;
	unsigned config;
	const char *arguments[8];
	int argument_count;
	bool may_skip;
	char *service, *password;
	enum hook hook;
	unsigned calls, prompts;
	/* The last answer, as far as it could be a code. */
	char answer[65];
	size_t answer_length;
	bool must_succeed;
	size_t failure_count;
	char user[300];
} now;

/* ---- bytes ---------------------------------------------------------------------------------------------------- */

noreturn void wrong(const char *format, ...)
{
	is_inside = false;
	va_list arguments;
	va_start(arguments, format);
	fprintf(stderr, "module: in hook %d, call %u: ", (int)now.hook, now.calls);
	vfprintf(stderr, format, arguments);
	fprintf(stderr, "\n");
	va_end(arguments);
	abort();
}

void *must(void *memory)
{
	if (memory == NULL)
		abort();
	return memory;
}

uint8_t take_byte(struct input *input)
{
	if (input->left == 0)
		return 0;
	input->left--;
	return *input->bytes++;
}

char *take_text(struct input *input, size_t *length)
{
	size_t wanted = take_byte(input);
	if (wanted == 0)
		return NULL;
	wanted--;
	if (wanted > input->left)
		wanted = input->left;
	char *text = must(malloc(wanted + 1));
	memcpy(text, input->bytes, wanted);
	text[wanted] = '\0';
	input->bytes += wanted;
	input->left -= wanted;
	if (length != NULL)
		*length = wanted;
	return text;
}

/* ---- the log -------------------------------------------------------------------------------------------------- */

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

/* ---- codes ---------------------------------------------------------------------------------------------------- */

static struct person *person_of(const char *name)
{
	for (size_t i = 0; i < PEOPLE; i++)
		if (strcmp(people[i].name, name) == 0)
			return &people[i];
	return NULL;
}

static void code_of(const char *name, int64_t steps_from_now, char code[9])
{
	/* As host.rs makes them. */
	char secret[21] = "12345678901234567890";
	memcpy(secret, name, strlen(name) < 20 ? strlen(name) : 20);
	totp(secret, 20, (uint64_t)(wall_clock.tv_sec / 30 + steps_from_now), 6, code);
}

/* The digits of the last answer, where it is shaped like a code. */
static void digits_of_answer(char digits[65])
{
	size_t used = 0;
	for (size_t i = 0; i < now.answer_length; i++)
		if (now.answer[i] >= '0' && now.answer[i] <= '9')
			digits[used++] = now.answer[i];
	digits[used] = '\0';
}

static void check_success(void)
{
	struct person *person = person_of(now.user);
	char digits[65], code[9];
	if (now.prompts == 0)
		wrong("let in without a question");
	if (person == NULL || person->standing != FINE)
		wrong("%s was let in", now.user);
	digits_of_answer(digits);
	uint64_t step = (uint64_t)(wall_clock.tv_sec / 30), used = 0;
	for (int64_t by = -1; by <= 1; by++) {
		code_of(person->name, by, code);
		if (strcmp(code, digits) == 0 && step + (uint64_t)by > person->last_step)
			used = step + (uint64_t)by;
	}
	bool is_sent = strcmp(person->name, "grace") == 0 && (strcmp(courier_code(), digits) == 0 || !codes_are_known);
	if (used == 0 && !is_sent)
		wrong("%s was let in with %s, which is not right, or was used", now.user, digits);
	if (used != 0)
		person->last_step = used;
}

/* ---- the person ------------------------------------------------------------------------------------------------ */

static void check_prompt(const struct pam_message *message)
{
	bool asks_for_name = now.user[0] == '\0' && now.prompts == 0;
	if (asks_for_name && message->msg_style == PAM_PROMPT_ECHO_ON)
		return;
	static const char sent[] = "Code sent", end[] = "). Verification code (Enter for another): ";
	const char *text = message->msg;
	size_t length = strlen(text);
	bool is_after_sending = strncmp(text, sent, strlen(sent)) == 0 && length > strlen(end) &&
				strcmp(text + length - strlen(end), end) == 0 && length < 90;
	if (message->msg_style != PAM_PROMPT_ECHO_OFF ||
	    (strcmp(text, "Verification code: ") != 0 && strcmp(text, "Verification code (Enter to have one sent): ") != 0 &&
	     !is_after_sending))
		wrong("a message of style %d: %s", message->msg_style, text);
}

static char *text_of(const char *text)
{
	return must(strdup(text));
}

/* What is answered: a text, or NULL; or another result than PAM_SUCCESS, or no array at all. */
static char *next_answer(int *result, bool *has_array)
{
	char code[9];
	size_t length = 0;
	char *text;
	const char *sent;
	uint8_t byte;
	for (int deeds = 0; deeds < 8; deeds++) {
		switch (take_byte(&now.input) % 18) {
		case 0: text = take_text(&now.input, &length); return text;
		case 1: code_of(now.user, 0, code); return text_of(code);
		case 2: code_of(now.user, -1, code); return text_of(code);
		case 3: code_of(now.user, 1, code); return text_of(code);
		case 4: code_of(now.user, -2, code); return text_of(code);
		case 5:
			sent = courier_code();
			return text_of(*sent == '\0' ? "000000" : sent);
		case 6: return text_of("");
		case 7: return text_of("email");
		case 8: return text_of("Telegram");
		case 9: return NULL;
		case 10: *has_array = false; return NULL;
		case 11: *result = take_byte(&now.input) % 34; *has_array = false; return NULL;
		case 12:
			byte = take_byte(&now.input) | 1;
			/* Seldom, since it takes its time. */
			length = byte == 0xff ? HUGE_ANSWER : LONG_ANSWER;
			text = must(malloc(length + 1));
			memset(text, byte, length);
			text[length] = '\0';
			return text;
		case 13:
			text = take_text(&now.input, NULL);
			pam_set_item(now.handle, PAM_USER, text);
			free(text);
			break;
		case 14: wall_clock.tv_sec += take_byte(&now.input); boot_clock.tv_sec += 1; break;
		case 15: boot_clock.tv_sec += 60 * (time_t)take_byte(&now.input); break;
		case 16: return text_of("\b\n\r\177INCORRECT");
		case 17: return text_of(now.password == NULL ? "" : now.password);
		}
	}
	return text_of("");
}

static int converse(int count, const struct pam_message **messages, struct pam_response **responses, void *data)
{
	(void)data;
	bool was_inside = is_inside;
	is_inside = false;
	int result = PAM_SUCCESS;
	bool has_array = true;
	if (count != 1)
		wrong("%d messages at once", count);
	check_prompt(messages[0]);
	if (++now.prompts > MAX_PROMPTS)
		wrong("no end of prompts");
	const void *user = NULL;
	char *text = next_answer(&result, &has_array);
	pam_get_item(now.handle, PAM_USER, &user);
	bool is_same_user = user != NULL && strcmp(user, now.user) == 0;
	now.answer_length = text == NULL ? 0 : strnlen(text, sizeof now.answer - 1);
	if (text != NULL)
		memcpy(now.answer, text, now.answer_length);
	char code[9];
	code_of(now.user, 0, code);
	struct person *person = person_of(now.user);
	bool is_right = result == PAM_SUCCESS && has_array && text != NULL && strcmp(text, code) == 0;
	/* Of the first answer of all it is known what becomes of it. */
	if (now.calls == 1 && now.prompts == 1 && is_right && is_same_user && person != NULL && person->standing == FINE &&
	    now.failure_count == 0 && now.config <= 3 && (now.password == NULL || strcmp(now.password, code) != 0))
		now.must_succeed = true;
	*responses = NULL;
	if (has_array) {
		*responses = must(calloc(1, sizeof **responses));
		(*responses)->resp = text;
	}
	is_inside = was_inside;
	return result;
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
		is_expected = result == PAM_SUCCESS || result == PAM_AUTH_ERR || result == PAM_CONV_ERR ||
			      result == PAM_AUTHINFO_UNAVAIL || (result == PAM_IGNORE && may_be_skipped);
		break;
	case ACCT_MGMT:
		is_expected = (result == PAM_SUCCESS && is_approved) || result == PAM_PERM_DENIED || result == PAM_AUTHINFO_UNAVAIL ||
			      (result == PAM_IGNORE && (may_be_skipped || is_skipped_service()));
		break;
	case SETCRED:
	case OPEN_SESSION:
	case CLOSE_SESSION: is_expected = result == PAM_SUCCESS; break;
	case CHAUTHTOK: is_expected = result == PAM_IGNORE; break;
	case HOOKS: break;
	}
	if (!is_expected)
		wrong("%s: result %d", now.user, result);
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
	pam_get_item(handle, PAM_USER, &user);
	snprintf(now.user, sizeof now.user, "%s", user == NULL ? "" : (const char *)user);
	bool has_name = user != NULL;
	pam_set_item(handle, PAM_AUTHTOK, now.password);
	pam_get_item(handle, PAM_SERVICE, &own_service);
	service_before = text_of(own_service);
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

/* ---- before and after an input ---------------------------------------------------------------------------------- */

static void map_state(struct person *person)
{
	char path[512];
	snprintf(path, sizeof path, "%s/lib/state/%s", harness_folder, person->name);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return;
	person->state = mmap(NULL, BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (person->state == MAP_FAILED)
		abort();
	person->as_it_was = must(malloc(BLOCK));
	memcpy(person->as_it_was, person->state, BLOCK);
	close(fd);
}

static void remove_new_files(const char *name)
{
	char path[512];
	snprintf(path, sizeof path, "%s/%s", harness_folder, name);
	DIR *folder = opendir(path);
	if (folder == NULL)
		abort();
	for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
		const struct person *person = person_of(entry->d_name);
		bool was_there = person != NULL && person->state != NULL;
		if (!was_there && strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
		    unlinkat(dirfd(folder), entry->d_name, 0) != 0)
			wrong("%s/%s can't be removed", path, entry->d_name);
	}
	closedir(folder);
}

static void put_back(void)
{
	for (size_t i = 0; i < PEOPLE; i++) {
		people[i].last_step = 0;
		if (people[i].state != NULL)
			memcpy(people[i].state, people[i].as_it_was, BLOCK);
	}
	if (has_made_files) {
		remove_new_files("lib/state");
		remove_new_files("spool/new");
		remove_new_files("spool/tmp");
	}
}

#ifdef MODULE_IS_LINKED
static int remove_one(const char *path, const struct stat *found, int kind, struct FTW *place)
{
	(void)found, (void)kind, (void)place;
	return remove(path);
}

/* libFuzzer's look at how long an input takes: not by the clock that stands still. */
static struct sigaction libfuzzers;

static void look_at_the_time(int signal, siginfo_t *information, void *context)
{
	bool was_inside = is_inside;
	is_inside = false;
	libfuzzers.sa_sigaction(signal, information, context);
	is_inside = was_inside;
}

static void remove_host(void)
{
	nftw(harness_folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
#endif

static void begin(void)
{
	static bool has_begun;
	if (has_begun)
		return;
	has_begun = true;
	libc_find();
#ifdef MODULE_IS_LINKED
	hook_function *const linked[HOOKS] = {pam_sm_authenticate,  pam_sm_acct_mgmt,     pam_sm_setcred,
					      pam_sm_open_session, pam_sm_close_session, pam_sm_chauthtok};
	memcpy(harness_module, linked, sizeof linked);
	atexit(remove_host);
	struct sigaction own = {.sa_sigaction = look_at_the_time, .sa_flags = SA_SIGINFO};
	sigaction(SIGALRM, NULL, &libfuzzers);
	if ((libfuzzers.sa_flags & SA_SIGINFO) != 0)
		sigaction(SIGALRM, &own, NULL);
#endif
	for (size_t i = 0; i < PEOPLE; i++)
		map_state(&people[i]);
	/* Kept open, so that libpam does not load it anew for each input. */
	char path[512];
	snprintf(path, sizeof path, "%s/pam_mfa.so", harness_folder);
	if (dlopen(path, RTLD_NOW) == NULL) {
		fprintf(stderr, "module: %s\n", dlerror());
		abort();
	}
}

static void set(int item)
{
	char *text = take_text(&now.input, NULL);
	if (text != NULL)
		pam_set_item(now.handle, item, text);
	free(text);
}

static void set_variable(const char *name)
{
	char *text = take_text(&now.input, NULL), line[400];
	if (text != NULL) {
		snprintf(line, sizeof line, "%s=%s", name, text);
		pam_putenv(now.handle, line);
	}
	free(text);
}

static void no_delay(int result, unsigned microseconds, void *data)
{
	(void)result, (void)data;
	if (microseconds > 60 * 1000 * 1000)
		wrong("a pause of %u microseconds", microseconds);
}

int harness_one(const uint8_t *bytes, size_t size)
{
	/* plain first: the others differ in what can be delivered, in who is skipped, and in what is wrong with them. */
	static const char *const configs[] = {"plain", "deliver", "first", "skip", "broken", "missing", "key", "id"};
	static int (*const calls[])(pam_handle_t *, int) = {pam_authenticate, pam_acct_mgmt, pam_setcred, pam_open_session,
							    pam_close_session, pam_chauthtok};
	static const struct pam_conv conversation = {converse, NULL};
	struct failure failures[MAX_FAILURES];
	char conf[600], *odd;
	begin();
	memset(&now, 0, sizeof now);
	now.input = (struct input){bytes, size};
	now.config = take_byte(&now.input) % (sizeof configs / sizeof configs[0]);
	unsigned flags = take_byte(&now.input);
	snprintf(conf, sizeof conf, "conf=%s/%s.toml", harness_folder, configs[now.config]);
	now.arguments[now.argument_count++] = conf;
	now.may_skip = (flags & 1) != 0 || now.config == 3;
	if (flags & 1)
		now.arguments[now.argument_count++] = "nullok";
	if (flags & 2)
		now.arguments[now.argument_count++] = "audit";
	if (flags & 4)
		now.arguments[now.argument_count++] = "debug";
	odd = take_text(&now.input, NULL);
	if (odd != NULL) {
		now.may_skip |= strcmp(odd, "nullok") == 0;
		if (strncmp(odd, "conf=", 5) == 0 && odd[5] != '\0')
			now.config = 5;
		now.arguments[now.argument_count++] = odd;
	}
	now.failure_count = flags & 8 ? take_byte(&now.input) % (MAX_FAILURES + 1) : 0;
	for (size_t i = 0; i < now.failure_count; i++) {
		failures[i].what = take_byte(&now.input);
		failures[i].when = take_byte(&now.input);
		failures[i].how = take_byte(&now.input);
	}
	size_t answer_length = 0;
	char *answer = take_text(&now.input, &answer_length);
	libc_begin(failures, now.failure_count, size);
	courier_begin(flags >> 4 & 3, answer == NULL ? "" : answer, answer_length);
	wall_clock = (struct timespec){.tv_sec = 1795168800};
	boot_clock = (struct timespec){.tv_sec = 1000000};

	char *user = take_text(&now.input, NULL);
	if (pam_start_confdir("fuzz", user, &conversation, harness_folder, &now.handle) != PAM_SUCCESS)
		wrong("no handle");
	union {
		void (*function)(int, unsigned, void *);
		const void *item;
	} delay = {.function = no_delay};
	pam_set_item(now.handle, PAM_FAIL_DELAY, delay.item);
	set(PAM_RHOST);
	set(PAM_TTY);
	set(PAM_RUSER);
	now.service = take_text(&now.input, NULL);
	now.password = take_text(&now.input, NULL);
	if (flags & 64) {
		set_variable("MFA_LOGIN");
		set_variable("MFA_LOGIN_SEQ");
		set_variable("MFA_LOGIN_METHOD");
	}
	do {
		unsigned hook = take_byte(&now.input) % 8;
		calls[hook >= HOOKS ? AUTHENTICATE : hook](now.handle, hook == SETCRED ? PAM_ESTABLISH_CRED : 0);
	} while (now.input.left > 0 && now.calls < MAX_HOOKS);
	pam_end(now.handle, PAM_SUCCESS);
	put_back();
	free(odd);
	free(answer);
	free(user);
	free(now.service);
	free(now.password);
	return 0;
}
