/*
 * What a module must leave as it was: everything of a process that others could notice, as text. Included by pam_host.c, after
 * its `die`, `must`, `say` and `quoted`.
 */
#include <langinfo.h>
#include <sys/personality.h>
#include <sys/syscall.h>
#include <termios.h>
#include <time.h>

struct fact {
	char name[40];
	char *value;
};

struct facts {
	struct fact list[600];
	size_t count;
};

static void note(struct facts *facts, const char *value, const char *format, ...)
{
	if (facts->count == sizeof facts->list / sizeof facts->list[0])
		die("too many facts");
	struct fact *fact = &facts->list[facts->count++];
	va_list args;
	va_start(args, format);
	vsnprintf(fact->name, sizeof fact->name, format, args);
	va_end(args);
	fact->value = must(strdup(value));
}

static void note_numbers(struct facts *facts, const char *name, const char *format, ...)
{
	char text[512];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	note(facts, text, "%s", name);
}

/* Umask, uids and gids (real, effective, saved, file system), signals, capabilities, locked memory. */
static void note_status(struct facts *facts)
{
	static const char *const wanted[] = {
		"Umask",  "Uid",    "Gid",    "Groups", "Threads", "SigPnd", "ShdPnd",     "SigBlk",  "SigIgn", "SigCgt",
		"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb",  "NoNewPrivs", "Seccomp", "VmLck",
	};
	FILE *status = fopen("/proc/self/status", "re");
	char line[8192];
	if (status == NULL)
		die("/proc/self/status: %m");
	while (fgets(line, sizeof line, status) != NULL) {
		char *colon = strchr(line, ':');
		if (colon == NULL)
			continue;
		*colon = '\0';
		line[strcspn(colon + 1, "\n") + (size_t)(colon + 1 - line)] = '\0';
		for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
			if (strcmp(line, wanted[i]) == 0)
				note(facts, colon + 1, "status %s", line);
	}
	fclose(status);
}

static void note_threads(struct facts *facts)
{
	DIR *folder = opendir("/proc/self/task");
	if (folder == NULL)
		die("/proc/self/task: %m");
	for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
		if (entry->d_name[0] != '.')
			note(facts, "there", "thread %s", entry->d_name);
	closedir(folder);
}

/* Where it points, its flags, and how far it has been read. */
static void note_descriptors(struct facts *facts)
{
	DIR *folder = opendir("/proc/self/fd");
	if (folder == NULL)
		die("/proc/self/fd: %m");
	for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
		char target[512];
		int fd = atoi(entry->d_name);
		if (entry->d_name[0] == '.' || fd == dirfd(folder))
			continue;
		ssize_t length = readlinkat(dirfd(folder), entry->d_name, target, sizeof target - 1);
		target[length < 0 ? 0 : length] = '\0';
		note(facts, target, "fd %s", entry->d_name);
		char name[40];
		snprintf(name, sizeof name, "fd %d flags", fd);
		note_numbers(facts, name, "%x %x at %lld", (unsigned)fcntl(fd, F_GETFD), (unsigned)fcntl(fd, F_GETFL),
			     (long long)lseek(fd, 0, SEEK_CUR));
	}
	closedir(folder);
}

/* As the kernel sees them, the two that glibc keeps for itself included. */
static void note_signals(struct facts *facts)
{
	for (int number = 1; number <= 64; number++) {
		struct {
			void *handler;
			unsigned long flags;
			void *restorer;
			unsigned long long mask;
		} action = {0};
		if (syscall(SYS_rt_sigaction, number, NULL, &action, sizeof action.mask) != 0)
			continue;
		char name[40];
		snprintf(name, sizeof name, "signal %d", number);
		/* 0x04000000 is SA_RESTORER, which glibc adds to whatever it sets. */
		note_numbers(facts, name, "%p flags %lx mask %llx", action.handler, action.flags & ~0x04000000UL, action.mask);
	}
	stack_t stack;
	sigaltstack(NULL, &stack);
	note_numbers(facts, "signal stack", "%p %x", stack.ss_sp, (unsigned)stack.ss_flags);
}

/* The pointers too: whoever keeps one must find there what was there. */
static void note_environment(struct facts *facts)
{
	note_numbers(facts, "environ", "%p", (void *)environ);
	for (size_t i = 0; environ[i] != NULL; i++) {
		char text[4096];
		snprintf(text, sizeof text, "%p %s", (void *)environ[i], environ[i]);
		note(facts, text, "environment %zu", i);
	}
}

static void note_locale(struct facts *facts)
{
	note(facts, setlocale(LC_ALL, NULL), "locale");
	note_numbers(facts, "locale of the thread", "%p %s", (void *)uselocale((locale_t)0), nl_langinfo(CODESET));
	note_numbers(facts, "time zone", "%ld %d %s %s", timezone, daylight, tzname[0], tzname[1]);
}

static void note_limits(struct facts *facts)
{
	for (int limit = 0; limit < RLIM_NLIMITS; limit++) {
		struct rlimit value;
		char name[40];
		snprintf(name, sizeof name, "limit %d", limit);
		if (getrlimit(limit, &value) == 0)
			note_numbers(facts, name, "%llu %llu", (unsigned long long)value.rlim_cur,
				     (unsigned long long)value.rlim_max);
	}
}

static void note_scheduling(struct facts *facts)
{
	struct sched_param parameters;
	cpu_set_t cpus;
	CPU_ZERO(&cpus);
	sched_getparam(0, &parameters);
	sched_getaffinity(0, sizeof cpus, &cpus);
	note_numbers(facts, "scheduling", "%d %d, nice %d, io %ld, %d cpus", sched_getscheduler(0), parameters.sched_priority,
		     getpriority(PRIO_PROCESS, 0), syscall(SYS_ioprio_get, 1, 0), CPU_COUNT(&cpus));
}

