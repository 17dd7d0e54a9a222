/*
 * What the module calls of libc: the real thing, but for calls that are to fail, a clock that stands still, randomness that is
 * the same each time, sleep that takes no time, and accounts of our own. All of that only while the module is being called.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/types.h>
#include <unistd.h>

#include "harness.h"

enum call {
	OPENAT, OPEN, READ, PREAD, PWRITE, WRITE, FDATASYNC, FSYNC, FSTAT, FSTATAT, FLOCK, FCNTL, GETPWNAM, SOCKETPAIR, SEND,
	RECV, SPAWN, RANDOM, CLOCK, LINKAT, RENAMEAT2, FACCESSAT, FCHOWN, FCHMOD, UNLINKAT, READLINKAT, SIGNALFD, WAITPID, HOSTNAME,
	FTRUNCATE, MKDIRAT, RENAMEAT, CALLS
};

struct timespec wall_clock, boot_clock;
size_t failures_met;
bool has_made_files, has_made_records;

static struct failure planned[MAX_FAILURES];
static size_t plans;
static unsigned counts[CALLS];
static uint64_t random_state;

void libc_begin(const struct failure *failures, size_t count, uint64_t seed)
{
	memcpy(planned, failures, count * sizeof *failures);
	plans = count;
	memset(counts, 0, sizeof counts);
	random_state = seed;
	failures_met = 0;
	has_made_files = has_made_records = false;
}

/* No ENOENT: a file that is said not to be there is not there, and what follows from that is no failure. */
static const int errors[] = {EIO, EINTR, EACCES, EMFILE, ENOSPC, ENOMEM, EAGAIN, EROFS, EDQUOT, EFBIG, ELOOP, EINVAL, EBADF, ENFILE, EOVERFLOW};

enum { SHORT = 0x80 };

/* How the next call of this name fails: 0 not at all, SHORT with less than was asked for, else errno. */
static int failure_of(int what)
{
	if (!is_inside)
		return 0;
	unsigned number = counts[what]++;
	for (size_t i = 0; i < plans; i++)
		if (planned[i].what % CALLS == what && planned[i].when == number % 64 && number < 64) {
			failures_met++;
			return planned[i].how & SHORT ? SHORT : errors[planned[i].how % (sizeof errors / sizeof errors[0])];
		}
	return 0;
}

bool libc_fails(int what)
{
	int how = failure_of(what);
	if (how == 0)
		return false;
	errno = how == SHORT ? EIO : how;
	return true;
}

/* Every function that is replaced here, by its name in libc. */
#define REAL(name) real_##name
#define FIND(name) REAL(name) = must(dlsym(RTLD_NEXT, #name))

static int (*REAL(open))(const char *, int, ...);
static int (*REAL(openat))(int, const char *, int, ...);
static ssize_t (*REAL(read))(int, void *, size_t);
static ssize_t (*REAL(pread))(int, void *, size_t, off_t);
static ssize_t (*REAL(pwrite))(int, const void *, size_t, off_t);
static ssize_t (*REAL(write))(int, const void *, size_t);
static int (*REAL(fdatasync))(int);
static int (*REAL(fsync))(int);
static int (*REAL(fstat))(int, struct stat *);
static int (*REAL(fstatat))(int, const char *, struct stat *, int);
static int (*REAL(flock))(int, int);
static int (*REAL(fcntl))(int, int, ...);
static int (*REAL(getpwnam_r))(const char *, struct passwd *, char *, size_t, struct passwd **);
static int (*REAL(socketpair))(int, int, int, int[2]);
static ssize_t (*REAL(send))(int, const void *, size_t, int);
static ssize_t (*REAL(recv))(int, void *, size_t, int);
static ssize_t (*REAL(getrandom))(void *, size_t, unsigned);
static int (*REAL(clock_gettime))(clockid_t, struct timespec *);
static int (*REAL(clock_nanosleep))(clockid_t, int, const struct timespec *, struct timespec *);
static int (*REAL(linkat))(int, const char *, int, const char *, int);
static int (*REAL(renameat2))(int, const char *, int, const char *, unsigned);
static int (*REAL(renameat))(int, const char *, int, const char *);
static int (*REAL(setsockopt))(int, int, int, const void *, socklen_t);
static int (*REAL(faccessat))(int, const char *, int, int);
static int (*REAL(fchown))(int, uid_t, gid_t);
static int (*REAL(fchmod))(int, mode_t);
static int (*REAL(unlinkat))(int, const char *, int);
static ssize_t (*REAL(readlinkat))(int, const char *, char *, size_t);
static int (*REAL(signalfd))(int, const sigset_t *, int);
static int (*REAL(gethostname))(char *, size_t);
static int (*REAL(ftruncate))(int, off_t);
static int (*REAL(close))(int);

