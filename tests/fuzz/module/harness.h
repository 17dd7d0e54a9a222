/* What the parts of the harness share. */
#ifndef MFA_FUZZ_HARNESS_H
#define MFA_FUZZ_HARNESS_H

#include <security/pam_appl.h>
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

/* call.c: a call of the module is under way. Only then are calls of libc's anything but themselves. */
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
/* A record was replaced, or was to be. */
extern bool has_made_records;
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
/* Whether the newest one was asked about this new passphrase, and took it. */
bool courier_takes(const char *passphrase);

/* totp.c: codes as RFC 6238 has them, computed without the product. */
void totp(const char *secret, size_t length, uint64_t step, unsigned digits, char code[9]);

/* ---- what is going on ------------------------------------------------------------------------------------------- */

enum hook { AUTHENTICATE, ACCT_MGMT, SETCRED, OPEN_SESSION, CLOSE_SESSION, CHAUTHTOK, HOOKS };
typedef int hook_function(pam_handle_t *, int, int, const char **);
/* The module's. */
extern hook_function *harness_module[HOOKS];
/* How often each hook answered what. */
extern unsigned long harness_counts[HOOKS][32];

/* Room for a passphrase, and more than that. */
enum { MAX_PASSPHRASE = 1100 };
/* The people of the store (host.rs). */
enum standing { FINE, REFUSED, NO_APP, NO_RECORD, BROKEN_STATE };
struct person {
	const char *name;
	enum standing standing;
	/* The last step of the app that let in, during this input. */
	uint64_t last_step;
	uint8_t *state;
	uint8_t *as_it_was;
	/* The record's file. */
	char *record;
	size_t record_length;
	/* The passphrase; "": none. */
	char passphrase[MAX_PASSPHRASE];
	/* A change of it failed half-way: it may be either. */
	bool is_in_between;
};
enum { PEOPLE = 10 };
extern struct person people[PEOPLE];
struct person *person_of(const char *name);

/* The input that is being tried. */
extern struct now {
	struct input input;
	pam_handle_t *handle;
	unsigned config;
	const char *arguments[8];
	int argument_count;
	bool may_skip, courier_names_passphrase;
	char *service, *password;
	enum hook hook;
	unsigned calls, prompts;
	/* The last answer, as far as it could be a code. */
	char answer[65];
	size_t answer_length;
	/* What was last typed as the passphrase, as the new one, and as the new one again. */
	bool asks_passphrase, is_update;
	char typed[3][MAX_PASSPHRASE];
	bool must_succeed;
	size_t failure_count;
	char user[300];
} now;

/* harness.c */
extern const char *harness_folder;
int harness_one(const uint8_t *bytes, size_t size);

/* person.c */
int converse(int count, const struct pam_message **messages, struct pam_response **responses, void *data);
/* Somebody was let in: whether with a code that was right. */
void check_success(void);
/* A passphrase was changed, or was not: whether it may have been. */
void check_present(void);
void check_change(int result);
/* Everybody has the first one again. */
void reset_passphrases(void);

#endif
