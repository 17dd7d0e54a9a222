/*
 * pam_bench: logins with a stopwatch. One process, as a daemon that lives long; pam_end unloads a module, and the next
 * login loads it anew, unless it is linked with -z nodelete. tests/src/bin/bench drives it, on a host whose /dev/log is
 * drained.
 *
 *   pam_bench CONFDIR                            commands from standard input, one answer line each:
 *       login SERVICE USER CODE [SAVED FILE]     before the clock starts, SAVED is written over FILE, in place; a CODE of
 *                                                two words with a comma between them: the first answers the first prompt
 *                                                -> RESULT A B C   A: nanoseconds of pam_authenticate alone; B: of the
 *                                                   whole login, pam_start_confdir to pam_end; C: of A, how long this
 *                                                   process was on a CPU
 *       marked SERVICE USER CODE [SAVED FILE]    the same for strace: access(2) of /bench/began before the login,
 *                                                /bench/called and /bench/returned around pam_authenticate, and
 *                                                /bench/ended after it
 *       prompt SERVICE USER [PAUSE]              Enter at the first prompt, hangs up at the second
 *                                                -> RESULT A B   A: nanoseconds until the first prompt; B: from Enter
 *                                                   to the second. With a pause in milliseconds, Enter at the second
 *                                                   prompt too, so much later, then hangs up; B: from there to the third
 *       floor FILE                               -> 0 A A C      2048 bytes in place and fdatasync
 *       usage                                    what this process has used until now
 *                                                -> FAULTS RSS PRIVATE HEAP   page faults; bytes in memory, of these its
 *                                                   own alone; bytes allocated
 *   pam_bench --at-once CONFDIR SERVICE PROCESSES USERS CODE[,CODE…]
 *                                                processes that begin together, each with a share of the users c1 to
 *                                                cUSERS, who log in once with every code; SERVICE `floor:FOLDER` writes
 *                                                instead, to a file of each process's own
 *                                                -> ACCEPTED A B C   A: nanoseconds until the last had ended; B, C: of
 *                                                   one that was accepted, from pam_start_confdir to pam_end, median and
 *                                                   95th of 100
 *   pam_bench --once CONFDIR SERVICE USER CODE   one login, for the time of a whole process; exit 0 when let in
 *   pam_bench --dlopen MODULE                    -> 0 A A        in this fresh process
 *
 * Nobody sleeps for pam_fail_delay.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <malloc.h>
#include <security/pam_appl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern int pam_start_confdir(const char *, const char *, const struct pam_conv *, const char *, pam_handle_t **);

enum { SLOT = 2048 };

static const char *code;
/* What the next prompt is answered with, where that is not the code. */
static const char *before_code;
/* When prompts came, for `prompt`; and how many were answered with Enter. */
static long long prompted[3];
static int prompts, hangs_up, pause_ms;

static void die(const char *what)
{
	fprintf(stderr, "pam_bench: %s: %m\n", what);
	_exit(2);
}

