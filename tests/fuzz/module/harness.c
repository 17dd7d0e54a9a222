/*
 * One input: a configuration, arguments, items, calls of libc's that fail, and then calls of the module's hooks by libpam, with a
 * person who answers as the input says. Afterwards everything is as it was before.
 *
 * What must hold:
 * - Nobody is let in without a code that is right at that moment, and by one step of an app never twice; whom nothing stands
 *   in the way of is let in. With the argument passphrase nobody without the right one either, and nobody is skipped.
 * - A passphrase is changed by who knows the present one, to what was typed twice and the courier took, and by nobody else.
 * - A hook answers success, a refusal, a failed conversation or that something is unusable, and nothing else: PAM_IGNORE only
 *   where somebody may be skipped, PAM_ABORT never.
 * - Lines are one line of printable ASCII, of at most 900 bytes, without a passphrase; prompts are those that there are.
 * - Descriptors, signals, uids and children are as they were before each call.
 *
 * The bytes of an input, one after the other; a text is its length and one more (0: absent), then as many bytes.
 *   configuration (an index), flags (1 nullok, 2 audit, 4 debug, 8 calls fail, 16 and 32 what couriers do, 64 variables, 128
 *   passphrase)
 *   text: an argument of the module's · with flag 8: how many calls fail, then for each which, its number, and how (libc.c)
 *   texts: what couriers answer, PAM_USER, PAM_RHOST, PAM_TTY, PAM_RUSER, PAM_SERVICE, PAM_AUTHTOK
 *   with flag 64 three texts: MFA_LOGIN, MFA_LOGIN_SEQ, MFA_LOGIN_METHOD
 *   then hooks to be called, a byte each (6 and 7 are authenticate too), and behind each of them its answers (person.c)
 *
 * With MFA_FUZZ_SHOW in the environment lines for the log are shown.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <ftw.h>
#include <security/pam_appl.h>
#include <security/pam_modules.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"

extern int pam_start_confdir(const char *, const char *, const struct pam_conv *, const char *, pam_handle_t **);

/* Set before the first input. */
const char *harness_folder;
struct now now;

enum { MAX_HOOKS = 6, BLOCK = 4096 };

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

static void read_record(struct person *person)
{
	char path[512];
	snprintf(path, sizeof path, "%s/lib/users/%s.toml", harness_folder, person->name);
	FILE *file = fopen(path, "rbe");
	if (file == NULL)
		return;
	person->record = must(malloc(BLOCK));
	person->record_length = fread(person->record, 1, BLOCK, file);
	if (person->record_length == BLOCK)
		abort();
	fclose(file);
}

/* Whether a name in the store's folder is a record's. */
static bool is_record(const char *name)
{
	for (size_t i = 0; i < PEOPLE; i++) {
		size_t length = strlen(people[i].name);
		if (people[i].record != NULL && strncmp(name, people[i].name, length) == 0 && strcmp(name + length, ".toml") == 0)
			return true;
	}
	return false;
}

static void put_records_back(void)
{
	char path[512];
	for (size_t i = 0; i < PEOPLE; i++) {
		if (people[i].record == NULL)
			continue;
		snprintf(path, sizeof path, "%s/lib/users/%s.toml", harness_folder, people[i].name);
		FILE *file = fopen(path, "wbe");
		if (file == NULL || fwrite(people[i].record, 1, people[i].record_length, file) != people[i].record_length || fclose(file) != 0)
			abort();
	}
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
		bool was_there = (person != NULL && person->state != NULL) || is_record(entry->d_name);
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
	if (has_made_records) {
		put_records_back();
		remove_new_files("lib/users");
	}
	reset_passphrases();
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
	for (size_t i = 0; i < PEOPLE; i++) {
		map_state(&people[i]);
		read_record(&people[i]);
	}
	reset_passphrases();
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
	static const char *const configs[] = {"plain", "deliver", "first", "skip", "broken", "missing", "key", "id", "dear"};
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
	if (flags & 128)
		now.arguments[now.argument_count++] = "passphrase";
	now.asks_passphrase = (flags & 128) != 0;
	odd = take_text(&now.input, NULL);
	if (odd != NULL) {
		now.may_skip |= strcmp(odd, "nullok") == 0;
		now.asks_passphrase |= strcmp(odd, "passphrase") == 0;
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
	now.courier_names_passphrase = answer != NULL && strstr(answer, "passphrase of ") != NULL;
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
