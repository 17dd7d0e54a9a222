/*
 * The person who is asked, and whether that person may be let in: codes are computed here, without the product.
 */
#include <security/pam_appl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"

enum { MAX_PROMPTS = 64, LONG_ANSWER = 64 << 10, HUGE_ANSWER = 10 << 20 };

struct person people[PEOPLE] = {
	{.name = "alice"}, {.name = "grace"}, {.name = "ivan"}, {.name = "bob", .standing = REFUSED},
	{.name = "carol", .standing = REFUSED}, {.name = "frank", .standing = REFUSED}, {.name = "mallory", .standing = REFUSED},
	{.name = "dave", .standing = BROKEN_STATE}, {.name = "erin", .standing = NO_APP}, {.name = "heidi", .standing = NO_RECORD},
};

struct person *person_of(const char *name)
{
	for (size_t i = 0; i < PEOPLE; i++)
		if (strcmp(people[i].name, name) == 0)
			return &people[i];
	return NULL;
}

/* As host.rs makes them. */
void reset_passphrases(void)
{
	for (size_t i = 0; i < PEOPLE; i++) {
		bool has_none = strcmp(people[i].name, "ivan") == 0 || people[i].standing == NO_RECORD;
		people[i].is_in_between = false;
		snprintf(people[i].passphrase, sizeof people[i].passphrase, "%s%s", has_none ? "" : "passphrase of ", has_none ? "" : people[i].name);
	}
}

static bool knows_passphrase(const struct person *person)
{
	return person->is_in_between || (person->passphrase[0] != '\0' && strcmp(now.typed[0], person->passphrase) == 0);
}

static bool may_begin(const struct person *person)
{
	return person != NULL && (person->standing == FINE || person->standing == NO_APP) && knows_passphrase(person);
}

void check_present(void)
{
	if (!may_begin(person_of(now.user)))
		wrong("%s may change the passphrase", now.user);
}

void check_change(int result)
{
	struct person *person = person_of(now.user);
	bool may_change = may_begin(person) && strcmp(now.typed[1], now.typed[2]) == 0 && strlen(now.typed[1]) >= 8;
	if (result == PAM_SUCCESS) {
		if (!may_change || !has_made_records || !courier_takes(now.typed[1]))
			wrong("the passphrase of %s was changed", now.user);
		snprintf(person->passphrase, sizeof person->passphrase, "%s", now.typed[1]);
		person->is_in_between = false;
	} else if (may_change && has_made_records)
		/* A call failed after the record was replaced, or before. */
		person->is_in_between = true;
}

/* ---- codes ---------------------------------------------------------------------------------------------------- */

static void code_of(const char *name, int64_t steps_from_now, char code[9])
{
	/* As host.rs makes them. */
	char secret[21] = "12345678901234567890";
	memcpy(secret, name, strlen(name) < 20 ? strlen(name) : 20);
	totp(secret, 20, (uint64_t)(wall_clock.tv_sec / 30 + steps_from_now), 6, code);
}

/* The digits of the last answer, where it is shaped like a code. */
static void digits_of_answer(char digits[65])
{
	size_t used = 0;
	for (size_t i = 0; i < now.answer_length; i++)
		if (now.answer[i] >= '0' && now.answer[i] <= '9')
			digits[used++] = now.answer[i];
	digits[used] = '\0';
}

void check_success(void)
{
	struct person *person = person_of(now.user);
	char digits[65], code[9];
	if (now.prompts == 0)
		wrong("let in without a question");
	bool is_by_rule = now.asks_passphrase && now.may_skip && person != NULL && person->standing == NO_APP;
	if (person == NULL || (person->standing != FINE && !is_by_rule))
		wrong("%s was let in", now.user);
	if (now.asks_passphrase && !knows_passphrase(person))
		wrong("%s was let in without the passphrase", now.user);
	if (is_by_rule)
		return;
	digits_of_answer(digits);
	uint64_t step = (uint64_t)(wall_clock.tv_sec / 30), used = 0;
	for (int64_t by = -1; by <= 1; by++) {
		code_of(person->name, by, code);
		if (strcmp(code, digits) == 0 && step + (uint64_t)by > person->last_step)
			used = step + (uint64_t)by;
	}
	bool is_sent = strcmp(person->name, "grace") == 0 && (strcmp(courier_code(), digits) == 0 || !codes_are_known);
	if (used == 0 && !is_sent)
		wrong("%s was let in with %s, which is not right, or was used", now.user, digits);
	if (used != 0)
		person->last_step = used;
}

/* ---- the person ------------------------------------------------------------------------------------------------ */

/* Which of the three answers a question is for: the passphrase, the new one, the new one again; else none. */
static int asks_for(const char *text)
{
	static const char *const in_change[] = {"Current passphrase: ", "New passphrase: ", "New passphrase again: "};
	if (!now.asks_passphrase)
		return -1;
	if (now.hook == AUTHENTICATE)
		return strcmp(text, "Passphrase: ") == 0 ? 0 : -1;
	if (now.hook != CHAUTHTOK)
		return -1;
	/* What was wrong with the last one stands in front, in a line of its own. */
	const char *end = strchr(text, '\n');
	if (end != NULL && strncmp(text, "Not taken: ", 11) == 0)
		text = end + 1;
	for (int i = 0; i < 3; i++)
		if (strcmp(text, in_change[i]) == 0)
			return i;
	return -1;
}

