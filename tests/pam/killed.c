/*
 * killed: runs a command and kills it at a moment that is counted from a line of its output.
 *
 *   killed MICROSECONDS MARK COMMAND [ARGUMENT...]
 *
 * What the command writes on its standard output is passed on. So many microseconds after the first line that begins
 * with MARK it gets SIGKILL; with -1 it gets none. Last of all it says how many microseconds there were between the first
 * and the last line of those that begin with MARK: `TOOK MICROSECONDS`, or -1 where there were fewer than two.
 *
 * Exit: the command's own; 137 when it was killed; 2 usage.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

/* Whether one of the lines in a piece of output begins with the mark; the pieces are whole lines. */
static bool has_mark(const char *text, const char *mark)
{
	size_t length = strlen(mark);
	while (text != NULL && *text != '\0') {
		if (strncmp(text, mark, length) == 0)
			return true;
		text = strchr(text, '\n');
		text = text == NULL ? NULL : text + 1;
	}
	return false;
}

int main(int argc, char **argv)
{
	int ends[2];
	if (argc < 4 || pipe(ends) != 0)
		return 2;
	long long wait = atoll(argv[1]) * 1000, first = -1, last = -1, deadline = -1;
	const char *mark = argv[2];
	/* Else the kernel may let 50 microseconds more pass. */
	prctl(PR_SET_TIMERSLACK, 1);
	pid_t child = fork();
	if (child == 0) {
		dup2(ends[1], STDOUT_FILENO);
		close(ends[0]);
		close(ends[1]);
		execvp(argv[3], argv + 3);
		_exit(2);
	}
	close(ends[1]);
	for (;;) {
		struct pollfd output = {.fd = ends[0], .events = POLLIN};
		long long left = deadline < 0 ? -1 : deadline - now();
		if (deadline >= 0 && left < 0)
			left = 0;
		struct timespec patience = {left / 1000000000, left % 1000000000};
		int ready = ppoll(&output, 1, deadline < 0 ? NULL : &patience, NULL);
		if (ready < 0 && errno == EINTR)
			continue;
		if (ready == 0) {
			kill(child, SIGKILL);
			deadline = -1;
			continue;
		}
		char piece[65536];
		ssize_t got = read(ends[0], piece, sizeof piece - 1);
		if (got <= 0)
			break;
		piece[got] = '\0';
		if (has_mark(piece, mark)) {
			last = now();
			if (first < 0) {
				first = last;
				deadline = wait < 0 ? -1 : first + wait;
			}
		}
		if (write(STDOUT_FILENO, piece, (size_t)got) != got)
			return 2;
	}
	int status = 0;
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	printf("TOOK %lld\n", last > first ? (last - first) / 1000 : -1);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
