/*
 * strike: runs a command and fails one of its system calls, or kills it there. What strace -e inject can't do: it counts
 * the calls of each thread apart, and can't say of which.
 *
 *   strike FILE TRACEE CALL NTH BLOW COMMAND [ARGUMENT...]
 *
 * TRACEE is 1 for the command, 2 for the first thread or process that is started, and so on; CALL is the number of a system call
 * (strace -n shows it), NTH counts that one's calls of it from 1, after execve(2). BLOW: `kill` (SIGKILL to the process before
 * the call is made), an error's number (the call is not made, and fails with it), or one with a `+` (so do all calls of that number
 * that follow, anybody's). FILE then says `struck`.
 *
 * Exit: the command's own; 128 and the signal where one ended it; 2 usage.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 512 };

static struct tracee {
	pid_t pid;
	long count;
	/* The call that it is in is not made, and answers this. */
	bool is_struck;
	long result;
	/* The SIGSTOP with which it begins has come. */
	bool has_begun;
} tracees[MOST];
static int known;

static struct tracee *tracee_of(pid_t pid)
{
	for (int i = 0; i < known; i++)
		if (tracees[i].pid == pid)
			return &tracees[i];
	if (known == MOST)
		_exit(2);
	tracees[known].pid = pid;
	return &tracees[known++];
}

/* Has the kernel look for a call that there is none of. */
static void prevent(pid_t pid)
{
#ifdef __x86_64__
	struct user_regs_struct registers;
	ptrace(PTRACE_GETREGS, pid, NULL, &registers);
	registers.orig_rax = (unsigned long long)-1;
	ptrace(PTRACE_SETREGS, pid, NULL, &registers);
#elif defined __aarch64__
	int none = -1;
	struct iovec place = {&none, sizeof none};
	ptrace(PTRACE_SETREGSET, pid, NT_ARM_SYSTEM_CALL, &place);
#else
#error "write down how a system call is prevented here"
#endif
}

static void answer(pid_t pid, long result)
{
#ifdef __x86_64__
	struct user_regs_struct registers;
	ptrace(PTRACE_GETREGS, pid, NULL, &registers);
	registers.rax = (unsigned long long)result;
	ptrace(PTRACE_SETREGS, pid, NULL, &registers);
#elif defined __aarch64__
	struct user_regs_struct registers;
	struct iovec place = {&registers, sizeof registers};
	ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &place);
	registers.regs[0] = (unsigned long long)result;
	ptrace(PTRACE_SETREGSET, pid, NT_PRSTATUS, &place);
#endif
}

int main(int argc, char **argv)
{
	if (argc < 7)
		return 2;
	const char *file = argv[1];
	int chosen = atoi(argv[2]) - 1;
	long wanted = atol(argv[3]), nth = atol(argv[4]);
	bool kills = strcmp(argv[5], "kill") == 0, goes_on = strchr(argv[5], '+') != NULL, is_lasting = false;
	long error = kills ? 0 : atol(argv[5]);
	pid_t child = fork();
	if (child == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		execvp(argv[6], argv + 6);
		_exit(2);
	}
	int status, end = 2;
	if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status))
		return 2;
	tracee_of(child)->has_begun = true;
	ptrace(PTRACE_SETOPTIONS, child, NULL,
	       PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC |
		       PTRACE_O_EXITKILL);
	/* Up to its execve. */
	bool has_execed = false;
	ptrace(PTRACE_CONT, child, NULL, NULL);
	for (pid_t pid; (pid = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR;) {
		if (pid < 0)
			continue;
		struct tracee *tracee = tracee_of(pid);
		if (!WIFSTOPPED(status)) {
			if (pid == child)
				end = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
			continue;
		}
		int stop = WSTOPSIG(status), pass = 0, event = status >> 16;
		if (event != 0) {
			has_execed |= event == PTRACE_EVENT_EXEC;
			unsigned long started = 0;
			bool starts = event == PTRACE_EVENT_CLONE || event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK;
			if (starts && ptrace(PTRACE_GETEVENTMSG, pid, NULL, &started) == 0)
				tracee_of((pid_t)started);
		} else if (stop == (SIGTRAP | 0x80)) {
			struct __ptrace_syscall_info info = {0};
			ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info);
			long call = (long)info.entry.nr;
			if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
				bool is_here = tracee - tracees == chosen && call == wanted && ++tracee->count == nth;
				if (is_here) {
					FILE *told = fopen(file, "w");
					if (told == NULL || fputs("struck\n", told) < 0 || fclose(told) != 0)
						_exit(2);
					is_lasting = goes_on;
				}
				if (is_here && kills) {
					kill(child, SIGKILL);
				} else if (is_here || (is_lasting && call == wanted)) {
					tracee->is_struck = true;
					prevent(pid);
					/* brk(2) never says why: it answers with an end of memory. */
					tracee->result = call == SYS_brk ? 0 : -error;
				}
			} else if (info.op == PTRACE_SYSCALL_INFO_EXIT && tracee->is_struck) {
				tracee->is_struck = false;
				answer(pid, tracee->result);
			}
		} else if (stop == SIGSTOP && !tracee->has_begun) {
			tracee->has_begun = true;
		} else {
			pass = stop;
		}
		ptrace(has_execed ? PTRACE_SYSCALL : PTRACE_CONT, pid, NULL, pass);
	}
	return end;
}