static void check_prompt(const struct pam_message *message)
{
	bool has_said_why = now.hook == CHAUTHTOK && message->msg_style == PAM_ERROR_MSG && strncmp(message->msg, "Not taken: ", 11) == 0;
	for (const char *at = message->msg; *at != '\0'; at++)
		if ((*at < ' ' || *at > '~') && *at != '\n')
			wrong("a message with byte %02x: %s", (unsigned char)*at, message->msg);
	if (strlen(message->msg) >= PAM_MAX_MSG_SIZE)
		wrong("a message of %zu bytes", strlen(message->msg));
	if (has_said_why || (message->msg_style == PAM_PROMPT_ECHO_OFF && asks_for(message->msg) >= 0))
		return;
	bool asks_for_name = now.user[0] == '\0' && now.prompts == 0;
	if (asks_for_name && message->msg_style == PAM_PROMPT_ECHO_ON)
		return;
	static const char sent[] = "Code sent", end[] = "). Verification code (Enter for another): ";
	const char *text = message->msg;
	size_t length = strlen(text);
	bool is_after_sending = strncmp(text, sent, strlen(sent)) == 0 && length > strlen(end) &&
				strcmp(text + length - strlen(end), end) == 0 && length < 90;
	if (message->msg_style != PAM_PROMPT_ECHO_OFF ||
	    (strcmp(text, "Verification code: ") != 0 && strcmp(text, "Verification code (Enter to have one sent): ") != 0 &&
	     !is_after_sending))
		wrong("a message of style %d: %s", message->msg_style, text);
}

static char *text_of(const char *text)
{
	return must(strdup(text));
}

/* What is answered: a text, or NULL; or another result than PAM_SUCCESS, or no array at all. */
static char *next_answer(int *result, bool *has_array)
{
	char code[9];
	size_t length = 0;
	char *text;
	const char *sent;
	uint8_t byte;
	for (int deeds = 0; deeds < 8; deeds++) {
		switch (take_byte(&now.input) % 21) {
		case 0: text = take_text(&now.input, &length); return text;
		case 1: code_of(now.user, 0, code); return text_of(code);
		case 2: code_of(now.user, -1, code); return text_of(code);
		case 3: code_of(now.user, 1, code); return text_of(code);
		case 4: code_of(now.user, -2, code); return text_of(code);
		case 5:
			sent = courier_code();
			return text_of(*sent == '\0' ? "000000" : sent);
		case 6: return text_of("");
		case 7: return text_of("email");
		case 8: return text_of("Telegram");
		case 9: return NULL;
		case 10: *has_array = false; return NULL;
		case 11: *result = take_byte(&now.input) % 34; *has_array = false; return NULL;
		case 12:
			byte = take_byte(&now.input) | 1;
			/* Seldom, since it takes its time. */
			length = byte == 0xff ? HUGE_ANSWER : LONG_ANSWER;
			text = must(malloc(length + 1));
			memset(text, byte, length);
			text[length] = '\0';
			return text;
		case 13:
			text = take_text(&now.input, NULL);
			pam_set_item(now.handle, PAM_USER, text);
			free(text);
			break;
		case 14: wall_clock.tv_sec += take_byte(&now.input); boot_clock.tv_sec += 1; break;
		case 15: boot_clock.tv_sec += 60 * (time_t)take_byte(&now.input); break;
		case 16: return text_of("\b\n\r\177INCORRECT");
		case 17: return text_of(now.password == NULL ? "" : now.password);
		case 18: return text_of(person_of(now.user) == NULL ? "passphrase of nobody" : person_of(now.user)->passphrase);
		case 19: return text_of("another passphrase");
		case 20: return text_of("passphrase of mallory");
		}
	}
	return text_of("");
}

/* An answer to the question for a code. */
static void note_answer(const char *text, bool is_given)
{
	const void *user = NULL;
	pam_get_item(now.handle, PAM_USER, &user);
	bool is_same_user = user != NULL && strcmp(user, now.user) == 0;
	now.answer_length = text == NULL ? 0 : strnlen(text, sizeof now.answer - 1);
	if (text != NULL)
		memcpy(now.answer, text, now.answer_length);
	char code[9];
	code_of(now.user, 0, code);
	struct person *person = person_of(now.user);
	bool is_right = is_given && strcmp(text, code) == 0;
	const char *password = now.password == NULL ? "" : now.password;
	if (person != NULL && now.asks_passphrase)
		is_right = is_right && knows_passphrase(person) && strcmp(password, now.typed[0]) != 0;
	/* Of the first answer of all it is known what becomes of it. */
	if (now.calls == 1 && now.prompts == (now.asks_passphrase ? 2 : 1) && is_right && is_same_user && person != NULL &&
	    person->standing == FINE && now.failure_count == 0 && now.config <= 3 && strcmp(password, code) != 0)
		now.must_succeed = true;
}

int converse(int count, const struct pam_message **messages, struct pam_response **responses, void *data)
{
	(void)data;
	bool was_inside = is_inside;
	is_inside = false;
	int result = PAM_SUCCESS;
	bool has_array = true;
	if (count != 1)
		wrong("%d messages at once", count);
	check_prompt(messages[0]);
	if (++now.prompts > MAX_PROMPTS)
		wrong("no end of prompts");
	*responses = NULL;
	if (messages[0]->msg_style == PAM_ERROR_MSG) {
		*responses = must(calloc(1, sizeof **responses));
		is_inside = was_inside;
		return PAM_SUCCESS;
	}
	char *text = next_answer(&result, &has_array);
	int asked = asks_for(messages[0]->msg);
	bool is_given = result == PAM_SUCCESS && has_array && text != NULL;
	if (asked >= 0)
		snprintf(now.typed[asked], sizeof now.typed[asked], "%s", is_given ? text : "");
	else
		note_answer(text, is_given);
	if (has_array) {
		*responses = must(calloc(1, sizeof **responses));
		(*responses)->resp = text;
	}
	is_inside = was_inside;
	return result;
}