/* One-line files of /proc; missing where the kernel lacks the feature. */
static void note_proc(struct facts *facts)
{
	static const char *const files[] = {"timers",  "oom_score_adj", "coredump_filter", "loginuid",
					    "cgroup", "sessionid",     "timerslack_ns",   "setgroups"};
	static const char *const links[] = {"cwd",    "root",   "exe",    "ns/mnt",  "ns/net",
					    "ns/ipc", "ns/pid", "ns/uts", "ns/user", "ns/cgroup"};
	char path[64], text[4096];
	for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
		snprintf(path, sizeof path, "/proc/self/%s", files[i]);
		int file = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t length = file < 0 ? 0 : read(file, text, sizeof text - 1);
		text[length < 0 ? 0 : length] = '\0';
		if (file >= 0)
			close(file);
		note(facts, text, "%s", files[i]);
	}
	for (size_t i = 0; i < sizeof links / sizeof links[0]; i++) {
		snprintf(path, sizeof path, "/proc/self/%s", links[i]);
		ssize_t length = readlink(path, text, sizeof text - 1);
		text[length < 0 ? 0 : length] = '\0';
		note(facts, text, "%s", links[i]);
	}
}

static void note_timers(struct facts *facts)
{
	static const char *const names[] = {"alarm", "virtual timer", "profiling timer"};
	for (int which = 0; which < 3; which++) {
		struct itimerval timer;
		getitimer(which, &timer);
		note(facts, timer.it_value.tv_sec != 0 || timer.it_value.tv_usec != 0 ? "running" : "none", "%s", names[which]);
	}
}

static void note_terminal(struct facts *facts)
{
	note_numbers(facts, "group and session", "%d %d %d", (int)getppid(), (int)getpgrp(), (int)getsid(0));
	char *name = ctermid(NULL);
	int terminal = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	struct termios modes;
	if (terminal < 0 || tcgetattr(terminal, &modes) != 0)
		note(facts, "none", "terminal");
	else
		note_numbers(facts, "terminal", "foreground %d, modes %x %x %x %x", (int)tcgetpgrp(terminal), modes.c_iflag,
			     modes.c_oflag, modes.c_cflag, modes.c_lflag);
	if (terminal >= 0)
		close(terminal);
}

static void note_attributes(struct facts *facts)
{
	char name[17] = "";
	int reaper = 0, death_signal = 0;
	prctl(PR_GET_NAME, name);
	prctl(PR_GET_CHILD_SUBREAPER, &reaper);
	prctl(PR_GET_PDEATHSIG, &death_signal);
	note(facts, name, "name");
	note_numbers(facts, "dumpable", "%d", prctl(PR_GET_DUMPABLE));
	note_numbers(facts, "keeps capabilities", "%d", prctl(PR_GET_KEEPCAPS));
	note_numbers(facts, "securebits", "%d", prctl(PR_GET_SECUREBITS));
	note_numbers(facts, "subreaper", "%d", reaper);
	note_numbers(facts, "signal at the parent's death", "%d", death_signal);
	note_numbers(facts, "huge pages off", "%d", prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
	note_numbers(facts, "personality", "%x", (unsigned)personality(0xffffffff));
	note_numbers(facts, "syslog mask", "%x", (unsigned)setlogmask(0));
#ifdef __x86_64__
	/* Rounding and traps, not what has happened. */
	note_numbers(facts, "floating point", "%x", __builtin_ia32_stmxcsr() & 0xffc0);
#endif
}

static struct facts *look(void)
{
	struct facts *facts = must(calloc(1, sizeof *facts));
	note_status(facts);
	note_threads(facts);
	note_descriptors(facts);
	note_signals(facts);
	note_environment(facts);
	note_locale(facts);
	note_limits(facts);
	note_scheduling(facts);
	note_proc(facts);
	note_timers(facts);
	note_terminal(facts);
	note_attributes(facts);
	/* A child that was left behind, running or not reaped. */
	siginfo_t child = {0};
	bool has_child = waitid(P_ALL, 0, &child, WEXITED | WNOHANG | WNOWAIT | __WALL) == 0 || errno != ECHILD;
	note(facts, has_child ? "yes" : "none", "children");
	return facts;
}

static const char *value_of(const struct facts *facts, const char *name)
{
	for (size_t i = 0; i < facts->count; i++)
		if (strcmp(facts->list[i].name, name) == 0)
			return facts->list[i].value;
	return "absent";
}

/* Prints what differs, and frees both. */
static void compare(const char *hook, struct facts *before, struct facts *after)
{
	for (size_t i = 0; i < before->count; i++) {
		const char *now = value_of(after, before->list[i].name);
		if (strcmp(now, before->list[i].value) != 0)
			say("CHANGED %s %s: %s -> %s", hook, before->list[i].name, quoted(before->list[i].value), quoted(now));
	}
	for (size_t i = 0; i < after->count; i++)
		if (strcmp(value_of(before, after->list[i].name), "absent") == 0)
			say("CHANGED %s %s: \"absent\" -> %s", hook, after->list[i].name, quoted(after->list[i].value));
	struct facts *both[] = {before, after};
	for (size_t which = 0; which < 2; which++) {
		for (size_t i = 0; i < both[which]->count; i++)
			free(both[which]->list[i].value);
		free(both[which]);
	}
}
