/*
 * pam_leaks: one process in which people log in again and again, as in a daemon that lives long: pam_start_confdir, all hooks,
 * pam_end, which closes the module. It says what the process holds after the first rounds, and at the end.
 *
 *   pam_leaks CONFDIR SERVICE WARM ROUNDS     logins from standard input, a line each, taken in turn:
 *       USER RESULT SAVED FILE ANSWER...      before it begins, SAVED is written over FILE, in place ("-": not); RESULT is the
 *                                             number that pam_authenticate has to answer. ANSWER: text; `-`: nothing at all;
 *                                             `@PATH`: what that file says then; `!`: the conversation fails
 *   pam_leaks --forks N CONFDIR SERVICE       N processes, one after the other, each with the first login alone
 *
 * Output: a line `WHAT AFTER-WARM AT-THE-END` each for heap, rss (bytes), fds, threads, maps; then `rounds N`.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <malloc.h>
#include <security/pam_appl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern int pam_start_confdir(const char *, const char *, const struct pam_conv *, const char *, pam_handle_t **);

enum { LOGINS = 16, WORDS = 12 };

static char *logins[LOGINS][WORDS];
static char **answer;

static void die(const char *what)
{
	fprintf(stderr, "pam_leaks: %s: %m\n", what);
	_exit(2);
}

static char *text_of(const char *path)
{
	char text[256];
	int file = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length = file < 0 ? -1 : read(file, text, sizeof text - 1);
	if (length < 0)
		die(path);
	close(file);
	text[length] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return strdup(text);
}

static int converse(int count, const struct pam_message **messages, struct pam_response **responses, void *data)
{
	(void)data;
	(void)messages;
	if (*answer == NULL || strcmp(*answer, "!") == 0)
		return PAM_CONV_ERR;
	struct pam_response *replies = calloc((size_t)count, sizeof *replies);
	if (replies == NULL)
		return PAM_BUF_ERR;
	const char *word = *answer++;
	replies[0].resp = *word == '@' ? text_of(word + 1) : strdup(strcmp(word, "-") == 0 ? "" : word);
	*responses = replies;
	return PAM_SUCCESS;
}

static void no_delay(int result, unsigned microseconds, void *data)
{
	(void)result, (void)microseconds, (void)data;
}

static void restore(const char *saved, const char *file)
{
	static char content[1 << 16];
	int from = open(saved, O_RDONLY | O_CLOEXEC), to = open(file, O_WRONLY | O_CLOEXEC);
	ssize_t length = from < 0 ? -1 : read(from, content, sizeof content);
	if (length < 0 || to < 0 || pwrite(to, content, (size_t)length, 0) != length)
		die(file);
	close(from);
	close(to);
}

static void login(const char *confdir, const char *service, char **words)
{
	static const struct pam_conv conversation = {converse, NULL};
	union {
		void (*function)(int, unsigned, void *);
		const void *item;
	} delay = {.function = no_delay};
	pam_handle_t *handle = NULL;
	if (strcmp(words[2], "-") != 0)
		restore(words[2], words[3]);
	answer = words + 4;
	if (pam_start_confdir(service, words[0], &conversation, confdir, &handle) != PAM_SUCCESS)
		die(service);
	pam_set_item(handle, PAM_FAIL_DELAY, delay.item);
	pam_set_item(handle, PAM_RHOST, "203.0.113.7");
	int result = pam_authenticate(handle, 0);
	if (result != atoi(words[1])) {
		fprintf(stderr, "pam_leaks: %s: %d in the place of %s\n", words[0], result, words[1]);
		_exit(3);
	}
	pam_setcred(handle, PAM_ESTABLISH_CRED);
	pam_acct_mgmt(handle, 0);
	pam_open_session(handle, 0);
	pam_close_session(handle, 0);
	pam_chauthtok(handle, 0);
	pam_end(handle, result);
}

static size_t entries(const char *path)
{
	DIR *folder = opendir(path);
	size_t count = 0;
	for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;)
		count += entry->d_name[0] != '.';
	closedir(folder);
	return count;
}

static size_t lines(const char *path)
{
	FILE *file = fopen(path, "re");
	size_t count = 0;
	for (int c; file != NULL && (c = fgetc(file)) != EOF;)
		count += c == '\n';
	fclose(file);
	return count;
}

static size_t resident(void)
{
	size_t all, pages;
	FILE *file = fopen("/proc/self/statm", "re");
	if (file == NULL || fscanf(file, "%zu %zu", &all, &pages) != 2)
		die("/proc/self/statm");
	fclose(file);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

struct measure {
	size_t heap, rss, fds, threads, maps;
};

static struct measure measure(void)
{
	struct mallinfo2 heap = mallinfo2();
	return (struct measure){
		.heap = heap.uordblks + heap.hblkhd,
		.rss = resident(),
		.fds = entries("/proc/self/fd"),
		.threads = entries("/proc/self/task"),
		.maps = lines("/proc/self/maps"),
	};
}

static int read_logins(void)
{
	static char line[4096];
	int count = 0;
	while (count < LOGINS && fgets(line, sizeof line, stdin) != NULL) {
		char *rest = NULL;
		int words = 0;
		for (char *word = strtok_r(line, " \n", &rest); word != NULL && words < WORDS - 1; word = strtok_r(NULL, " \n", &rest))
			logins[count][words++] = strdup(word);
		if (words < 4)
			die("USER RESULT SAVED FILE ANSWER...");
		count++;
	}
	return count;
}

int main(int argc, char **argv)
{
	int count = read_logins();
	if (argc == 5 && strcmp(argv[1], "--forks") == 0 && count > 0) {
		for (int round = 0; round < atoi(argv[2]); round++) {
			pid_t child = fork();
			int status = -1;
			if (child == 0) {
				login(argv[3], argv[4], logins[0]);
				_exit(0);
			}
			if (waitpid(child, &status, 0) != child || status != 0)
				die("a child");
		}
		return 0;
	}
	if (argc != 5 || count == 0) {
		fprintf(stderr, "usage: pam_leaks CONFDIR SERVICE WARM ROUNDS\n");
		return 2;
	}
	int warm = atoi(argv[3]), rounds = atoi(argv[4]);
	/* What is free is to count as free: not kept back in bins of its own. The rest of that stands in GLIBC_TUNABLES. */
	mallopt(M_MXFAST, 0);
	struct measure before = measure(), after;
	for (int round = 0; round < rounds; round++) {
		if (round == warm)
			before = measure();
		login(argv[1], argv[2], logins[round % count]);
	}
	after = measure();
	printf("heap %zu %zu\nrss %zu %zu\nfds %zu %zu\nthreads %zu %zu\nmaps %zu %zu\nrounds %d\n", before.heap, after.heap, before.rss,
	       after.rss, before.fds, after.fds, before.threads, after.threads, before.maps, after.maps, rounds);
	return 0;
}