void libc_find(void)
{
	FIND(open), FIND(openat), FIND(read), FIND(pread), FIND(pwrite), FIND(write), FIND(fdatasync), FIND(fsync), FIND(fstat);
	FIND(fstatat), FIND(flock), FIND(fcntl), FIND(getpwnam_r), FIND(socketpair), FIND(send), FIND(recv), FIND(getrandom);
	FIND(clock_gettime), FIND(clock_nanosleep), FIND(linkat), FIND(renameat2), FIND(faccessat), FIND(fchown), FIND(fchmod);
	FIND(unlinkat), FIND(readlinkat), FIND(signalfd), FIND(gethostname), FIND(ftruncate);
	FIND(renameat), FIND(setsockopt), FIND(close);
}

int plain_close(int fd)
{
	return REAL(close)(fd);
}

ssize_t plain_send(int fd, const void *data, size_t size)
{
	return REAL(send)(fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Calls may come before main: from the sanitizers and from libc itself. */
#define READY() (REAL(openat) != NULL ? (void)0 : libc_find())

#define FAIL_AS(what, answer)                                                            \
	do {                                                                                 \
		READY();                                                                     \
		if (libc_fails(what))                                                        \
			return answer;                                                       \
	} while (0)

static mode_t mode_of(int flags, va_list arguments)
{
	return flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
}

#define OPENS(name, what)                                                                \
	int name(const char *path, int flags, ...)                                           \
	{                                                                                    \
		FAIL_AS(what, -1);                                                           \
		va_list arguments;                                                           \
		va_start(arguments, flags);                                                  \
		mode_t mode = mode_of(flags, arguments);                                     \
		va_end(arguments);                                                           \
		return REAL(open)(path, flags, mode);                                        \
	}
OPENS(open, OPEN)
OPENS(open64, OPEN)

/* What a record is called until it takes the place of the one that is there. */
static bool is_new_record(const char *name)
{
	return strncmp(name, "%new-", 5) == 0;
}

#define OPENS_AT(name)                                                                   \
	int name(int folder, const char *path, int flags, ...)                               \
	{                                                                                    \
		FAIL_AS(OPENAT, -1);                                                         \
		has_made_records |= is_inside && is_new_record(path);                        \
		va_list arguments;                                                           \
		va_start(arguments, flags);                                                  \
		mode_t mode = mode_of(flags, arguments);                                     \
		va_end(arguments);                                                           \
		return REAL(openat)(folder, path, flags, mode);                              \
	}
OPENS_AT(openat)
OPENS_AT(openat64)

/* A call that moves bytes: it may also move fewer than it was asked to. */
#define MOVES(name, what, types, arguments)                                              \
	ssize_t name types                                                                   \
	{                                                                                    \
		READY();                                                                     \
		int how = failure_of(what);                                                  \
		if (how == SHORT)                                                            \
			size /= 2;                                                           \
		else if (how != 0) {                                                         \
			errno = how;                                                         \
			return -1;                                                           \
		}                                                                            \
		return REAL(name) arguments;                                                 \
	}
MOVES(read, READ, (int fd, void *data, size_t size), (fd, data, size))
MOVES(write, WRITE, (int fd, const void *data, size_t size), (fd, data, size))
MOVES(recv, RECV, (int fd, void *data, size_t size, int flags), (fd, data, size, flags))
MOVES(pread, PREAD, (int fd, void *data, size_t size, off_t at), (fd, data, size, at))
MOVES(pwrite, PWRITE, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at))

ssize_t send(int fd, const void *data, size_t size, int flags)
{
	READY();
	if (is_inside)
		courier_hears(data, size);
	int how = failure_of(SEND);
	if (how != 0 && how != SHORT) {
		errno = how;
		return -1;
	}
	return REAL(send)(fd, data, how == SHORT ? size / 2 : size, flags);
}

#define PASSES(type, name, what, answer, types, arguments)                               \
	type name types                                                                      \
	{                                                                                    \
		FAIL_AS(what, answer);                                                       \
		return REAL(name) arguments;                                                 \
	}
PASSES(int, fdatasync, FDATASYNC, -1, (int fd), (fd))
PASSES(int, fsync, FSYNC, -1, (int fd), (fd))
PASSES(int, fstat, FSTAT, -1, (int fd, struct stat *found), (fd, found))
/* Of the same shape here; nix calls the one, std the other. */
int fstat64(int fd, struct stat64 *found)
{
	_Static_assert(sizeof(struct stat) == sizeof(struct stat64), "64 bits");
	return fstat(fd, (struct stat *)found);
}
PASSES(int, fstatat, FSTATAT, -1, (int folder, const char *path, struct stat *found, int flags), (folder, path, found, flags))
PASSES(int, flock, FLOCK, -1, (int fd, int operation), (fd, operation))
PASSES(int, socketpair, SOCKETPAIR, -1, (int domain, int type, int protocol, int ends[2]), (domain, type, protocol, ends))
PASSES(int, faccessat, FACCESSAT, -1, (int folder, const char *path, int mode, int flags), (folder, path, mode, flags))
PASSES(int, fchown, FCHOWN, -1, (int fd, uid_t user, gid_t group), (fd, user, group))
PASSES(int, fchmod, FCHMOD, -1, (int fd, mode_t mode), (fd, mode))
PASSES(int, unlinkat, UNLINKAT, -1, (int folder, const char *path, int flags), (folder, path, flags))
PASSES(ssize_t, readlinkat, READLINKAT, -1, (int folder, const char *path, char *text, size_t size), (folder, path, text, size))
PASSES(int, signalfd, SIGNALFD, -1, (int fd, const sigset_t *mask, int flags), (fd, mask, flags))
PASSES(int, gethostname, HOSTNAME, -1, (char *name, size_t size), (name, size))
PASSES(int, ftruncate, FTRUNCATE, -1, (int fd, off_t size), (fd, size))

int fcntl(int fd, int command, ...)
{
	FAIL_AS(FCNTL, -1);
	va_list arguments;
	va_start(arguments, command);
	long argument = va_arg(arguments, long);
	va_end(arguments);
	return REAL(fcntl)(fd, command, argument);
}

int linkat(int from, const char *path, int to, const char *name, int flags)
{
	FAIL_AS(LINKAT, -1);
	has_made_files |= is_inside;
	return REAL(linkat)(from, path, to, name, flags);
}

int renameat2(int from, const char *path, int to, const char *name, unsigned flags)
{
	has_made_files |= is_inside;
	FAIL_AS(RENAMEAT2, -1);
	return REAL(renameat2)(from, path, to, name, flags);
}

int renameat(int from, const char *path, int to, const char *name)
{
	FAIL_AS(RENAMEAT, -1);
	return REAL(renameat)(from, path, to, name);
}

/* What a courier says to a question it has said before: nobody waits for more. */
int setsockopt(int fd, int level, int option, const void *value, socklen_t length)
{
	READY();
	static const struct timeval at_once = {.tv_usec = 1000};
	bool is_patience = is_inside && level == SOL_SOCKET && option == SO_RCVTIMEO && length == sizeof at_once;
	return REAL(setsockopt)(fd, level, option, is_patience ? &at_once : value, length);
}

/* Accounts: the harness's people, whoever begins with a plus sign, and nobody else. */
int getpwnam_r(const char *name, struct passwd *found, char *buffer, size_t size, struct passwd **result)
{
	READY();
	if (!is_inside)
		return REAL(getpwnam_r)(name, found, buffer, size, result);
	static const char *const people[] = {"alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "mallory"};
	*result = NULL;
	int how = failure_of(GETPWNAM);
	if (how != 0)
		return how == SHORT ? ERANGE : how == EBADF ? EIO : how;
	bool is_known = name[0] == '+';
	for (size_t i = 0; i < sizeof people / sizeof people[0]; i++)
		is_known |= strcmp(name, people[i]) == 0;
	if (!is_known)
		return 0;
	size_t length = strlen(name) + 1;
	if (length + 1 > size)
		return ERANGE;
	memcpy(buffer, name, length);
	buffer[length] = '\0';
	char *empty = buffer + length;
	*found = (struct passwd){.pw_name = buffer, .pw_passwd = empty, .pw_uid = 1000, .pw_gid = 1000, .pw_gecos = empty,
				 .pw_dir = empty, .pw_shell = empty};
	*result = found;
	return 0;
}

ssize_t getrandom(void *data, size_t size, unsigned flags)
{
	READY();
	if (!is_inside)
		return REAL(getrandom)(data, size, flags);
	if (libc_fails(RANDOM))
		return -1;
	for (size_t i = 0; i < size; i++) {
		/* splitmix64 */
		uint64_t z = random_state += 0x9e3779b97f4a7c15;
		z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
		z = (z ^ z >> 27) * 0x94d049bb133111eb;
		((uint8_t *)data)[i] = (uint8_t)(z ^ z >> 31);
	}
	return (ssize_t)size;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
	READY();
	if (!is_inside || (clock != CLOCK_REALTIME && clock != CLOCK_BOOTTIME))
		return REAL(clock_gettime)(clock, now);
	if (libc_fails(CLOCK))
		return -1;
	*now = clock == CLOCK_REALTIME ? wall_clock : boot_clock;
	return 0;
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *length, struct timespec *left)
{
	READY();
	return is_inside ? 0 : REAL(clock_nanosleep)(clock, flags, length, left);
}

int nanosleep(const struct timespec *length, struct timespec *left)
{
	return clock_nanosleep(CLOCK_REALTIME, 0, length, left) == 0 ? 0 : -1;
}
