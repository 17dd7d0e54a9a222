/*
 * pam_vandal: a module that leaves its host as no module should, in the one way that its argument names. It shows that
 * pam_host --check would notice.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <grp.h>
#include <locale.h>
#include <pthread.h>
#include <sched.h>
#include <security/pam_modules.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

static void nothing(int number)
{
	(void)number;
}

static void *wait_for_ever(void *unused)
{
	pause();
	return unused;
}

static void leave_child(void)
{
	if (fork() == 0)
		_exit(0);
}

static void leave_thread(void)
{
	static pthread_t thread;
	pthread_create(&thread, NULL, wait_for_ever, NULL);
}

static void block_signal(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

static void leave_pending(void)
{
	block_signal();
	raise(SIGUSR1);
}

static void change_mask_of_handler(void)
{
	struct sigaction action;
	sigaction(SIGCHLD, NULL, &action);
	sigaddset(&action.sa_mask, SIGUSR2);
	sigaction(SIGCHLD, &action, NULL);
}

static void set_limit(void)
{
	struct rlimit limit;
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur--;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static void set_alarm(void) { alarm(1000); }

static void set_timer(void)
{
	timer_t timer;
	timer_create(CLOCK_MONOTONIC, NULL, &timer);
}

static void read_on(void)
{
	static char byte;
	int file = open("/proc/self/fd/9", O_RDONLY);
	(void)file;
	if (read(9, &byte, 1) < 0)
		abort();
	close(file);
}

static void set_affinity(void)
{
	cpu_set_t cpus;
	CPU_ZERO(&cpus);
	CPU_SET(sched_getcpu(), &cpus);
	sched_setaffinity(0, sizeof cpus, &cpus);
}

static void set_signal_stack(void)
{
	static char memory[65536];
	stack_t stack = {.ss_sp = memory, .ss_size = sizeof memory};
	sigaltstack(&stack, NULL);
}

static void lock_memory(void)
{
	static char memory[8192];
	mlock(memory, sizeof memory);
}

static void copy_variable(void)
{
	/* The same text elsewhere. */
	static char text[] = "SHELL=/bin/sh";
	putenv(text);
}

/* By way of pointers, so that the compiler does not see through it. */
static void *(*volatile take)(size_t) = malloc;
static void (*volatile give_back)(void *) = free;

static void lose_memory(void)
{
	*(volatile char *)take(100) = 1;
}

static void read_freed(void)
{
	volatile char *memory = take(100);
	memory[50] = 1;
	give_back((void *)memory);
	if (memory[50] == 7)
		puts("seven");
}

int pam_sm_open_session(pam_handle_t *handle, int flags, int argc, const char **argv)
{
	static const gid_t groups[] = {7};
	const char *what = argc > 0 ? argv[0] : "";
	(void)handle, (void)flags;
#define IF(name, deed) else if (strcmp(what, name) == 0) { deed; }
	if (strcmp(what, "nothing") == 0) {
	}
	IF("umask", umask(077))
	IF("uid", if (setresuid(-1, -1, 1) != 0) abort())
	IF("fsuid", syscall(SYS_setfsuid, 1))
	IF("gid", if (setresgid(-1, -1, 1) != 0) abort())
	IF("groups", if (setgroups(1, groups) != 0) abort())
	IF("thread", leave_thread())
	IF("child", leave_child())
	IF("handler", signal(SIGCHLD, nothing))
	IF("handler-mask", change_mask_of_handler())
	IF("ignored", signal(SIGPIPE, SIG_IGN))
	IF("realtime-handler", signal(SIGRTMIN + 3, nothing))
	IF("mask", block_signal())
	IF("pending", leave_pending())
	IF("signal-stack", set_signal_stack())
	IF("cwd", if (chdir("/tmp") != 0) abort())
	IF("variable", setenv("VANDAL", "1", 1))
	IF("variable-moved", copy_variable())
	IF("locale", setlocale(LC_ALL, "C.UTF-8"))
	IF("thread-locale", uselocale(newlocale(LC_ALL_MASK, "C", (locale_t)0)))
	IF("time-zone", setenv("TZ", "XYZ5", 1); tzset())
	IF("descriptor", if (open("/dev/null", O_RDONLY) < 0) abort())
	IF("descriptor-flag", fcntl(2, F_SETFD, FD_CLOEXEC))
	IF("descriptor-place", read_on())
	IF("limit", set_limit())
	IF("nice", if (nice(1) == -1) abort())
	IF("affinity", set_affinity())
	IF("alarm", set_alarm())
	IF("posix-timer", set_timer())
	IF("name", prctl(PR_SET_NAME, "vandal"))
	IF("dumpable", prctl(PR_SET_DUMPABLE, 0))
	IF("no-new-privs", prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
	IF("keepcaps", prctl(PR_SET_KEEPCAPS, 1))
	IF("subreaper", prctl(PR_SET_CHILD_SUBREAPER, 1))
	IF("death-signal", prctl(PR_SET_PDEATHSIG, SIGUSR1))
	IF("capability", prctl(PR_CAPBSET_DROP, 25, 0, 0, 0))
	IF("session", setsid())
	IF("locked-memory", lock_memory())
	IF("log-identity", openlog("vandal", LOG_PID, LOG_USER))
	IF("log-mask", setlogmask(LOG_MASK(LOG_ERR)))
	IF("loses-memory", lose_memory())
	IF("reads-freed", read_freed())
	IF("looks", if (getenv("VANDAL") != NULL) abort())
	IF("namespace", if (unshare(CLONE_NEWUTS) != 0) abort())
	else abort();
	return PAM_SUCCESS;
}

int pam_sm_close_session(pam_handle_t *handle, int flags, int argc, const char **argv)
{
	(void)handle, (void)flags, (void)argc, (void)argv;
	return PAM_SUCCESS;
}
