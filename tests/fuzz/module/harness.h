/* What the parts of the harness share. */
#ifndef MFA_FUZZ_HARNESS_H
#define MFA_FUZZ_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdnoreturn.h>
#include <sys/types.h>
#include <time.h>

/* The bytes of an input, taken from the front; behind the end there are zeros. */
struct input {
	const uint8_t *bytes;
	size_t left;
};
uint8_t take_byte(struct input *input);
/* Bytes with their length in front (one byte), and a NUL behind them; to be freed. NULL where the length is 0. */
char *take_text(struct input *input, size_t *length);

/* Something does not hold. */
noreturn void wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));
void *must(void *memory);

/* harness.c: a call of the module is under way. Only then are calls of libc's anything but themselves. */
extern bool is_inside;

/* libc.c */
struct failure {
	uint8_t what, when, how;
};
enum { MAX_FAILURES = 6 };
void libc_begin(const struct failure *failures, size_t count, uint64_t seed);
/* Whether the next call of this name fails, with errno set. */
bool libc_fails(int what);
extern struct timespec wall_clock;
extern struct timespec boot_clock;
extern size_t failures_met;
/* Names of files were made below the store or in the spool. */
extern bool has_made_files;
/* The real functions. */
void libc_find(void);
int plain_close(int fd);
ssize_t plain_send(int fd, const void *data, size_t size);

/* courier.c: a courier that is no process. */
enum courier_mood { COURIER_SILENT, COURIER_ANSWERS, COURIER_IS_GONE, COURIER_WAS_REAPED };
void courier_begin(enum courier_mood mood, const char *answer, size_t length);
void courier_hears(const void *data, size_t length);
/* The newest code that a courier was told of, or "". */
const char *courier_code(void);
/* Whether that is the newest code that there is: a courier that could not be started was told of none. */
extern bool codes_are_known;
/* None may be left when a call is over. */
void courier_must_be_gone(void);

/* totp.c: codes as RFC 6238 has them, computed without the product. */
void totp(const char *secret, size_t length, uint64_t step, unsigned digits, char code[9]);

#endif