static long long read_clock(clockid_t clock)
{
	struct timespec time;
	clock_gettime(clock, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static long long now(void)
{
	return read_clock(CLOCK_MONOTONIC_RAW);
}

static int converse(int count, const struct pam_message **messages, struct pam_response **responses, void *data)
{
	(void)data;
	if (hangs_up) {
		prompted[prompts] = now();
		if (prompts == (pause_ms > 0 ? 2 : 1))
			return PAM_CONV_ERR;
		if (prompts++ == 1) {
			usleep((useconds_t)pause_ms * 1000);
			prompted[1] = now();
		}
	}
	struct pam_response *replies = calloc((size_t)count, sizeof *replies);
	if (replies == NULL)
		return PAM_BUF_ERR;
	for (int i = 0; i < count; i++)
		if (messages[i]->msg_style == PAM_PROMPT_ECHO_OFF || messages[i]->msg_style == PAM_PROMPT_ECHO_ON)
			replies[i].resp = strdup(before_code == NULL ? code : before_code);
	before_code = NULL;
	*responses = replies;
	return PAM_SUCCESS;
}

static void no_delay(int result, unsigned microseconds, void *data)
{
	(void)result, (void)microseconds, (void)data;
}

static pam_handle_t *start(const char *confdir, const char *service, const char *user)
{
	static const struct pam_conv conversation = {converse, NULL};
	union {
		void (*function)(int, unsigned, void *);
		const void *item;
	} delay = {.function = no_delay};
	pam_handle_t *handle = NULL;
	if (pam_start_confdir(service, user, &conversation, confdir, &handle) != PAM_SUCCESS)
		die(service);
	pam_set_item(handle, PAM_FAIL_DELAY, delay.item);
	pam_set_item(handle, PAM_RHOST, "203.0.113.7");
	pam_set_item(handle, PAM_TTY, "ssh");
	return handle;
}

/* In place: the file under test keeps its inode and its blocks. Synced, so that this write is not timed. */
static void restore(const char *saved, const char *file)
{
	static char content[1 << 23];
	int from = open(saved, O_RDONLY | O_CLOEXEC), to = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (from < 0 || to < 0)
		die(file);
	ssize_t length = read(from, content, sizeof content);
	if (length < 0 || pwrite(to, content, (size_t)length, 0) != length || ftruncate(to, length) != 0 || fdatasync(to) != 0)
		die(file);
	close(from);
	close(to);
}

/* A line in what strace writes. */
static void mark(int is_marked, const char *path)
{
	if (is_marked && access(path, F_OK) == 0)
		die(path);
}

static void login(const char *confdir, const char *service, const char *user, char *answer, int is_marked)
{
	char *comma = strchr(answer, ',');
	code = comma == NULL ? answer : comma + 1;
	if (comma != NULL) {
		*comma = '\0';
		before_code = answer;
	}
	mark(is_marked, "/bench/began");
	long long first = now();
	pam_handle_t *handle = start(confdir, service, user);
	mark(is_marked, "/bench/called");
	/* The clock of the CPU is read by a system call, so outside of what the other one times. */
	long long cpu_before = read_clock(CLOCK_THREAD_CPUTIME_ID), before = now();
	int result = pam_authenticate(handle, 0);
	long long after = now(), cpu_after = read_clock(CLOCK_THREAD_CPUTIME_ID);
	mark(is_marked, "/bench/returned");
	pam_end(handle, result);
	long long last = now();
	mark(is_marked, "/bench/ended");
	before_code = NULL;
	printf("%d %lld %lld %lld\n", result, after - before, last - first, cpu_after - cpu_before);
}

static void prompt(const char *confdir, const char *service, const char *user, int pause)
{
	prompts = 0;
	pause_ms = pause;
	hangs_up = 1;
	code = "";
	pam_handle_t *handle = start(confdir, service, user);
	long long before = now();
	int result = pam_authenticate(handle, 0);
	hangs_up = 0;
	pam_end(handle, result);
	if (prompts != (pause > 0 ? 2 : 1))
		die("one prompt and another");
	/* Enter is pressed the moment a prompt is there, or after the pause. */
	printf("%d %lld %lld\n", result, prompted[0] - before, prompted[prompts] - prompted[prompts - 1]);
}

/* In place: file, 4096 bytes, made where it is missing. */
static int open_floor(const char *path)
{
	static const char slot[SLOT];
	int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (file < 0 || pwrite(file, slot, SLOT, 0) != SLOT || pwrite(file, slot, SLOT, SLOT) != SLOT || fsync(file) != 0)
		die(path);
	return file;
}

static void write_floor(int file, int turn)
{
	static char slot[SLOT];
	memset(slot, turn + 1, SLOT);
	if (pwrite(file, slot, SLOT, turn % 2 * SLOT) != SLOT || fdatasync(file) != 0)
		die("floor");
}

static void time_floor(const char *path)
{
	static int file = -1, turn;
	if (file < 0)
		file = open_floor(path);
	long long cpu_before = read_clock(CLOCK_THREAD_CPUTIME_ID), before = now();
	write_floor(file, turn++);
	long long after = now(), cpu_after = read_clock(CLOCK_THREAD_CPUTIME_ID);
	printf("0 %lld %lld %lld\n", after - before, after - before, cpu_after - cpu_before);
}

static void tell_usage(void)
{
	struct rusage usage;
	long long rss = 0, private = 0, value;
	char line[256];
	struct mallinfo2 heap = mallinfo2();
	getrusage(RUSAGE_SELF, &usage);
	FILE *file = fopen("/proc/self/smaps_rollup", "re");
	if (file == NULL)
		die("/proc/self/smaps_rollup");
	while (fgets(line, sizeof line, file) != NULL) {
		if (sscanf(line, "Rss: %lld kB", &value) == 1)
			rss = value * 1024;
		if (sscanf(line, "Private_Clean: %lld kB", &value) == 1 || sscanf(line, "Private_Dirty: %lld kB", &value) == 1)
			private += value * 1024;
	}
	fclose(file);
	printf("%ld %lld %lld %zu\n", usage.ru_minflt + usage.ru_majflt, rss, private, heap.uordblks + heap.hblkhd);
}

static int compare(const void *one, const void *other)
{
	long long first = *(const long long *)one, second = *(const long long *)other;
	return (first > second) - (first < second);
}

/* One process's share, and how many of its logins were accepted. With a file `floor` it is written instead. */
static int log_in_share(const char *confdir, const char *service, int first, int last, char **codes, int floor, long long *times)
{
	int accepted = 0;
	char user[32];
	for (; *codes != NULL; codes++)
		for (int number = first; number < last; number++) {
			int result = PAM_SUCCESS;
			long long before = now();
			if (floor >= 0)
				write_floor(floor, number);
			else {
				code = *codes;
				snprintf(user, sizeof user, "c%d", number + 1);
				pam_handle_t *handle = start(confdir, service, user);
				result = pam_authenticate(handle, 0);
				pam_end(handle, result);
			}
			/* One place for each login; nought for those that were refused. */
			*times++ = result == PAM_SUCCESS ? now() - before : 0;
			accepted += result == PAM_SUCCESS;
		}
	return accepted;
}

static int log_in_at_once(const char *confdir, const char *service, int processes, int users, char *list)
{
	char *codes[9] = {NULL}, *rest = NULL;
	int turns = 0, begin[2], accepted = 0, ended;
	for (char *word = strtok_r(list, ",", &rest); word != NULL && turns < 8; word = strtok_r(NULL, ",", &rest))
		codes[turns++] = word;
	size_t count = (size_t)users * (size_t)turns;
	size_t length = count * sizeof(long long) + (size_t)processes * sizeof(int);
	long long *times = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (times == MAP_FAILED || pipe(begin) != 0 || processes < 1 || users % processes != 0)
		die("at once");
	int share = users / processes, *counts = (int *)(times + count);
	for (int number = 0; number < processes; number++) {
		pid_t child = fork();
		if (child < 0)
			die("fork");
		if (child == 0) {
			char byte, path[4096];
			int floor = -1, first = number * share;
			if (strncmp(service, "floor:", 6) == 0) {
				snprintf(path, sizeof path, "%s/%d", service + 6, number);
				floor = open_floor(path);
			}
			close(begin[1]);
			/* All begin when the other end is closed. */
			if (read(begin[0], &byte, 1) != 0)
				die("pipe");
			counts[number] = log_in_share(confdir, service, first, first + share, codes, floor, times + first * turns);
			_exit(0);
		}
	}
	close(begin[0]);
	/* Time for the last of them to come to its read. */
	usleep(50000);
	long long before = now();
	close(begin[1]);
	for (int number = 0; number < processes; number++)
		if (wait(&ended) < 0 || ended != 0)
			die("a login that ended badly");
	long long after = now();
	for (int number = 0; number < processes; number++)
		accepted += counts[number];
	qsort(times, count, sizeof *times, compare);
	/* The noughts come first. */
	const long long *taken = times + count - (size_t)accepted;
	if (accepted == 0)
		die("nobody was let in");
	printf("%d %lld %lld %lld\n", accepted, after - before, taken[accepted / 2], taken[accepted * 95 / 100]);
	return 0;
}

int main(int argc, char **argv)
{
	static char line[8192];
	if (argc == 3 && strcmp(argv[1], "--dlopen") == 0) {
		long long before = now();
		void *module = dlopen(argv[2], RTLD_NOW);
		long long after = now();
		if (module == NULL) {
			fprintf(stderr, "pam_bench: %s\n", dlerror());
			return 2;
		}
		printf("0 %lld %lld\n", after - before, after - before);
		return 0;
	}
	if (argc == 6 && strcmp(argv[1], "--once") == 0) {
		pam_handle_t *handle = start(argv[2], argv[3], argv[4]);
		code = argv[5];
		int result = pam_authenticate(handle, 0);
		pam_end(handle, result);
		return result == PAM_SUCCESS ? 0 : 1;
	}
	if (argc == 7 && strcmp(argv[1], "--at-once") == 0)
		return log_in_at_once(argv[2], argv[3], atoi(argv[4]), atoi(argv[5]), argv[6]);
	if (argc != 2) {
		fprintf(stderr, "usage: pam_bench CONFDIR\n");
		return 2;
	}
	while (fgets(line, sizeof line, stdin) != NULL) {
		char *words[6] = {NULL}, *rest = NULL;
		int count = 0;
		for (char *word = strtok_r(line, " \n", &rest); word != NULL && count < 6; word = strtok_r(NULL, " \n", &rest))
			words[count++] = word;
		int is_marked = count > 0 && strcmp(words[0], "marked") == 0;
		if ((count == 4 || count == 6) && (is_marked || strcmp(words[0], "login") == 0)) {
			if (count == 6)
				restore(words[4], words[5]);
			login(argv[1], words[1], words[2], words[3], is_marked);
		} else if ((count == 3 || count == 4) && strcmp(words[0], "prompt") == 0)
			prompt(argv[1], words[1], words[2], count == 4 ? atoi(words[3]) : 0);
		else if (count == 2 && strcmp(words[0], "floor") == 0)
			time_floor(words[1]);
		else if (count == 1 && strcmp(words[0], "usage") == 0)
			tell_usage();
		else
			die("no such command");
		fflush(stdout);
	}
	return 0;
}
